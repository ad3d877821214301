"""Hand-made histories: what clients saw and what disks hold, told step by step to one checker."""

from collections.abc import Iterable

from kvgossip.model.clock import NodeClock
from kvgossip.model.digest import entry_digest, key_hash
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import encode_clock, encode_entry
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.node.effects import Refusal, Refused, Written
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.history import History, Operation
from kvgossip.sim.ledger import CLOCK_RECORD, Ledger
from kvgossip.store.base import Batch, Change

KV = make_key(Kind.KV, b"k")
MV = make_key(Kind.MV, b"m")


def dot(node: int, counter: int) -> Dot:
    return Dot(ReplicaId(node), counter)


def kv(where: Dot, stamp: int, body: bytes | None) -> KvEntry:
    return KvEntry(where, Stamp(stamp), None if body is None else Value(body))


def mv(vector: Iterable[Dot], *siblings: tuple[Dot, bytes | None]) -> MvEntry:
    """Siblings have the stamps of their counters."""
    return MvEntry(
        VersionVector.of(vector),
        tuple(Sibling(d, Stamp(d.counter), None if body is None else Value(body)) for d, body in siblings),
    )


def vector(*dots: Dot) -> VersionVector:
    return VersionVector.of(dots)


def clock(*dots: Dot) -> NodeClock:
    return NodeClock().with_dots(dots)


class Story:
    """Nodes n1 to n3, whose replica ids are 1 to 3, and one checker."""

    def __init__(self, checker: type[Checker]) -> None:
        self.history = History()
        self.ledger = Ledger()
        self.now_us = 0
        for number in (1, 2, 3):
            self.ledger.add_node(f"n{number}")
            self.ledger.note_owner(ReplicaId(number), f"n{number}")
        self.checker = checker(self.history, self.ledger)

    def invoke(
        self,
        node: int,
        key: Key,
        body: bytes | None,
        *,
        context: VersionVector | None = None,
        before: Entry | None = None,
    ) -> Operation:
        value = None if body is None else Value(body)
        return self.history.invoke(
            node=f"n{node}", key=key, value=value, context=context, before=before, now_us=self.now_us
        )

    def disk(self, node: int, rows: dict[Key, Entry], *dots: Dot, without: Dot | None = None) -> None:
        """A batch of ``rows`` becomes durable; from now on the clock covers ``dots`` as well.

        ``without``: it gives this dot up, and all later ones of its replica.
        """
        disk = self.ledger.disks[f"n{node}"]
        batch = Batch()
        for key, entry in rows.items():
            data = encode_entry(entry)
            old = disk.rows.get(key)
            old_digest = None if old is None else entry_digest(0, key, encode_entry(old))
            batch.changes.append(Change(key, key_hash(0, key), entry_digest(0, key, data), data, old_digest))
        kept = (
            disk.clock if without is None else disk.clock.without(without.replica, above=without.counter - 1)
        )
        batch.meta[CLOCK_RECORD] = encode_clock(kept.with_dots(dots))
        self.checker.on_durable(self.ledger.apply(f"n{node}", batch))

    def ack(self, operation: Operation, where: Dot, stamp: int, context: VersionVector | None = None) -> None:
        written = Written(where, Stamp(stamp), "", created=False, context=context)
        disk = self.ledger.disks[operation.node]
        self.history.acknowledge(operation, written, self.now_us, line=disk.line)
        disk.acked.add(operation.number)
        self.checker.on_acked(operation)

    def refuse(self, operation: Operation, reason: Refusal) -> None:
        self.history.refuse(operation, Refused(reason, ""), self.now_us)
        self.checker.on_refused(operation)

    def write(
        self,
        node: int,
        key: Key,
        body: bytes | None,
        entry: Entry,
        *,
        context: VersionVector | None = None,
        before: Entry | None = None,
    ) -> Operation:
        """A write that goes well: its node's counter is the greatest of ``entry``'s dots of that node."""
        operation = self.invoke(node, key, body, context=context, before=before)
        where = max(d for d in entry.dots() if d.replica == node)
        self.disk(node, {key: entry}, *entry.dots(), where)
        answered = entry.vector if isinstance(entry, MvEntry) else None
        stamp = where.counter if isinstance(entry, MvEntry) else entry.stamp
        self.ack(operation, where, stamp, answered)
        return operation

    def settle(self, *nodes: int) -> None:
        """The run ends; the nodes answer what their disks hold."""
        states = []
        for node in nodes:
            disk = self.ledger.disks[f"n{node}"]
            rows, replica = dict(disk.rows), disk.replica or ReplicaId(0)
            states.append(NodeState(f"n{node}", f"{disk.root:032x}", disk.clock, rows, replica))
        self.checker.on_settled(states)

    def restart(self, node: int, rows: dict[Key, Entry] | None = None) -> None:
        """The node starts anew and finds ``rows`` instead of what it had."""
        disk = self.ledger.disks[f"n{node}"]
        self.checker.on_restarted(f"n{node}", disk.rows if rows is None else rows, disk.clock)
