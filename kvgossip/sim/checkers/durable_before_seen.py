"""The rule under all promises: nothing leaves a node before it is durable there.

Every answer, read and frame is held against the sender's own disk at that moment, and every durable row and
clock against the disk of the node that issued its dots. Late is fine (a frame may show an entry that was
superseded since), early is not. And a dot names one write for ever, a value one write under one stamp: of a
copied directory the dots beyond the copy may name one of each line, and its reissues keep value and stamp.
A write that was superseded in the very batch that gave its dot up has no name at all.
"""

from kvgossip.model.dot import Dot
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, Kind, kind_of
from kvgossip.model.mv import MvEntry
from kvgossip.sim.checkers.base import Checker
from kvgossip.sim.disk_view import Write, writes_in
from kvgossip.sim.frames import Told
from kvgossip.sim.history import History, Operation, Outcome
from kvgossip.sim.ledger import Durable, Ledger, dots_covered
from kvgossip.sim.order import holds_or_supersedes


class DurableBeforeSeen(Checker):
    def __init__(self, history: History, ledger: Ledger) -> None:
        super().__init__(history, ledger)
        self._by_body: dict[bytes, Write] = {}

    def on_acked(self, operation: Operation) -> None:
        disk = self._ledger.disks[operation.node]
        row = disk.rows.get(operation.key)
        dot = self._ledger.names(operation)[-1]
        if disk.has_given_up(dot) and self._may_be_superseded(operation):
            return  # in the batch that would have shown it, and gave its dot up
        if not disk.clock.covers(dot):
            raise self.fail(f"{operation} was acknowledged, but the clock on the disk does not cover {dot}")
        if not holds_or_supersedes(row, dot, operation.stamp, operation.value):
            raise self.fail(f"{operation} was acknowledged, but the disk holds {row}")

    def on_read(self, node: str, key: Key, entry: Entry | None) -> None:
        if entry is not None:
            self._check_shown(node, key, entry, "a read")

    def on_sent(self, node: str, told: Told, to: str) -> None:
        disk = self._ledger.disks[node]
        for key, entry in told.entries:
            self._check_shown(node, key, entry, told.name)
        for key, digest in told.digests:
            if (key, digest) not in disk.digests:
                raise self.fail(
                    f"{told.name} of {node} tells of a version of {key!r} that was never on its disk"
                )
        for clock in told.clocks:
            if not disk.clock.includes(clock):
                dots = dots_covered(disk.clock, clock)
                raise self.fail(
                    f"{told.name} of {node} shows a clock that covers {dots[0]}; its disk's does not"
                )
        for root in told.roots:
            if root not in disk.roots:
                raise self.fail(f"{told.name} of {node} shows the root {root:032x}, which its disk never had")
        for dot in told.dots:
            if not disk.clock.covers(dot):
                raise self.fail(f"{told.name} of {node} names {dot}, which its disk does not cover")
        for dot in told.heard_of:
            if not self._ledger.holds_dot(dot):
                raise self.fail(f"{told.name} of {node} names {dot}, which is not durable at its issuer")

    def on_durable(self, durable: Durable) -> None:
        for change in durable.changes:
            for write in writes_in(change.key, change.new):
                issued = self._ledger.writes.get(write.dot)
                if not issued:
                    raise self.fail(
                        f"{durable.node} holds {write.dot} of {change.key!r} before its issuer does"
                    )
                if not any(write.same_as(other) for other in issued):
                    raise self.fail(f"{write.dot} names {issued}, and at {durable.node} {write}")
                self._check_identity(durable.node, write)
            if isinstance(change.new, MvEntry):
                vector = change.new.vector
                self._check_issued(durable.node, [dot for dot in vector if not self._is_only_answered(dot)])
        self._check_issued(durable.node, dots_covered(durable.old_clock, durable.new_clock))

    def _may_be_superseded(self, operation: Operation) -> bool:
        """True if the node was asked for a later write of this key that supersedes this one."""
        return any(
            later.node == operation.node
            and later.number > operation.number
            and later.outcome is not Outcome.REFUSED
            and (
                kind_of(operation.key) is Kind.KV
                or (later.is_delete if later.context is None else later.context.covers(operation.dot))
            )
            for later in self._history.of_key(operation.key)
        )

    def _is_only_answered(self, dot: Dot) -> bool:
        """True if a client was told ``dot`` and may name it, and it was given up before it was durable."""
        return self._ledger.is_void(dot) and bool(self._history.of_dot(dot))

    def _check_shown(self, node: str, key: Key, entry: Entry, where: str) -> None:
        disk = self._ledger.disks[node]
        row = disk.rows.get(key)
        for write in writes_in(key, entry):
            if disk.has_given_up(write.dot):
                continue  # reissued in a batch that the node has not heard of yet
            if not holds_or_supersedes(row, write.dot, write.stamp, write.value):
                raise self.fail(f"{where} of {node} shows {write.dot} of {key!r}, but its disk holds {row}")
        if (
            isinstance(entry, MvEntry)
            and isinstance(row, MvEntry)
            and not row.vector.covers_all(disk.lowered(entry.vector))
        ):
            raise self.fail(
                f"{where} of {node} shows the vector {entry.vector}, but its disk holds {row.vector}"
            )

    def _check_identity(self, node: str, write: Write) -> None:
        """Whatever dots a value gets, its key and stamp stay."""
        if write.value is None:
            return
        first = self._by_body.setdefault(write.value.body, write)
        if (first.key, first.stamp) != (write.key, write.stamp):
            raise self.fail(f"{node} holds {write}, which had another key or stamp: {first}")

    def _check_issued(self, node: str, dots: tuple[Dot, ...] | list[Dot]) -> None:
        for dot in dots:
            if not self._ledger.holds_dot(dot):
                raise self.fail(f"{node} covers {dot} before it is durable at its issuer")
