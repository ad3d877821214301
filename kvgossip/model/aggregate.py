"""Aggregates over the cluster as mass that is halved and passed on, and what is read from it.

Push-sum (Kempe, Dobra, Gehrke, "Gossip-Based Computation of Aggregate Information", 2003): every node begins
with the mass of its own values and a count of 1, and one node, the *root* of the epoch, with a weight of 1.
Halving and adding lose nothing, so while mass spreads evenly the ratios of what any node holds go to those of
the whole: sum / count to the average, count / weight to the number of nodes, sum / weight to the sum. The
least and the greatest value travel along: their merge is a minimum and a maximum.

Invariant: a mass is a blend of values, so each sum lies between count times the least and count times the
greatest value. What breaks this is refused, and it bounds what lost mass can have done to a sum.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import isfinite

from kvgossip.errors import EncodingError
from kvgossip.model.member import NUMBER_MAX, Load

METRICS = tuple(field.name for field in fields(Load))
"""What is aggregated: the numbers of a ``Load``, in its order."""
COUNT_MAX = float(1 << 20)
"""Nodes whose mass one node may hold: no cluster is as large."""
MASS_MIN = 2.0**-500
"""Less is not left after the rounds of an epoch, and ratios to it stay finite."""
ERROR_MAX = 1e9
"""As good as unknown, and still a number."""
_ROUNDING = 1e-9
"""A share that was halved and added a thousand times differs by less from a blend."""


@dataclass(frozen=True, slots=True)
class Mass:
    """What a node holds of an epoch; ``sums``, ``least`` and ``greatest`` in the order of ``METRICS``."""

    weight: float
    count: float
    sums: tuple[float, ...]
    least: tuple[int, ...]
    greatest: tuple[int, ...]

    def halved(self) -> "Mass":
        """Exact, short of 1,000 halvings: only the exponents change."""
        sums = tuple(total / 2 for total in self.sums)
        return Mass(self.weight / 2, self.count / 2, sums, self.least, self.greatest)

    def plus(self, other: "Mass") -> "Mass":
        return Mass(
            self.weight + other.weight,
            self.count + other.count,
            tuple(one + two for one, two in zip(self.sums, other.sums, strict=True)),
            tuple(map(min, self.least, other.least)),
            tuple(map(max, self.greatest, other.greatest)),
        )

    @property
    def is_bounded(self) -> bool:
        """True if others take it: honest mass always is, what a liar piles up is not."""
        return self.weight <= COUNT_MAX and self.count <= COUNT_MAX

    def check(self) -> None:
        """Raise ``EncodingError`` unless this can be mass. For shares of peers."""
        if not all(map(isfinite, (self.weight, self.count, *self.sums))):
            raise EncodingError("mass that is not finite")
        if not (self.is_bounded and self.count >= MASS_MIN and (not self.weight or self.weight >= MASS_MIN)):
            raise EncodingError(f"mass of no nodes, or of more than {COUNT_MAX:.0f}")
        for total, least, greatest in zip(self.sums, self.least, self.greatest, strict=True):
            slack = _ROUNDING * self.count * greatest
            if not self.count * least - slack <= total <= self.count * greatest + slack or total < 0:
                raise EncodingError("a sum that no values between the least and the greatest can have")


NO_MASS = Mass(0.0, 0.0, (0.0,) * len(METRICS), (NUMBER_MAX,) * len(METRICS), (0,) * len(METRICS))
"""Changes nothing it is added to."""


def mass_of(load: Load, *, is_root: bool) -> Mass:
    """What a node brings into an epoch."""
    values = tuple(min(getattr(load, metric), NUMBER_MAX) for metric in METRICS)
    return Mass(float(is_root), 1.0, tuple(map(float, values)), values, values)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A metric over the cluster, as one node has estimated it by gossip.

    Count, sum and average are at most about ``error``, a share of each, away from the truth.
    """

    metric: str
    count: float
    sum: float
    average: float
    minimum: int
    maximum: int
    error: float
    epoch: int
    age_ms: int
    """Since the values were read."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The end of an epoch at one node: what it held, what it had seen shortly before, and who was there.

    ``member_count``: as membership knows; ``changed_count``: those that came or went meanwhile.
    """

    epoch: int
    read_ms: int
    mass: Mass
    seen: tuple[Mass, ...]
    member_count: int
    changed_count: int

    @property
    def missing(self) -> float:
        """How many nodes too few or too many it counted, as far as membership knows."""
        return abs(_ratio(self.mass.count, self.mass.weight) - self.member_count)

    @property
    def is_plausible(self) -> bool:
        """False for an epoch that reached but a few: it was told to those who are in another."""
        return self.mass.weight > 0 and self.missing < self.member_count / 2

    def aggregate(self, metric: str, now_ms: int) -> Aggregate:
        """Raises ``ValueError`` for an unknown metric."""
        if metric not in METRICS:
            raise ValueError(f"{metric!r} is no metric: take one of {', '.join(METRICS)}")
        index = METRICS.index(metric)
        mass = self.mass
        return Aggregate(
            metric=metric,
            count=_ratio(mass.count, mass.weight),
            sum=_ratio(mass.sums[index], mass.weight),
            average=_ratio(mass.sums[index], mass.count),
            minimum=mass.least[index],
            maximum=mass.greatest[index],
            error=self._error(index),
            epoch=self.epoch,
            age_ms=max(now_ms - self.read_ms, 0),
        )

    def _error(self, index: int) -> float:
        """Twice how far apart the last estimates were, and the greatest value for each node in doubt."""
        mass, seen = self.mass, [mass for mass in self.seen if mass.weight]
        total, count = mass.sums[index], mass.count
        spread = max(
            _spread(_ratio(count, mass.weight), (_ratio(m.count, m.weight) for m in seen)),
            _spread(_ratio(total, mass.weight), (_ratio(m.sums[index], m.weight) for m in seen)),
            _spread(_ratio(total, count), (_ratio(m.sums[index], m.count) for m in seen)),
        )
        share = (self.missing + self.changed_count) / _ratio(count, mass.weight)
        skew = _ratio(mass.greatest[index] * count, total) if total else 1.0
        return min(2 * spread + (share * max(skew, 1.0) if share else 0.0), ERROR_MAX)


def _spread(held: float, seen: Iterable[float]) -> float:
    return max((abs(other - held) / held for other in seen), default=0.0) if held else 0.0


def _ratio(one: float, two: float) -> float:
    return one / two if two else 0.0
