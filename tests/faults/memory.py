"""The memory of a node while a fuzzer is at it: at the start, in between, at the end, and at most."""

import time

from kvgossip.cli.local_cluster import NodeProcess

TOLD_EVERY_S = 60.0
_MB = 1 << 20


class MemoryWatch:
    """Resident memory. ``look`` often: it prints a line a minute."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self._began_s = self._told_s = time.monotonic()
        self.start_bytes = node.resident_bytes

    def look(self, done: str) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= TOLD_EVERY_S:
            self._told_s = now_s
            print(
                f"{now_s - self._began_s:5.0f} s  {done}  {self._node.resident_bytes / _MB:.0f} MB",
                flush=True,
            )

    @property
    def grown_bytes(self) -> int:
        return self._node.resident_bytes - self.start_bytes

    def __str__(self) -> str:
        """For the end: the node must still run."""
        node = self._node
        return (
            f"memory of the node: {self.start_bytes / _MB:.0f} MB at the start, "
            f"{node.resident_bytes_peak / _MB:.0f} MB at most, {node.resident_bytes / _MB:.0f} MB at the end"
        )
