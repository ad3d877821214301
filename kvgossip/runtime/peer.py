"""What a transport remembers of one peer, and the budget that all tries to reach peers share."""

from dataclasses import dataclass
from random import Random

from kvgossip.model.ids import Address
from kvgossip.runtime.lateness import Lateness
from kvgossip.runtime.link import Link
from kvgossip.runtime.send_queue import SendQueue

RETRY_S = 1.0
"""Between tries of a peer that does not answer, jittered by a quarter."""
REFUSED_RETRY_S = 5.0
"""The same for one that does answer, with a refusal: only a person can change that."""
FRAMES_WAIT_S = 2.0
"""Frames wait so long for a link. To open one may take longer."""
FRAMES_WAIT_LATE = 10
"""... and so many times as long as this node is late: six steps, each of them late, and some more."""
WANTED_S = 60.0
"""A peer is tried for this long after the last frame for it."""
DIALS_PER_S_MAX = 64.0
"""Of all peers together: a node that is cut off from hundreds does not flood the line back to them."""
HALVED_LATE_S = 0.01
"""A node that comes so late to what it planned may try half as often, ten times as late some tenth."""


@dataclass(slots=True)
class Peer:
    """A node we sent to, or that linked to us, under the address that it advertises or that we dial."""

    address: Address
    queue: SendQueue
    next_try_s: float
    wanted_until_s: float = 0.0
    link: Link | None = None
    is_dialling: bool = False
    waiting_since_s: float | None = None
    """Since when frames have waited for a link, if any do."""
    has_failed: bool = False
    """The last try failed, or frames waited too long: they are dropped until it is reached."""
    trouble: str = ""
    """What the log was last told of it; empty while all is well."""

    def plan_try(self, rng: Random, *, since_s: float, pause_s: float) -> None:
        self.next_try_s = since_s + pause_s * rng.uniform(0.75, 1.25)

    def has_waited_enough(self, now_s: float, late_s: float) -> bool:
        """True if frames have waited for a link as long as they may on a node that is ``late_s`` late."""
        wait_s = FRAMES_WAIT_S + FRAMES_WAIT_LATE * late_s
        return self.waiting_since_s is not None and now_s >= self.waiting_since_s + wait_s

    def is_wanted(self, now_s: float) -> bool:
        return bool(self.queue) or now_s < self.wanted_until_s

    def is_due(self, now_s: float) -> bool:
        return self.link is None and not self.is_dialling and now_s >= self.next_try_s


class DialBudget:
    """A token bucket that holds one second's worth of tries, and fills slowly on a starved node.

    A try takes both sides a millisecond and a half of processor time. Where nodes share too few processors,
    tries that are answered too late, and made again, would take all that there is.
    """

    def __init__(self, now_s: float, lateness: Lateness) -> None:
        self._tries = DIALS_PER_S_MAX
        self._counted_s = now_s
        self._lateness = lateness

    def take(self, now_s: float) -> bool:
        """True if one more try is within the budget."""
        per_s = DIALS_PER_S_MAX * HALVED_LATE_S / (HALVED_LATE_S + self._lateness.seconds)
        earned = (now_s - self._counted_s) * per_s
        self._tries = min(self._tries + earned, DIALS_PER_S_MAX)
        self._counted_s = now_s
        if self._tries < 1:
            return False
        self._tries -= 1
        return True
