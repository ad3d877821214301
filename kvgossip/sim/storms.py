"""Storms: the short times of a run in which clients write much and faults begin.

Five simulated minutes with everything spread evenly would be a mild drizzle: no two faults at once, no two
writes apart by less than what heals a difference. So a run has a few storms of some seconds, and calm between
them, in which what a storm left behind comes right, or not. Some faults outlast their storm by far.
"""

from dataclasses import dataclass
from random import Random

from kvgossip.sim.scheduler import MS, SECOND

WORK_US = 220 * SECOND
"""Storms and calm: then everything is healed, in the middle of what the last storm has begun."""
RUN_US = 300 * SECOND
"""A run is not shorter than this."""


@dataclass(frozen=True, slots=True)
class Storm:
    start_us: int
    end_us: int


def draw_storms(rng: Random) -> tuple[Storm, ...]:
    """Two to four, in order, apart from each other; the first one early, the last until the heal."""
    count = rng.randrange(2, 5)
    pitch_us = WORK_US // count
    storms = []
    for i in range(count):
        length_us = rng.randrange(6 * SECOND, 14 * SECOND)
        last_us = pitch_us - length_us if i else 10 * SECOND
        start_us = i * pitch_us + rng.randrange(600 * MS, last_us)
        if i == count - 1:
            start_us = WORK_US - length_us
        storms.append(Storm(start_us, start_us + length_us))
    return tuple(storms)
