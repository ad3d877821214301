"""``--trace FILE``: when each write became readable on this node, for benchmarks.

A line is ``dot monotonic_ns``. The monotonic clock is common to all processes of one machine, so traces of
several nodes there can be compared.
"""

from collections.abc import Sequence
from pathlib import Path
from time import monotonic_ns

from kvgossip.model.dot import Dot


class Trace:
    """Appends to a file; ``flush`` it every second."""

    def __init__(self, path: Path) -> None:
        """Raises ``OSError``."""
        self._file = path.open("a", buffering=1 << 16, encoding="ascii")

    def note_visible(self, dots: Sequence[Dot]) -> None:
        now_ns = monotonic_ns()
        self._file.writelines(f"{dot} {now_ns}\n" for dot in dots)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
