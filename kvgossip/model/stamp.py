"""Stamps of a hybrid logical clock: 48 bits of milliseconds, 16 of logic, as one integer.

Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks" (2014). As one integer the
algorithm shrinks to maxima, and the logic carries into the milliseconds by itself when the wall clock
stands still for 65,536 stamps.

We leave the paper in one place: a stamp from elsewhere that is further ahead than a limit does not pull the
clock along (``observe_stamp``), so one node with a wrong clock does not drag the others into its future.
"""

from typing import NewType

from kvgossip.config import STAMP_MS_MAX

Stamp = NewType("Stamp", int)

LOGIC_BITS = 16
STAMP_ZERO = Stamp(0)
STAMP_MAX = Stamp((STAMP_MS_MAX << LOGIC_BITS) - 1)


def stamp_at(wall_ms: int) -> Stamp:
    """The least stamp of a moment."""
    return Stamp(wall_ms << LOGIC_BITS)


def stamp_ms(stamp: Stamp) -> int:
    """Wall milliseconds of a stamp."""
    return stamp >> LOGIC_BITS


def next_stamp(last: Stamp, *, wall_ms: int, above: Stamp = STAMP_ZERO) -> Stamp:
    """The stamp of a new write: above the last one and the entry it replaces, not before the wall."""
    return Stamp(max(last + 1, above + 1, wall_ms << LOGIC_BITS))


def observe_stamp(last: Stamp, seen: Stamp, *, wall_ms: int, drift_ms_max: int) -> Stamp:
    """The clock after a stamp from elsewhere was seen; unmoved by one too far ahead of ``wall_ms``."""
    if seen <= last or stamp_ms(seen) > wall_ms + drift_ms_max:
        return last
    return seen


def format_stamp(stamp: Stamp) -> str:
    """``milliseconds.logic``: a string, because 64 bits do not fit a JavaScript number."""
    return f"{stamp >> LOGIC_BITS}.{stamp & 0xFFFF}"
