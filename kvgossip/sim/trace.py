"""The trace of a run: one line an event, hashed, and printed on demand.

Two runs of one seed are the same run exactly if their traces hash the same; that is how a test finds a set of
strings that some code iterates over.
"""

from collections.abc import Callable
from hashlib import blake2b


class Trace:
    """``write`` takes each line, if somebody wants to read them."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write
        self._hash = blake2b(digest_size=16)

    def note(self, now_us: int, who: str, what: str, data: bytes = b"") -> None:
        """Record an event. ``data`` goes into the hash as it is, and as its length into the line."""
        line = f"{now_us / 1_000_000:12.6f} {who} {what}"
        self._hash.update(line.encode())
        self._hash.update(data)
        if self._write is not None:
            self._write(f"{line} ({len(data)} bytes)" if data else line)

    def digest(self) -> str:
        """32 hexadecimal digits over all events so far."""
        return self._hash.hexdigest()
