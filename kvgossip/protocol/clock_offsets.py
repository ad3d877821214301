"""Wall clock correction: a node whose clock differs from most others' goes by theirs.

Every node tells its raw wall time in its SYN and ACK. The correction is the median of the raw offsets of all
live nodes heard, this node's own 0 among them: with three or more one wrong clock moves the median little,
and with two nobody can say who is wrong, so neither adopts the other's. Within the drift limit there is no
correction: stamps need no better clock, and what a message was under way would be taken for an offset.
"""

from collections.abc import Collection

from kvgossip.model.ids import ReplicaId

VOTERS_MIN = 3


class ClockOffsets:
    """The raw offsets of others from this node's raw clock, by the last message of each."""

    def __init__(self, drift_ms_max: int) -> None:
        self._drift_ms_max = drift_ms_max
        self._offsets_ms: dict[ReplicaId, int] = {}
        self.correction_ms = 0
        """Add this to the raw wall time. 0 while the clock is within the limit, or nobody can tell."""

    def note(self, replica: ReplicaId, *, their_wall_ms: int, wall_ms: int) -> None:
        """``replica`` told its raw wall time, by which this node's was ``wall_ms``."""
        self._offsets_ms[replica] = their_wall_ms - wall_ms

    def offset_ms(self, replica: ReplicaId) -> int | None:
        """How far ahead of ours the clock of ``replica`` is; None if it never told."""
        return self._offsets_ms.get(replica)

    def vote(self, live: Collection[ReplicaId]) -> bool:
        """Compute the correction anew from the ``live`` nodes. True if it changed from or to none."""
        for replica in [replica for replica in self._offsets_ms if replica not in live]:
            del self._offsets_ms[replica]
        offsets = sorted([0, *self._offsets_ms.values()])
        middle = (len(offsets) - 1) // 2
        median = min(offsets[middle], offsets[len(offsets) // 2], key=abs)
        is_off = len(offsets) >= VOTERS_MIN and abs(median) > self._drift_ms_max
        was_corrected = self.correction_ms != 0
        self.correction_ms = median if is_off else 0
        return was_corrected != is_off
