"""The short path against the long one: the same bytes to both, on connections without a network.

    python -m tests.api.two_paths --seconds 1200     what ``make fuzz-paths`` runs
    python -m tests.api.two_paths --rng-seed 7 --rounds 1     replays a failure

A stream is some requests of one client, plain and strange ones, some damaged, cut into pieces anywhere. Each
goes to a connection of each of two nodes, of which one has no short path. Both must say the same, byte for
byte, but for what names a write: stamps, versions, contexts, moments and the id of the replica are numbered
in the order in which they occur. Both must close the connection or both keep it open, count the same
requests, and hold the same values in the end.
"""

import argparse
import asyncio
import re
import time
from collections import Counter
from random import Random
from typing import Any

from kvgossip.api.connection import Connections
from kvgossip.api.plain_request import PlainRequest
from kvgossip.config import VALUE_BYTES_MAX
from kvgossip.model.ids import Key, Kind, make_key
from kvgossip.runtime.node import Node
from tests.api.served import memory_node

QUIET_TURNS = 12
"""So many turns of the loop without a byte, and without a write that waits: nothing more is to come."""
REQUESTS_MAX = 6
_NAMES_OF_WRITES = re.compile(
    rb"\b(?:[0-9a-f]{16}){1,2}\b|(?<=Kv-Stamp: )[\d.]+|(?<=Kv-Context: )[\w-]+|(?<=Kv-Expires: )\d+"
)
DATE = re.compile(rb"Date: [^\r]+")


class Wire(asyncio.Transport):
    """What a connection writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.said = bytearray()
        self.is_closed = False

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self.said += data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Path:
    """A node, and one connection to it after the other."""

    def __init__(self, *, is_short: bool) -> None:
        self.node = memory_node()
        self.plain_count = 0
        self._is_short = is_short

    async def start(self) -> None:
        await self.node.start()
        self._connections = Connections(self.node)
        short_path = self._connections.short_path
        find = short_path.find_request

        def find_and_count(data: bytes) -> PlainRequest | None:
            found = find(data) if self._is_short else None
            self.plain_count += found is not None
            return found

        short_path.find_request = find_and_count  # type: ignore[method-assign]

    async def meet(self, pieces: list[tuple[bytes, bool]]) -> tuple[bytes, bool]:
        """What a connection says to pieces, and whether it is closed then. True: settle behind a piece."""
        wire, connection = Wire(), self._connections()
        connection.connection_made(wire)
        await self._settle(wire)
        for piece, settles in pieces:
            if wire.is_closed:
                break
            connection.data_received(piece)
            if settles:
                await self._settle(wire)
        await self._settle(wire)
        is_closed = wire.is_closed
        connection.connection_lost(None)
        return _numbered(bytes(wire.said)), is_closed

    async def _settle(self, wire: Wire) -> None:
        quiet, said = 0, 0
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            is_quiet = self.node._running().is_quiet and len(wire.said) == said
            quiet, said = quiet + 1 if is_quiet else 0, len(wire.said)


def _numbered(said: bytes) -> bytes:
    seen: dict[bytes, int] = {}
    dateless = DATE.sub(b"Date: now", said)
    return _NAMES_OF_WRITES.sub(lambda found: b"#%d" % seen.setdefault(found[0], len(seen)), dateless)


async def compare(rng_seeds: range, seconds: float = 1e9) -> Counter[str]:
    """Raises ``AssertionError`` that names the seed. Returns what was sent and how much of it was plain."""
    began_s, counts = time.monotonic(), Counter[str]()
    short, long = Path(is_short=True), Path(is_short=False)
    try:
        await asyncio.gather(short.start(), long.start())
        for rng_seed in rng_seeds:
            if time.monotonic() > began_s + seconds:
                break
            stream = draw_stream(Random(rng_seed))
            said = [await path.meet(stream) for path in (short, long)]
            replay = f"python -m tests.api.two_paths --rng-seed {rng_seed} --rounds 1"
            assert said[0] == said[1], f"{replay}\n{stream}\nshort: {said[0]}\nlong:  {said[1]}"
            counts.update(streams=1, answers=said[0][0].count(b"HTTP/1.1 "))
        requests = [path.node.measures.requests for path in (short, long)]
        assert requests[0] == requests[1]
        values = [_values(path.node) for path in (short, long)]
        assert values[0] == values[1]
    finally:
        await asyncio.gather(short.node.stop(), long.node.stop())
    counts.update(plain=short.plain_count, keys=len(values[0]))
    return counts


def _values(node: Node) -> dict[Key, object]:
    rows = node.replica.scan(make_key(Kind.KV, b"\0"), None, rows_max=100_000, bytes_max=1 << 30)
    return {key: getattr(entry, "value", None) for key, entry, _ in rows}


# -- streams ---------------------------------------------------------------------------------------------


def draw_stream(rng: Random) -> list[tuple[bytes, bool]]:
    oddity = rng.choice([0.0, 0.0, 0.1, 0.4])
    requests = [draw_request(rng, oddity) for _ in range(rng.randint(1, REQUESTS_MAX))]
    if rng.random() < oddity:
        last = rng.randrange(len(requests))
        requests[last] = _damaged(rng, requests[last])
    pieces = requests
    if rng.random() < 0.3:
        data = b"".join(requests)
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice([0, 0, 1, 3])))
        pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [(piece, rng.random() < 0.7) for piece in pieces if piece]


def draw_request(rng: Random, oddity: float) -> bytes:
    """``oddity``: the chance, for each part of it, that it is not plain."""

    def is_odd() -> bool:
        return rng.random() < oddity

    method = rng.choice(METHODS) if is_odd() else rng.choice([b"GET", b"GET", b"HEAD", b"PUT", b"PUT"])
    target = rng.choice(TARGETS if is_odd() else PLAIN_TARGETS)
    version = rng.choice([b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 "]) if is_odd() else b"HTTP/1.1"
    fields = [
        rng.choice([b"Host: n", b"host:127.0.0.1:7700"]),
        *rng.sample(HARMLESS, rng.choice([0, 0, 1, 3])),
    ]
    body = b""
    if method in (b"PUT", b"POST"):
        body = GET_A if is_odd() else rng.randbytes(rng.choice([0, 1, 20, 50]))
        fields.append(b"Content-Length: %d" % len(body))
    if is_odd():
        fields.append(rng.choice(STRANGE))
    if is_odd():
        fields.append(rng.choice(fields))
    if is_odd():
        fields.remove(rng.choice(fields))
    rng.shuffle(fields)
    return b"%b %b %b\r\n%b\r\n%b" % (method, target, version, b"".join(f + b"\r\n" for f in fields), body)


def _damaged(rng: Random, data: bytes) -> bytes:
    at, end = rng.randrange(len(data)), rng.randrange(len(data))
    return rng.choice(
        [
            data[:at] + rng.choice(DAMAGE) + data[at:],
            data[:at] + rng.choice(DAMAGE) + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[:at] + data[end:],
            data.replace(b"\r\n", b"\n", rng.randint(1, 5)),
        ]
    )


GET_A = b"GET /v1/kv/a HTTP/1.1\r\nHost: n\r\n\r\n"
METHODS = [b"DELETE", b"DELETE", b"DELETE", b"POST", b"get", b"OPTIONS", b"PATCH", b"BREW"]
PLAIN_TARGETS = [b"/v1/kv/" + name for name in (b"a", b"b", b"c/d", b"e-_~.!$&'()*+,;=:@")]
TARGETS = [
    b"/v1/kv/" + b"f" * 1_024,
    *(
        b"/v1/kv/" + name
        for name in (b"", b"%61", b"%zz", b"%ff", b"\xff", b"a b", b"a#b", b'"', b"..", b"a|")
    ),
    *(
        b"/v1/kv/" + name
        for name in (b"a?ttl=60", b"a?ttl=0", b"a?x=1", b"a?", b"f" * 1_025, b"\\", b"[", b"^")
    ),
    *(b"/v1/mv/a", b"/v1/kv", b"/v1/kw/a", b"/livez", b"/", b"*", b"http://n/v1/kv/a", b"//v1/kv/a"),
]
HARMLESS = [
    *(b"User-Agent: wrk/4", b"Accept: */*", b"Accept-Encoding: gzip, br", b"accept-language:en"),
    *(b"Connection: keep-alive", b"Content-Type: application/octet-stream"),
]
STRANGE = [
    *(b"X-Other: 1", b"CONNECTION: Keep-Alive", b"Content-Type: text/plain; charset=utf-8"),
    *(b"Connection: close", b"Connection: keep-alive, close", b"Connection: upgrade\r\nUpgrade: websocket"),
    *(b"Content-Length: 3", b"Content-Length: 03", b"Content-Length: +3", b"Content-Length: -1"),
    *(b"Content-Length: 1_0", b"Content-Length: %d" % (VALUE_BYTES_MAX + 1), b"Content-Length:"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Expect: 100-continue", b"Expect: tea"),
    *(b"If-Match: *", b"If-None-Match: *", b'If-Match: "a"', b"Kv-Context: AA", b"Content-Encoding: gzip"),
    *(
        b"Content-Type: text",
        b"Content-Type: a/b\tc",
        b"Content-Type: " + b"a/" + b"b" * 300,
        b"Content-Type:",
    ),
    *(b"User-Agent: \xff", b"User-Agent: a\r\n folded", b"Accept : */*", b"Accept:\t*/*", b"Accept: */* "),
    *(b"Host: m", b"Host : n", b": empty", b"no colon", b"X: \x00", b"X: \x01", b"X: " + b"x" * 2_000),
    *(b"User-Agent: " + b"x" * 900, b"Accept: text/html", b"Range: bytes=0-1", b"Authorization: x"),
]
DAMAGE = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b"\xff", b"GET /", b"0", b"9"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the short path against the long one.")
    parser.add_argument("--seconds", type=float, default=1_200, help="begin no stream later (default 1200)")
    parser.add_argument("--rounds", type=int, default=100_000_000, help="streams at most")
    parser.add_argument("--rng-seed", type=int, default=int(time.time()), help="of the first stream")
    arguments = parser.parse_args()
    first = arguments.rng_seed
    counts = asyncio.run(compare(range(first, first + arguments.rounds), arguments.seconds))
    print(", ".join(f"{count:,} {what}" for what, count in counts.items()), f"no difference; from {first}")


if __name__ == "__main__":
    main()
