"""The two clocks of one simulated node: each wrong in its own way.

The monotonic clock starts anywhere at each start and runs a little fast or slow; the wall clock is off by an
offset that may jump, and shows whole ticks only. Coarse ticks make equal stamps common, which a merge must
break the same way everywhere.
"""

from dataclasses import dataclass

from kvgossip.node.effects import Now
from kvgossip.sim.scheduler import MS

EPOCH_MS = 1_700_000_000_000
"""What a right wall clock shows when a simulation begins."""
_MILLION = 1_000_000


@dataclass(slots=True)
class SimClock:
    """``skew_ppm``: microseconds gained in a second of simulated time."""

    skew_ppm: int = 0
    wall_offset_ms: int = 0
    wall_tick_ms: int = 1
    _started_us: int = 0
    _base_ms: int = 0

    def restart(self, now_us: int, base_ms: int) -> None:
        """Begin a start of the node, with a monotonic clock that shows ``base_ms``."""
        self._started_us = now_us
        self._base_ms = base_ms

    def read(self, now_us: int) -> Now:
        rate = _MILLION + self.skew_ppm
        monotonic_ms = self._base_ms + (now_us - self._started_us) * rate // (_MILLION * MS)
        wall_ms = EPOCH_MS + self.wall_offset_ms + now_us * rate // (_MILLION * MS)
        return Now(monotonic_ms, wall_ms - wall_ms % self.wall_tick_ms)

    def moment_us(self, monotonic_ms: int) -> int:
        """The first simulated moment at which the monotonic clock shows ``monotonic_ms``."""
        elapsed = (monotonic_ms - self._base_ms) * MS * _MILLION
        return self._started_us - (-elapsed // (_MILLION + self.skew_ppm))
