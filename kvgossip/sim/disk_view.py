"""One disk as the ledger sees it, and the writes that an entry shows."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from kvgossip.model.clock import NodeClock
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.model.kv import KvEntry
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value


class Write(NamedTuple):
    """What a dot names. ``vector`` is that of the row in which it first became durable; None for ``kv``.

    ``line``: the line of disks that it became durable on.
    """

    dot: Dot
    key: Key
    stamp: Stamp
    value: Value | None
    vector: VersionVector | None
    line: int

    def same_as(self, other: "Write") -> bool:
        """True unless one dot names two writes."""
        return self[:4] == other[:4]


@dataclass(slots=True)
class DiskView:
    """One disk, by now."""

    line: int
    """A copy of a disk begins a line of its own."""
    replica: ReplicaId | None = None
    """The id that a node on this disk issues dots under."""
    rows: dict[Key, Entry] = field(default_factory=dict)
    clock: NodeClock = field(default_factory=NodeClock)
    digests: set[tuple[Key, int]] = field(default_factory=set)
    """Of every row that was ever durable here."""
    row_digests: dict[Key, int] = field(default_factory=dict)
    root: int = 0
    roots: set[int] = field(default_factory=lambda: {0})
    """Of every state that was ever durable here."""
    acked: set[int] = field(default_factory=set)
    """The numbers of the operations that were acknowledged on this disk, or on the one it is a copy of."""
    was_behind: bool = False
    """True if its replica had issued more than it held when it was put in the place of another."""
    given_up: dict[ReplicaId, int] = field(default_factory=dict)
    """Replica ids that a node gave up here, and the greatest counter of each that it kept."""
    renounced: ReplicaId | None = None
    """The last of them: the id that came before ``replica``."""

    def copy(self, line: int) -> "DiskView":
        return replace(
            self,
            line=line,
            rows=dict(self.rows),
            digests=set(self.digests),
            row_digests=dict(self.row_digests),
            roots=set(self.roots),
            acked=set(self.acked),
            given_up=dict(self.given_up),
        )

    def shows(self, key: Key, dot: Dot, write: tuple[Stamp, Value | None]) -> bool:
        """True if the row of ``key`` shows this very write under this very dot."""
        row = self.rows.get(key)
        if row is None:
            return False
        return any(w.dot == dot and (w.stamp, w.value) == write for w in writes_in(key, row))

    def has_given_up(self, dot: Dot) -> bool:
        kept = self.given_up.get(dot.replica)
        return kept is not None and dot.counter > kept

    def lowered(self, vector: VersionVector) -> VersionVector:
        """``vector`` less the dots that were given up here."""
        if not self.given_up:
            return vector
        lowered = [Dot(d.replica, min(d.counter, self.given_up.get(d.replica, d.counter))) for d in vector]
        return VersionVector.of(dot for dot in lowered if dot.counter)


def writes_in(key: Key, entry: Entry, line: int = 0) -> list[Write]:
    """The writes whose effect an entry shows."""
    if isinstance(entry, KvEntry):
        return [Write(entry.dot, key, entry.stamp, entry.value, None, line)]
    return [Write(s.dot, key, s.stamp, s.value, entry.vector, line) for s in entry.siblings]
