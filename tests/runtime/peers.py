"""Transports on loopback with handlers that write down what they were told."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from os import urandom
from random import Random
from types import TracebackType

from kvgossip.model.ids import Address
from kvgossip.model.secret import ClusterSecret
from kvgossip.node.effects import Event
from kvgossip.runtime.endpoint import Endpoint
from kvgossip.runtime.faults import Faults
from kvgossip.runtime.handshake import Hello
from kvgossip.runtime.transport import Handlers, Transport
from kvgossip.runtime.websocket import bind


async def until(claim: Callable[[], bool], *, timeout_s: float = 8.0) -> None:
    """Wait for ``claim`` to hold, and fail if it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline_s, "it did not come true in time"
        await asyncio.sleep(0.005)


class Peer:
    """One transport and what its handlers heard. Use it as a context manager."""

    def __init__(
        self, *, cluster: str = "test", secret: bytes | None = None, name: str | None = None, port: int = 0
    ) -> None:
        self.sock = bind(Endpoint("127.0.0.1", port))
        self.port: int = self.sock.getsockname()[1]
        self.dialled = Address(f"127.0.0.1:{self.port}")
        self.address = Address(f"{name}:{self.port}") if name else self.dialled
        self.faults = Faults()
        self.received: list[tuple[Address, bytes]] = []
        self.take: Callable[[Address, bytes], None] = lambda sender, data: self.received.append(
            (sender, data)
        )
        self.connected: Counter[Address] = Counter()
        self.failed: Counter[Address] = Counter()
        self.events: list[Event] = []
        hello = Hello(cluster=cluster, address=self.address, instance=urandom(16), nonce=b"")
        self.transport = Transport(
            hello,
            ClusterSecret.derive(cluster, secret).handshake_key,
            Handlers(
                receive=lambda sender, data: self.take(sender, data),
                handle_connected=lambda to: self.connected.update([to]),
                handle_send_failed=lambda to: self.failed.update([to]),
                handle_event=self.events.append,
            ),
            rng=Random(self.port),
            faults=self.faults,
        )

    async def __aenter__(self) -> "Peer":
        await self.transport.start(self.sock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.transport.stop()

    def send(self, to: "Peer | Address", data: bytes = b"hello", *, is_bulk: bool = False) -> None:
        address = to.address if isinstance(to, Peer) else to
        self.transport.send(address, data, is_bulk=is_bulk)

    @property
    def frames(self) -> list[bytes]:
        return [data for _, data in self.received]

    def event_names(self) -> list[str]:
        return [event.name for event in self.events]
