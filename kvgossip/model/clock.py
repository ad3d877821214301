"""The node clock: exactly the dots whose effect a node holds.

A version vector *with gaps*: for each replica the ranges of counters that are covered. A peer's clock speaks
for all of its data at once, but our own may never advance over data that we did not receive, so it is merged
dot by dot with entries, or with a peer's clock as a whole when an exchange has settled every difference.

Immutable: a clock that was read stays what it was while the node goes on, which is what makes "the clock
read *before* the first comparison" (``protocol/exchange.py``) a plain reference.

Invariant: the ranges of a replica are ascending, disjoint and not adjacent. At most ``CLOCK_RANGES_MAX`` are
kept a replica; coverage beyond that is left out (the highest range stays: it holds the greatest counter, by
which a peer notices that it is a copy), never invented.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kvgossip.config import CLOCK_RANGES_MAX
from kvgossip.model.dot import Dot
from kvgossip.model.ids import ReplicaId

Ranges = tuple[tuple[int, int], ...]
"""(first, last) of each range, both inclusive."""

_BEYOND = 1 << 64
"""Above every counter."""


@dataclass(frozen=True, slots=True)
class NodeClock:
    """An immutable set of dots, stored as ranges."""

    ranges: Mapping[ReplicaId, Ranges] = field(default_factory=dict)

    def covers(self, dot: Dot) -> bool:
        ranges = self.ranges.get(dot.replica)
        if ranges is None:
            return False
        counter = dot.counter
        first, last = ranges[0]
        if counter <= last:  # nearly always: a replica's dots arrive in order
            return first <= counter
        return ranges[bisect_right(ranges, (counter, _BEYOND)) - 1][1] >= counter

    def covers_all(self, dots: Iterable[Dot]) -> bool:
        return all(self.covers(dot) for dot in dots)

    def includes(self, other: "NodeClock") -> bool:
        """True if this clock covers every dot that ``other`` covers."""
        for replica, theirs in other.ranges.items():
            mine = self.ranges.get(replica, ())
            if mine != theirs and not all(
                any(first <= low and high <= last for first, last in mine) for low, high in theirs
            ):
                return False
        return True

    def greatest(self, replica: ReplicaId) -> int:
        """The greatest counter covered of ``replica``; 0 if there is none."""
        ranges = self.ranges.get(replica)
        return ranges[-1][1] if ranges else 0

    def hole_count(self) -> int:
        """How many gaps there are, all replicas together."""
        return sum(len(ranges) - (ranges[0][0] == 1) for ranges in self.ranges.values())

    def with_dots(self, dots: Iterable[Dot]) -> "NodeClock":
        """This clock and ``dots``; the same object if it covered them all. Many at once cost little more."""
        counters: dict[ReplicaId, list[int]] = {}
        for replica, counter in dots:
            counters.setdefault(replica, []).append(counter)
        changed: dict[ReplicaId, Ranges] = {}
        for replica, new in counters.items():
            old = self.ranges.get(replica, ())
            if len(new) == 1:
                ranges = _with_range(old, new[0], new[0])
            else:
                ranges = _united(old, [(counter, counter) for counter in sorted(new)])
            if ranges != old:
                changed[replica] = ranges
        if not changed:
            return self
        return NodeClock({**self.ranges, **changed})

    def join(self, other: "NodeClock") -> "NodeClock":
        """Every dot of either; the same object if ``other`` brings nothing."""
        changed: dict[ReplicaId, Ranges] = {}
        for replica, theirs in other.ranges.items():
            mine = self.ranges.get(replica, ())
            if mine == theirs:
                continue
            joined = _united(mine, theirs)
            if joined != mine:
                changed[replica] = joined
        if not changed:
            return self
        return NodeClock({**self.ranges, **changed})

    def without(self, replica: ReplicaId, *, above: int) -> "NodeClock":
        """This clock less the dots of one replica above a counter."""
        kept = tuple(
            (first, min(last, above)) for first, last in self.ranges.get(replica, ()) if first <= above
        )
        others = {r: ranges for r, ranges in self.ranges.items() if r != replica}
        return NodeClock({**others, replica: kept} if kept else others)

    def split(self, replicas_max: int) -> list["NodeClock"]:
        """Clocks of at most ``replicas_max`` replicas each, whose join is this one."""
        replicas = sorted(self.ranges)
        return [
            NodeClock({replica: self.ranges[replica] for replica in replicas[start : start + replicas_max]})
            for start in range(0, len(replicas), replicas_max)
        ]

    def check_invariants(self) -> None:
        for ranges in self.ranges.values():
            assert 1 <= len(ranges) <= CLOCK_RANGES_MAX
            assert all(1 <= first <= last for first, last in ranges)
            assert all(ranges[i][1] + 1 < ranges[i + 1][0] for i in range(len(ranges) - 1))


def _with_range(ranges: Ranges, first: int, last: int) -> Ranges:
    """``ranges`` and first..last, in canonical form and bounded."""
    if not ranges:
        return ((first, last),)
    low, high = ranges[-1]
    if low <= first and last <= high:
        return ranges
    if low <= first == high + 1:  # the next dot of a replica: the common case
        return (*ranges[:-1], (low, last))
    return _united(ranges, [(first, last)])


def _united(ranges: Ranges, others: Sequence[tuple[int, int]]) -> Ranges:
    """Both, in canonical form and bounded. ``others`` is in order; sorting two runs is linear."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted([*ranges, *others]):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    if len(merged) > CLOCK_RANGES_MAX:
        merged[CLOCK_RANGES_MAX - 1 : -1] = []
    return tuple(merged)
