"""Writers that go on while nodes are killed, stopped and cut off, and remember what was acknowledged."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.docker.api import Api, NoAnswer
from tests.docker.cluster import wait_until

WRITERS = 4
_RETRY_S = 5.0
"""How long a client goes on to ask one node after the other before a request counts as an error."""


@dataclass(slots=True)
class Load:
    """``acknowledged``: the last value of each key that a node said it has. Each key has one writer."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    writes: int = 0
    """Acknowledged ones, for those who wait for some."""
    retried: int = 0
    """Requests that the first node did not answer, or refused, and another one took."""
    errors: list[str] = field(default_factory=list)
    unknown: dict[str, set[str]] = field(default_factory=dict)
    """Values whose writes went without an answer: they may have taken effect."""
    stop: threading.Event = field(default_factory=threading.Event)

    def wait_writes(self, more: int) -> None:
        """Until so many more are acknowledged."""
        count = self.writes + more
        wait_until(lambda: self.writes >= count, f"{more} more writes are acknowledged")

    def expect(self, key: str, found: str | None) -> None:
        """Raise unless ``found`` was acknowledged last, or came later and may have taken effect."""
        wanted = {self.acknowledged[key], *self.unknown.get(key, ())}
        assert found in wanted, f"{key}: read {found}, acknowledged {self.acknowledged[key]}"


@contextmanager
def load(apis: Sequence[Api], prefix: str, *, retries: bool = True) -> Iterator[Load]:
    """Write while the block runs, through each node in turn. ``retries``: ask another one after a failure."""
    made = Load()
    threads = [
        threading.Thread(target=_write, args=(made, apis, f"{prefix}/{number}", number, retries), daemon=True)
        for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.stop.set()
        for thread in threads:
            thread.join(30.0)


def _write(made: Load, apis: Sequence[Api], prefix: str, number: int, retries: bool) -> None:
    count = 0
    while not made.stop.is_set():
        key, value = f"{prefix}/{count % 200}", f"v{count}"
        begin = (count + number) % len(apis)
        if _put(made, [*apis[begin:], *apis[:begin]], key, value, retries):
            made.acknowledged[key] = value
            made.writes += 1
            made.unknown.pop(
                key, None
            )  # a write supersedes what its node had seen, and each key has one writer
        count += 1


def _put(made: Load, apis: Sequence[Api], key: str, value: str, retries: bool) -> bool:
    """True if a node acknowledged it."""
    deadline_s = time.monotonic() + _RETRY_S
    attempt, said = 0, ""
    while attempt == 0 or (retries and time.monotonic() < deadline_s):
        try:
            reply = apis[attempt % len(apis)].request("PUT", f"/v1/kv/{key}", body=value.encode())
            if reply.status in (201, 204):
                made.retried += attempt > 0
                return True
            said = f"{reply.status} {reply.body[:100]!r}"
        except NoAnswer as error:
            said = str(error)
            made.unknown.setdefault(key, set()).add(value)
        attempt += 1
    made.errors.append(said)
    return False
