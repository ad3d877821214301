"""The kinds of fault, and the count of those that were really injected.

A fault that was scheduled and did nothing proves nothing, so each is counted where it takes effect: a frame
lost, a batch refused, a clock moved.
"""

from collections import Counter
from enum import Enum


class Fault(Enum):
    """What can go wrong in a simulated world. The values are what reports print."""

    LOSS = "loss"
    DELAY = "delay"
    DUPLICATION = "duplication"
    REORDER = "reorder"
    PARTITION = "partition"
    ONE_WAY = "one-way"
    BRIDGE = "bridge"
    FLAP = "flap"
    CRASH = "crash"
    POWER_LOSS = "power-loss"
    COMMIT_REFUSED = "commit-refused"
    DISK_FULL = "disk-full"
    OUTCOME_UNKNOWN = "outcome-unknown"
    SLOW_DISK = "slow-disk"
    CLOCK_JUMP = "clock-jump"
    FREEZE = "freeze"
    ISOLATE = "isolate"
    REPLAY = "replay"
    NARROW = "narrow-link"
    STRANGE = "strange-version"
    """Frames of a later version: unknown types, other version bytes, appended fields."""
    POISON = "poison"
    """Entries that cannot be decoded."""
    CLOCK_FAR = "clock-far"
    """A wall clock that is ten years wrong until somebody sets it right."""
    CLOCK_DRIFT = "clock-drift"
    MASS_RESTART = "mass-restart"
    WIPE = "wipe"
    RESTORE = "restore"
    CLONE = "clone"
    LEAVE = "leave"
    JOIN = "join"
    SIEGE = "siege"
    """What is around and within a connected core stays broken while that converges: see ``sim/siege.py``."""


Injected = Counter[Fault]
