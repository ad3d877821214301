"""The ledger: what every disk holds, as the simulator saw it written.

A replica is not asked what it holds; its batches are read as they become durable. So the ledger knows at each
moment the durable rows and the durable clock of each node, and for each dot the write that it names and that
it is safe at the node that issued it.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from kvgossip.model.clock import NodeClock
from kvgossip.model.digest import DIGEST_MASK
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import decode_clock, decode_entry
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.model.kv import KvEntry
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.store.base import Batch

CLOCK_RECORD = "clock"
"""The name of the node clock among a store's records."""


class Write(NamedTuple):
    """What a dot names. ``vector`` is that of the row in which it first became durable; None for ``kv``."""

    dot: Dot
    key: Key
    stamp: Stamp
    value: Value | None
    vector: VersionVector | None


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


@dataclass(slots=True)
class DiskView:
    """One disk, by now."""

    rows: dict[Key, Entry] = field(default_factory=dict)
    clock: NodeClock = field(default_factory=NodeClock)
    digests: set[tuple[Key, int]] = field(default_factory=set)
    """Of every row that was ever durable here."""
    root: int = 0
    roots: set[int] = field(default_factory=lambda: {0})
    """Of every state that was ever durable here."""


class Ledger:
    """The disks by the name of their node, and the writes by dot."""

    def __init__(self) -> None:
        self.disks: dict[str, DiskView] = {}
        self.writes: dict[Dot, Write] = {}
        self._owners: dict[ReplicaId, str] = {}
        self._entries: dict[tuple[Key, bytes], Entry] = {}

    def add_node(self, node: str) -> None:
        self.disks[node] = DiskView()

    def note_owner(self, replica: ReplicaId, node: str) -> None:
        """``replica`` is an id of ``node``: it issues the dots of this id."""
        self._owners[replica] = node

    def owner(self, replica: ReplicaId) -> str | None:
        return self._owners.get(replica)

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
            disk.root = (disk.root + change.digest - (change.old_digest or 0)) & DIGEST_MASK
            for write in writes_in(change.key, new):
                if self._owners.get(write.dot.replica) == node:
                    self.writes.setdefault(write.dot, write)
        disk.roots.add(disk.root)
        old_clock = disk.clock
        data = batch.meta.get(CLOCK_RECORD)
        if data is not None:
            disk.clock = decode_clock(data)
        return Durable(node, changes, old_clock, disk.clock)

    def holds_dot(self, dot: Dot) -> bool:
        """True if ``dot`` is durable at the node that issued it."""
        owner = self._owners.get(dot.replica)
        return owner is not None and self.disks[owner].clock.covers(dot)

    def is_local(self, durable: Durable, dot: Dot) -> bool:
        """True if ``dot`` was issued by the node that this batch became durable at, in this batch."""
        return self._owners.get(dot.replica) == durable.node and not durable.old_clock.covers(dot)


def writes_in(key: Key, entry: Entry) -> list[Write]:
    """The writes whose effect an entry shows."""
    if isinstance(entry, KvEntry):
        return [Write(entry.dot, key, entry.stamp, entry.value, None)]
    return [Write(s.dot, key, s.stamp, s.value, entry.vector) for s in entry.siblings]


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
