"""A deterministic scheduler of events in simulated time.

Events of one moment happen in the order in which they were scheduled, so a run depends on nothing but what
was scheduled: no clock, no thread, no hash order. There is no cancelling: whoever may lose interest in an
event looks, when it comes, whether it still matters.
"""

import heapq
from collections.abc import Callable

Action = Callable[[], None]

MS = 1_000
"""Simulated time is counted in microseconds."""
SECOND = 1_000_000


class Scheduler:
    """A heap of (moment, sequence number, action)."""

    def __init__(self) -> None:
        self.now_us = 0
        self.event_count = 0
        self._heap: list[tuple[int, int, Action]] = []
        self._sequence = 0

    def at(self, moment_us: int, action: Action) -> None:
        """Do ``action`` at ``moment_us``; at once, after what is due already, if that has passed."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(moment_us, self.now_us), self._sequence, action))

    def after(self, delay_us: int, action: Action) -> None:
        self.at(self.now_us + delay_us, action)

    def run_until(self, end_us: int) -> None:
        """Perform every event up to ``end_us``, which is the time when this returns."""
        heap = self._heap
        while heap and heap[0][0] <= end_us:
            self.now_us, _, action = heapq.heappop(heap)
            self.event_count += 1
            action()
        self.now_us = end_us
