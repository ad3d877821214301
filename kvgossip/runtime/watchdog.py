"""Notices when the event loop stands still, and says where.

The loop beats a few times a second, and how late each beat comes is its lag. A thread looks at the last beat:
when it is older than ``STALL_S`` the log gets one line with the stack of the loop's thread, which names the
culprit while it is at it. If the thread itself overslept (the process was frozen, or something held the
interpreter lock) it blames nobody: the beat that comes late then still shows in the lag.
"""

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from time import monotonic

from kvgossip.node.effects import Event
from kvgossip.runtime.histogram import Histogram

BEAT_S = 0.25
CHECK_S = 0.5
STALL_S = 1.0
STACK_LINES_MAX = 40


class Watchdog:
    """Watches the loop that it is started on."""

    def __init__(self, write_event: Callable[[Event], None], loop_lag: Histogram) -> None:
        """``write_event`` is called from another thread."""
        self.stall_count = 0
        self._write_event = write_event
        self._lag = loop_lag
        self._beat_s = monotonic()
        self._due_s = self._beat_s
        self._timer: asyncio.TimerHandle | None = None
        self._watched = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    @property
    def silent_s(self) -> float:
        """For how long the loop has not beaten."""
        return monotonic() - self._beat_s

    def start(self) -> None:
        self._watched = threading.get_ident()
        self._beat_s = self._due_s = monotonic()
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        now_s = monotonic()
        self._lag.observe(max(now_s - self._due_s, 0.0))
        self._beat_s, self._due_s = now_s, now_s + BEAT_S
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _watch(self) -> None:
        is_told = False
        looked_s = monotonic()
        while not self._stopped.wait(CHECK_S):
            now_s = monotonic()
            has_overslept = now_s - looked_s > CHECK_S + STALL_S / 2
            looked_s = now_s
            if self.silent_s < STALL_S:
                if is_told:
                    self._write_event(Event("loop-resumed", {}))
                is_told = False
            elif not is_told and not has_overslept:
                is_told = True
                self.stall_count += 1
                silent_ms = int(self.silent_s * 1_000)
                self._write_event(Event("loop-stalled", {"duration_ms": silent_ms, "stack": self._stack()}))

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame, STACK_LINES_MAX)) if frame is not None else "unknown"
