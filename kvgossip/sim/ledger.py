"""The ledger: what every disk holds, as the simulator saw it written.

A replica is not asked what it holds; its batches are read as they become durable. So the ledger knows at each
moment the durable rows and the durable clock of each node, and for each dot the write that it names and that
it was durable at the node that issued it.

Disks that an operator replaces are told as such (``replace``): what no other disk covers is *erased*. A disk
that is a copy begins a *line* of its own, and from then on the dots of its replica id beyond the copy are
*disputed*: two lines may issue one dot, and the vectors of one line seem to cover writes of the other. The
copy finds out, gives these dots up, and issues its writes again (``node/copies.py``) with their old stamps
and values, so a write has several *names* and keeps its identity: line, key, stamp and value. (A backup holds
an old stamp mark, so a delete after it can have the stamp of one that was made on the disk that it replaced.)
"""

from collections import defaultdict
from typing import NamedTuple

from kvgossip.model.clock import NodeClock
from kvgossip.model.digest import DIGEST_MASK
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import decode_clock, decode_entry
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.sim.disk_view import DiskView, Write, writes_in
from kvgossip.sim.history import Operation
from kvgossip.store.base import Batch

CLOCK_RECORD = "clock"
"""The name of the node clock among a store's records."""

_Identity = tuple[int, Key, Stamp, Value | None]


class RowChange(NamedTuple):
    key: Key
    old: Entry | None
    new: Entry


class Durable(NamedTuple):
    """What one batch changed on one disk."""

    node: str
    changes: list[RowChange]
    old_clock: NodeClock
    new_clock: NodeClock


class Ledger:
    """The disks by the name of their node, and the writes by dot."""

    def __init__(self) -> None:
        self.disks: dict[str, DiskView] = {}
        self.writes: dict[Dot, list[Write]] = {}
        """One a dot, unless two lines have issued it."""
        self.gone: set[Dot] = set()
        """Dots that no clock must cover any more: erased, or given up by a copy."""
        self._owners: dict[ReplicaId, list[str]] = {}
        self._issued: dict[ReplicaId, int] = {}
        """The greatest counter that was ever durable at its issuer; own dots have no holes."""
        self._issued_by_line: defaultdict[ReplicaId, dict[int, int]] = defaultdict(dict)
        self._forks: dict[ReplicaId, int] = {}
        """Replica ids of which there was a copy, and the greatest counter that is not disputed."""
        self._names: defaultdict[_Identity, list[Dot]] = defaultdict(list)
        self._given_up: set[ReplicaId] = set()
        self._line_count = 0
        self._entries: dict[tuple[Key, bytes], Entry] = {}

    def add_node(self, node: str, disk: DiskView | None = None) -> None:
        """``disk``: what a node that is new finds on its disk, from ``copy_disk``; else it is empty."""
        self.disks[node] = self._put(disk)

    def note_owner(self, replica: ReplicaId, node: str) -> None:
        """``node`` issues dots as ``replica`` from now on."""
        disk = self.disks[node]
        if disk.replica != replica:
            disk.was_behind = False
            disk.renounced = disk.replica
        disk.replica = replica
        owners = self._owners.setdefault(replica, [])
        if node not in owners:
            owners.append(node)

    def is_issuer(self, node: str, replica: ReplicaId) -> bool:
        """True if ``replica`` is or was an id of ``node``."""
        return node in self._owners.get(replica, ())

    def decode(self, key: Key, data: bytes) -> Entry:
        """An entry, decoded once for all nodes that hold it."""
        entry = self._entries.get((key, data))
        if entry is None:
            entry = self._entries[key, data] = decode_entry(key, data)
        return entry

    def apply(self, node: str, batch: Batch) -> Durable:
        """``batch`` is durable at ``node`` from now on."""
        disk = self.disks[node]
        changes = []
        for change in batch.changes:
            new = self.decode(change.key, change.data)
            changes.append(RowChange(change.key, disk.rows.get(change.key), new))
            disk.rows[change.key] = new
            disk.digests.add((change.key, change.digest))
            disk.row_digests[change.key] = change.digest
            disk.root = (disk.root + change.digest - (change.old_digest or 0)) & DIGEST_MASK
            for write in writes_in(change.key, new, disk.line):
                if self.is_issuer(node, write.dot.replica):
                    self._note_write(write)
        disk.roots.add(disk.root)
        old_clock = disk.clock
        data = batch.meta.get(CLOCK_RECORD)
        if data is not None:
            disk.clock = decode_clock(data)
            self._note_clock(node, disk, old_clock)
        return Durable(node, changes, old_clock, disk.clock)

    # -- questions

    def holds_dot(self, dot: Dot) -> bool:
        """True if ``dot`` was ever durable at the node that issued it."""
        return dot.counter <= self._issued.get(dot.replica, 0)

    def is_local(self, durable: Durable, dot: Dot) -> bool:
        """True if ``dot`` was issued by the node that this batch became durable at, in this batch."""
        return self.disks[durable.node].replica == dot.replica and not durable.old_clock.covers(dot)

    def names(self, operation: Operation) -> tuple[Dot, ...]:
        """Every dot of an answered operation: the one of its answer, then those of its reissues."""
        if not self._forks:
            return (operation.dot,)
        identity = (operation.line, operation.key, operation.stamp, operation.value)
        return (operation.dot, *(dot for dot in self._names.get(identity, ()) if dot != operation.dot))

    def last_name(self, operation: Operation) -> Dot:
        """The name that must be found at the end: the latest that was not erased."""
        names = self.names(operation)
        kept = [dot for dot in names if dot not in self.gone]
        return (kept or names)[-1]

    def holes(self, clock: NodeClock) -> list[Dot]:
        """The dots in the gaps of ``clock`` that it ought to cover."""
        found: list[Dot] = []
        for replica, ranges in clock.ranges.items():
            after = 0
            for first, last in ranges:
                found += (Dot(replica, counter) for counter in range(after + 1, first))
                after = last
        return [dot for dot in found if dot not in self.gone]

    # -- copies

    def is_copied(self, node: str) -> bool:
        """True if ``node`` issues dots under an id of which there is or was a copy."""
        return self.disks[node].replica in self._forks

    def is_unaware_copy(self, node: str) -> bool:
        """True if ``node`` issues dots that another line issues, or had issued, and has not found out."""
        mine = self.disks[node]
        replica = mine.replica
        if replica is None or replica not in self._forks:
            return False
        counter = mine.clock.greatest(replica)
        return mine.was_behind or any(
            other.replica == replica or other.clock.greatest(replica) > counter
            for name, other in self.disks.items()
            if name != node
        )

    def is_disputed(self, dot: Dot) -> bool:
        """True if two lines may issue ``dot``, or one has given it up (from its start on)."""
        fork = self._forks.get(dot.replica)
        return fork is not None and dot.counter > fork

    def is_ambiguous(self, dot: Dot) -> bool:
        """True if two lines have issued ``dot``."""
        if not self.is_disputed(dot):
            return False
        return sum(last >= dot.counter for last in self._issued_by_line[dot.replica].values()) > 1

    def is_void(self, dot: Dot) -> bool:
        """True if ``dot`` is disputed and a copy has lowered vectors that covered it."""
        return dot.replica in self._given_up and self.is_disputed(dot)

    def collides(self, key: Key, dot: Dot) -> bool:
        """True if the other line has issued a dot of this key that seems to come after ``dot``."""
        if not self.is_disputed(dot):
            return False
        mine = {write.line for write in self.writes.get(dot, ())}
        later = {
            write.line
            for writes in self.writes.values()
            for write in writes
            if write.key == key and write.dot.replica == dot.replica and write.dot.counter >= dot.counter
        }
        return len(mine | later) > 1

    def copy_disk(self, node: str) -> DiskView:
        """What a backup or a clone of this disk holds."""
        return self.disks[node].copy(self._new_line())

    def replace(self, node: str, disk: DiskView | None) -> None:
        """An operator has put a copy from ``copy_disk``, or an empty disk, in the place of this one."""
        old, new = self.disks[node], self._put(disk)
        self.disks[node] = new
        clocks = [other.clock for other in self.disks.values()]
        self.gone |= {
            dot
            for dot in dots_covered(new.clock, old.clock)
            if not any(clock.covers(dot) for clock in clocks)
        }

    def is_held(self, operation: Operation) -> bool:
        """True if some disk holds the effect of an answered operation."""
        write = (operation.stamp, operation.value)
        for dot in self.names(operation):
            if not self.is_disputed(dot):
                if any(disk.clock.covers(dot) for disk in self.disks.values()):
                    return True
            elif any(disk.shows(operation.key, dot, write) for disk in self.disks.values()):
                return True
        return False

    # -- private

    def _new_line(self) -> int:
        self._line_count += 1
        return self._line_count

    def _put(self, disk: DiskView | None) -> DiskView:
        """A disk for a node; from now on the dots beyond a copy are disputed."""
        if disk is None:
            return DiskView(line=self._new_line())
        if disk.replica is not None:
            counter = disk.clock.greatest(disk.replica)
            self._forks[disk.replica] = min(counter, self._forks.get(disk.replica, counter))
            disk.was_behind = self._issued.get(disk.replica, 0) > counter
        return disk

    def _note_write(self, write: Write) -> None:
        known = self.writes.setdefault(write.dot, [])
        if any(other.same_as(write) for other in known):
            return
        if known and not self.is_disputed(write.dot):
            return  # a dot names one write: a checker will see it
        known.append(write)
        self._names[write.line, write.key, write.stamp, write.value].append(write.dot)

    def _note_clock(self, node: str, disk: DiskView, old_clock: NodeClock) -> None:
        for replica in (disk.replica, disk.renounced):  # what was staged under an id that is given up since
            if replica is not None and replica not in disk.given_up:
                counter = disk.clock.greatest(replica)
                self._issued[replica] = max(counter, self._issued.get(replica, 0))
                by_line = self._issued_by_line[replica]
                by_line[disk.line] = max(counter, by_line.get(disk.line, 0))
        if disk.clock.includes(old_clock):
            return
        for dot in dots_covered(disk.clock, old_clock):
            fork = self._forks.get(dot.replica)
            if fork is not None and self.is_issuer(node, dot.replica):
                self._forks[dot.replica] = min(fork, dot.counter - 1)
                self._given_up.add(dot.replica)
                self.gone.add(dot)
                disk.given_up[dot.replica] = min(dot.counter - 1, disk.given_up.get(dot.replica, dot.counter))


def dots_covered(old: NodeClock, new: NodeClock) -> list[Dot]:
    """The dots that ``new`` covers and ``old`` does not."""
    found = []
    for replica in sorted(new.ranges):
        ranges = old.ranges.get(replica, ())
        for first, last in new.ranges[replica]:
            counter = first
            for low, high in ranges:
                if high < counter:
                    continue
                found += [Dot(replica, c) for c in range(counter, min(low, last + 1))]
                counter = max(counter, high + 1)
                if counter > last:
                    break
            found += [Dot(replica, c) for c in range(counter, last + 1)]
    return found
