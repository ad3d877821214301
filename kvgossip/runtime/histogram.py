"""A histogram for ``/metrics``: counts by upper bound, their number and their sum."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

LAG_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3_600)
"""From a link on one machine to a node that was cut off for an hour."""
DURATION_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""From a disk that keeps its cache alive in a power loss to one that hangs."""


class Histogram:
    """Observed by one thread; read by any, maybe a moment behind."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulated(self) -> list[tuple[str, float]]:
        """(upper bound, how many values were at most that) in order; the last bound is ``+Inf``."""
        names = [*map(str, map(float, self.bounds)), "+Inf"]
        return list(zip(names, accumulate(map(float, self._counts)), strict=True))
