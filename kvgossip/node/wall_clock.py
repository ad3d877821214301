"""The wall time that a node goes by: its own clock, or most others' if its own is wrong."""

from kvgossip.node.effects import Now
from kvgossip.protocol.clock_offsets import ClockOffsets


class WallClock:
    """Adds the correction that the peers' clocks vote for, which is mostly 0."""

    def __init__(self, offsets: ClockOffsets) -> None:
        self._offsets = offsets

    @property
    def correction_ms(self) -> int:
        return self._offsets.correction_ms

    def wall_ms(self, now: Now) -> int:
        return now.wall_ms + self._offsets.correction_ms

    def corrected(self, now: Now) -> Now:
        correction_ms = self._offsets.correction_ms
        return now if correction_ms == 0 else Now(now.monotonic_ms, now.wall_ms + correction_ms)
