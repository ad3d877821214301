"""Dots and version vectors.

A *dot* (replica id, counter) names one write for ever. A *version vector* holds the greatest dot seen of
each replica **of one key**, and covers every lesser dot of that replica: it may, although counters are
node-wide and so the dots of a key have holes, because a replica issues the dots of a key in order and in one
place. For what a whole node holds see ``model/clock.py``, which keeps its holes.

Source: Almeida, Baquero, Gonçalves, Preguiça, Fonte, "Scalable and Accurate Causality Tracking for
Eventually Consistent Stores" (2014).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kvgossip.model.ids import ReplicaId


class Dot(NamedTuple):
    """One write. ``counter`` starts at 1."""

    replica: ReplicaId
    counter: int

    def __str__(self) -> str:
        return f"{self[0]:016x}-{self[1]}"  # as ``format_id`` has it, without the call


@dataclass(frozen=True, slots=True)
class VersionVector:
    """The greatest dot of each replica, in order of replica."""

    dots: tuple[Dot, ...] = ()
    _counters: dict[ReplicaId, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_counters", dict(self.dots))

    @staticmethod
    def of(dots: Iterable[Dot]) -> "VersionVector":
        """The least vector that covers all of ``dots``, given in any order."""
        counters: dict[ReplicaId, int] = {}
        for replica, counter in dots:
            if counters.get(replica, 0) < counter:
                counters[replica] = counter
        return VersionVector(tuple(Dot(*item) for item in sorted(counters.items())))

    def __iter__(self) -> Iterator[Dot]:
        return iter(self.dots)

    def __bool__(self) -> bool:
        return bool(self.dots)

    def counter(self, replica: ReplicaId) -> int:
        return self._counters.get(replica, 0)

    def covers(self, dot: Dot) -> bool:
        return self._counters.get(dot.replica, 0) >= dot.counter

    def covers_all(self, other: "VersionVector") -> bool:
        return all(self.covers(dot) for dot in other.dots)

    def join(self, other: "VersionVector") -> "VersionVector":
        """The least vector that covers both."""
        if self.covers_all(other):
            return self
        return VersionVector.of(self.dots + other.dots)
