"""Load at a fixed rate, on a core of its own: a request is late from the moment that it is due.

``bench/http_load.py`` takes a task a request, which is too dear for ten thousand a second. Here a protocol
object writes prepared bytes and notes when a whole answer has come. Requests that are due wait for an idle
connection, and the wait counts (no coordinated omission). It takes a core, and leaves it for moments only: a
process at real-time priority that never sleeps is stopped by Linux for 50 ms in every second.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import cast

import uvloop

PAUSE_S = 50e-6
"""Between two looks at the clock. Timers of an event loop are a millisecond apart, which is too coarse."""
GRACE_S = 5.0
"""How long answers may take that are still out at the end."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Requests of one kind: ``request(i)`` makes the bytes of the i-th."""

    name: str
    rate_hz: float
    connections: int
    request: Callable[[int], bytes]
    statuses: Sequence[bytes]


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, idle: deque["_Connection"], latencies_ms: list[float], flow: Flow) -> None:
        self._idle = idle
        self._latencies_ms = latencies_ms
        self._statuses = tuple(flow.statuses)
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._due_s = 0.0
        self.failure: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are no subclass of it
        self._idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def send(self, request: bytes, due_s: float) -> None:
        if self._transport is None:
            raise ConnectionError("the node closed a connection")
        self._due_s = due_s
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        at = received.find(b"Content-Length: ", 0, end)
        length = int(received[at + 16 : received.index(b"\r\n", at)]) if at >= 0 else 0
        if len(received) < end + 4 + length:
            return
        self._latencies_ms.append((monotonic() - self._due_s) * 1e3)
        if received[9:12] not in self._statuses:
            self.failure = f"a request was answered {received[:200]!r}"
        self._received = b""
        self._idle.append(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def run_flows(address: str, flows: Sequence[Flow], seconds: float) -> dict[str, list[float]]:
    """By flow, the ms from the due time of each request. Raises ``RuntimeError`` for a wrong answer."""
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_run(address, flows, seconds))
    finally:
        gc.enable()


async def _run(address: str, flows: Sequence[Flow], seconds: float) -> dict[str, list[float]]:
    latencies: dict[str, list[float]] = {flow.name: [] for flow in flows}
    runs = [asyncio.ensure_future(_run_flow(address, flow, seconds, latencies[flow.name])) for flow in flows]
    await asyncio.gather(*runs)
    return latencies


async def _run_flow(address: str, flow: Flow, seconds: float, latencies_ms: list[float]) -> None:
    host, port = address.rsplit(":", 1)
    idle: deque[_Connection] = deque()
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: _Connection(idle, latencies_ms, flow), host, int(port)))[1]
        for _ in range(flow.connections)
    ]
    started_s = monotonic()
    count, sent = int(flow.rate_hz * seconds), 0
    while len(latencies_ms) < count:
        now_s = monotonic()
        if now_s > started_s + seconds + GRACE_S:
            raise RuntimeError(
                f"{count - len(latencies_ms)} of {count} requests of {flow.name} have no answer"
            )
        due = min(count, int((now_s - started_s) * flow.rate_hz) + 1)
        while sent < due and idle:
            idle.popleft().send(flow.request(sent), started_s + sent / flow.rate_hz)
            sent += 1
        sleep(PAUSE_S)
        await asyncio.sleep(0)
    for connection in opened:
        connection.close()
        if connection.failure is not None:
            raise RuntimeError(connection.failure)
