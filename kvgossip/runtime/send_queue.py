"""Frames that wait for one peer, in two lanes, bounded in bytes.

Control frames are small and steer (probes, acks, requests); they overtake bulk, so a full pipe does not make
a live node look dead. Within a lane the order is kept. What does not fit is refused, never awaited: the
caller reports it as lost and anti-entropy mends it. All queues of a node share one ``ByteBudget`` besides.
"""

from collections import deque
from dataclasses import dataclass

CONTROL_BYTES_MAX = 1 << 20
BULK_BYTES_MAX = 4 << 20
"""Of one peer: sixteen batches, more than all exchanges with it keep in flight."""
ALL_BYTES_MAX = 64 << 20
"""Of all peers: hundreds of slow ones must not add up."""
_FRAME_OVERHEAD_BYTES = 64
"""What an empty frame costs to hold: a flood of those is bounded too."""


@dataclass(slots=True)
class ByteBudget:
    """Bytes that all queues of a node hold together."""

    bytes_max: int = ALL_BYTES_MAX
    bytes_held: int = 0


class _Lane:
    """First in, first out, up to a number of bytes."""

    __slots__ = ("bytes_held", "bytes_max", "frames")

    def __init__(self, bytes_max: int) -> None:
        self.frames: deque[bytes] = deque()
        self.bytes_held = 0
        self.bytes_max = bytes_max


class SendQueue:
    """See the module."""

    __slots__ = ("_budget", "_bulk", "_control")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._control = _Lane(CONTROL_BYTES_MAX)
        self._bulk = _Lane(BULK_BYTES_MAX)

    def __bool__(self) -> bool:
        return bool(self._control.frames or self._bulk.frames)

    def push(self, frame: bytes, *, is_bulk: bool) -> bool:
        """Queue ``frame``. False if there is no room: then it is not held."""
        lane = self._bulk if is_bulk else self._control
        cost = len(frame) + _FRAME_OVERHEAD_BYTES
        if lane.bytes_held + cost > lane.bytes_max or self._budget.bytes_held + cost > self._budget.bytes_max:
            return False
        lane.frames.append(frame)
        lane.bytes_held += cost
        self._budget.bytes_held += cost
        return True

    def pop(self) -> bytes | None:
        """The next frame to send; None if there is none."""
        lane = self._control if self._control.frames else self._bulk
        if not lane.frames:
            return None
        frame = lane.frames.popleft()
        cost = len(frame) + _FRAME_OVERHEAD_BYTES
        lane.bytes_held -= cost
        self._budget.bytes_held -= cost
        return frame

    def clear(self) -> int:
        """Drop everything; how many frames that were."""
        dropped = len(self._control.frames) + len(self._bulk.frames)
        for lane in (self._control, self._bulk):
            self._budget.bytes_held -= lane.bytes_held
            lane.bytes_held = 0
            lane.frames.clear()
        return dropped

    def take_over(self, other: "SendQueue") -> int:
        """Move what ``other`` holds behind what this holds; how many frames found no room."""
        lanes = ((other._control.frames, False), (other._bulk.frames, True))
        moving = [(frame, is_bulk) for frames, is_bulk in lanes for frame in frames]
        other.clear()
        return sum(not self.push(frame, is_bulk=is_bulk) for frame, is_bulk in moving)
