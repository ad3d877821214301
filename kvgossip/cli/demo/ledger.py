"""What every node must answer in the end: files read again from the disk, and the writes that came after.

Of the ``kv`` writes to one key the one with the greatest stamp wins, then the greatest replica id. Both are
in the answers to the writes, so what must come out is known without asking any node.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from kvgossip.cli.demo.client import Answer, Stamp


@dataclass(frozen=True, slots=True)
class Write:
    """A write during the cut; ``body`` is None if it deleted."""

    rank: tuple[Stamp, str]
    node: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Expected:
    """``digest`` is None if the key must be deleted. ``source`` is for people."""

    digest: str | None
    source: str


@dataclass(slots=True)
class Ledger:
    files: dict[str, Path]
    writes: dict[str, list[Write]] = field(default_factory=dict)

    def record(self, key: str, node: str, answer: Answer, body: bytes | None) -> None:
        self.writes.setdefault(key, []).append(Write(answer.rank, node, body))

    def all_keys(self) -> list[str]:
        return sorted(self.files.keys() | self.writes.keys())

    def expected(self, key: str) -> Expected:
        """Reads the file again, if that is where the value must come from."""
        writes = self.writes.get(key)
        if not writes:
            path = self.files[key]
            return Expected(sha256(path.read_bytes()).hexdigest(), f"the file {path}")
        last = max(writes, key=lambda write: write.rank)
        if last.body is None:
            return Expected(None, f"the delete through {last.node}")
        return Expected(sha256(last.body).hexdigest(), f"the write through {last.node}")
