"""A suspicion under way: how long a member has to refute it.

It begins with ``max`` and shrinks towards ``min`` as others confirm it from their own probes (Lifeguard:
Dadgar, Phillips, Currey 2017, section IV.B):

    timeout = max - (max - min) * log(confirmations + 1) / log(expected + 1)

where min is ``suspicion_mult`` probe intervals times log10 of the cluster's size, the time that a refutation
takes to arrive. A claim that the member is *down* says that somebody's time was up: ours becomes the least.
"""

from math import log, log10

from kvgossip.config import Tuning
from kvgossip.model.ids import ReplicaId


class Suspicion:
    """Of one incarnation of one member."""

    __slots__ = ("_expected", "_max_ms", "_min_ms", "asked_count", "asked_ms", "by", "started_ms")

    def __init__(self, by: ReplicaId, *, member_count: int, tuning: Tuning, now_ms: int) -> None:
        """``member_count``: of all present members, this node and the suspect among them."""
        self.by = {by}
        self.started_ms = now_ms
        self.asked_count = 0
        """How often this node has asked the suspect itself for a last word."""
        self.asked_ms = now_ms
        scale = max(1.0, log10(max(member_count, 1)))
        self._min_ms = round(tuning.suspicion_mult * tuning.probe_interval_ms * scale)
        self._max_ms = tuning.suspicion_max_mult * self._min_ms
        self._expected = max(min(tuning.probe_helpers, member_count - 2), 0)

    def confirm(self, by: ReplicaId) -> bool:
        """Another one (0: nobody knows who) suspects the member, too. True if that is worth passing on."""
        if not by or by in self.by or len(self.by) > self._expected:
            return False
        self.by.add(by)
        return True

    def hasten(self) -> None:
        """Elsewhere the time is up."""
        self._max_ms = self._min_ms

    def excuse(self, stall_ms: int) -> None:
        """This node was not there for ``stall_ms``: it could not have heard a refutation."""
        self.started_ms += stall_ms

    @property
    def deadline_ms(self) -> int:
        if not self._expected:
            return self.started_ms + self._min_ms
        share = min(log(len(self.by)) / log(self._expected + 1), 1.0)
        return self.started_ms + round(self._max_ms - (self._max_ms - self._min_ms) * share)
