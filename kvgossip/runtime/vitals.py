"""Measures what only the runtime can see of a node: its processor, its memory, its disk, and its stalls."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path

from kvgossip.node.vital_signs import Vitals
from kvgossip.store.rocks_open import RESERVE_BYTES, free_bytes

DISK_FULL = "disk-full"
LOOP_STALLED = "loop-stalled"
STOPPING = "stopping"
STALL_TOLD_S = 30.0
"""A change of troubles is news for all members, and on a starved machine stalls come and go all the time."""


class VitalsMeter:
    """Reads the vitals now and then; rates are since the last time."""

    def __init__(self, data_dir: Path | None, count_stalls: Callable[[], int]) -> None:
        """``count_stalls``: how often the event loop has stood still since the start."""
        self.is_stopping = False
        self._data_dir = data_dir
        self._count_stalls = count_stalls
        self._stalls_seen = 0
        self._stalled_s = -inf
        self._cpu_s = time.process_time()
        self._read_s = time.monotonic()

    def read(self) -> Vitals:
        """A loop that stalled is told for ``STALL_TOLD_S``: by now it runs again."""
        cpu_s, now_s, stalls = time.process_time(), time.monotonic(), self._count_stalls()
        share = (cpu_s - self._cpu_s) / max(now_s - self._read_s, 0.001)
        self._cpu_s, self._read_s = cpu_s, now_s
        if stalls > self._stalls_seen:
            self._stalls_seen, self._stalled_s = stalls, now_s
        has_stalled = now_s - self._stalled_s < STALL_TOLD_S
        memory_bytes = disk_free_bytes = 0
        with suppress(OSError):  # platforms other than Linux do not tell
            memory_bytes = resident_bytes()
        is_full = False
        if self._data_dir is not None:
            with suppress(OSError):
                disk_free_bytes = free_bytes(self._data_dir)
                is_full = disk_free_bytes < RESERVE_BYTES
        found = ((DISK_FULL, is_full), (LOOP_STALLED, has_stalled), (STOPPING, self.is_stopping))
        return Vitals(
            cpu_permille=max(round(share * 1_000), 0),
            memory_bytes=memory_bytes,
            disk_free_bytes=disk_free_bytes,
            troubles=tuple(trouble for trouble, is_so in found if is_so),
        )


def resident_bytes() -> int:
    """Resident memory of this process. Raises ``OSError`` where there is no ``/proc``."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
