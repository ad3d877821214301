"""A lean HTTP client for load: one kept connection, requests rendered as bytes, answers cut by their length.

Load generators share the machine with what they measure, so what they cost distorts the figures.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

REQUEST_TIMEOUT_S = 20.0


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, which must be there."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode()
        raise KeyError(name)


class Connection:
    """One connection to one node; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host.encode()

    @staticmethod
    async def open(address: str) -> "Connection":
        host, port = address.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        return Connection(reader, writer, address)

    async def request(self, method: bytes, target: bytes, body: bytes | None = None) -> Answer:
        """Raises ``OSError``, ``asyncio.IncompleteReadError`` or ``TimeoutError``: the outcome is unknown."""
        head = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, self._host)
        if body is not None:
            head += b"Content-Length: %d\r\n" % len(body)
        self._writer.write(head + b"\r\n" + (body or b""))
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            answer_head = await self._reader.readuntil(b"\r\n\r\n")
            length = 0
            if method != b"HEAD":
                at = answer_head.lower().find(b"\r\ncontent-length:")
                if at >= 0:
                    length = int(answer_head[at + 17 : answer_head.index(b"\r\n", at + 2)])
            answer_body = await self._reader.readexactly(length) if length else b""
        return Answer(int(answer_head[9:12]), answer_head, answer_body)

    async def put(self, key: str, body: bytes) -> Answer:
        return await self.request(b"PUT", b"/v1/kv/" + key.encode(), body)

    async def get(self, key: str) -> Answer:
        return await self.request(b"GET", b"/v1/kv/" + key.encode())

    async def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connections(addresses: list[str]) -> AsyncIterator[list[Connection]]:
    """One connection an address (which may repeat), closed at the end."""
    opened = [await Connection.open(address) for address in addresses]
    try:
        yield opened
    finally:
        for connection in opened:
            await connection.close()


async def load_keys(
    address: str, names: list[str], body_of: Callable[[str], bytes], *, width: int = 64
) -> None:
    """PUT every key, ``width`` at a time. Raises ``RuntimeError`` for an answer that is no 2xx."""
    todo = iter(names)

    async def work(connection: Connection) -> None:
        for name in todo:
            answer = await connection.put(name, body_of(name))
            if answer.status not in (201, 204):
                raise RuntimeError(f"PUT {name} was answered {answer.status}: {answer.body[:200]!r}")

    async with connections([address] * width) as opened:
        await asyncio.gather(*[work(connection) for connection in opened])


async def at_rate(rate_hz: float, seconds: float, act: Callable[[int], Awaitable[None]]) -> None:
    """Call ``act(i)`` at its intended time, open loop: a slow answer delays nobody. Waits for all."""
    started_s = time.monotonic()
    tasks = set()
    for index in range(int(rate_hz * seconds)):
        delay_s = started_s + index / rate_hz - time.monotonic()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        tasks.add(asyncio.ensure_future(act(index)))
    await asyncio.gather(*tasks)
