"""The two clocks of one simulated node: each wrong in its own way.

The monotonic clock starts anywhere at each start and runs a little fast or slow; the wall clock is off by an
offset that may jump, and shows whole ticks only. The rate may change: the clock goes on from where it is.
Coarse ticks make equal stamps common, which a merge must break the same way everywhere.
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
    _since_us: int = 0
    """The moment of the last change of rate, or of the start."""
    _base_us: int = 0
    """What the monotonic clock showed then, in microseconds."""
    _wall_us: int = 0
    """What the wall clock showed then, less its offset, since the simulation began."""

    def restart(self, now_us: int, base_ms: int) -> None:
        """Begin a start of the node, with a monotonic clock that shows ``base_ms``."""
        self._settle(now_us)
        self._base_us = base_ms * MS

    def set_rate(self, now_us: int, skew_ppm: int) -> None:
        """Run faster or slower from now on."""
        self._settle(now_us)
        self.skew_ppm = skew_ppm

    def read(self, now_us: int) -> Now:
        passed_us = self._passed_us(now_us)
        wall_ms = EPOCH_MS + self.wall_offset_ms + (self._wall_us + passed_us) // MS
        return Now((self._base_us + passed_us) // MS, wall_ms - wall_ms % self.wall_tick_ms)

    def offset_ms(self, now_us: int) -> int:
        """How far the wall clock is ahead of simulated time."""
        return self.wall_offset_ms + (self._wall_us + self._passed_us(now_us) - now_us) // MS

    def moment_us(self, monotonic_ms: int) -> int:
        """The first simulated moment at which the monotonic clock shows ``monotonic_ms``."""
        elapsed = (monotonic_ms * MS - self._base_us) * _MILLION
        return self._since_us - (-elapsed // (_MILLION + self.skew_ppm))

    def _passed_us(self, now_us: int) -> int:
        """By this clock since the last change."""
        return (now_us - self._since_us) * (_MILLION + self.skew_ppm) // _MILLION

    def _settle(self, now_us: int) -> None:
        passed_us = self._passed_us(now_us)
        self._base_us += passed_us
        self._wall_us += passed_us
        self._since_us = now_us
