"""Slow and hostile clients on raw sockets: answered or closed in time, and memory stays bounded."""

import re
import socket
import time
from contextlib import ExitStack, suppress
from threading import Thread
from typing import NamedTuple

import pytest

from kvgossip.cli.local_cluster import NodeProcess
from tests.faults.calls import get, put
from tests.faults.conftest import MakeCluster

pytestmark = pytest.mark.faults

CLOSED_S = 15.0
MEMORY_BYTES_MAX = 64 << 20
IDLE_CONNECTIONS = 2_000
STRANGERS = 20
"""Connections of each kind at a time."""
END_S = 25.0

HEAD = b"PUT /v1/kv/hostile HTTP/1.1\r\nHost: n\r\n"


def connect(node: NodeProcess) -> socket.socket:
    host, port = node.api.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=END_S)


class Strange(NamedTuple):
    """``first`` is sent, then ``then`` again and again. The first of ``answers`` begins with ``answer``."""

    first: bytes
    then: bytes
    answer: bytes
    pause_s: float = 0.5
    answers: int = 1


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
BOTH_LENGTHS = HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"0\r\n\r\nGET /livez HTTP/1.1\r\nHost: n\r\n\r\n"
PIPELINED = b"GET /v1/kv/big HTTP/1.1\r\nHost: n\r\n\r\n" * 50

STRANGE = {
    "silent": Strange(b"", b"", b"", answers=0),
    "slow headers": Strange(HEAD, b"A: b\r\n", b"", answers=0),
    "headers without an end": Strange(HEAD, b"A: " + b"a" * 5_000 + b"\r\n", b"HTTP/1.1 431 ", pause_s=0.01),
    "slow body": Strange(HEAD + b"Content-Length: 1000\r\n\r\n", b"x", b"HTTP/1.1 408 "),
    "body that stops": Strange(HEAD + b"Content-Length: 1000\r\n\r\nx", b"", b"HTTP/1.1 408 "),
    "body too large": Strange(HEAD + b"Content-Length: 99999999999\r\n\r\n", CHUNK, b"HTTP/1.1 413 ", 0.01),
    "endless chunks": Strange(CHUNKED, CHUNK, b"HTTP/1.1 413 ", pause_s=0.01),
    "slow chunks": Strange(CHUNKED, b"1\r\nx\r\n", b"HTTP/1.1 408 "),
    "both lengths": Strange(BOTH_LENGTHS + SMUGGLED, b"", b"HTTP/1.1 400 "),
    "two lengths": Strange(
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", b"", b"HTTP/1.1 400 "
    ),
    "no HTTP": Strange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"", b"HTTP/1.1 400 "),
    "pipelining": Strange(PIPELINED, b"", b"HTTP/1.1 200 ", answers=50),
}

End = tuple[float, bytes]


def seconds_to_the_end(node: NodeProcess, stranger: Strange) -> End:
    """How long the node bore it, and what it said."""
    began_s = time.monotonic()
    said = bytearray()
    with connect(node) as raw, suppress(ConnectionError):
        raw.settimeout(stranger.pause_s)
        raw.sendall(stranger.first)
        while time.monotonic() < began_s + END_S:
            try:
                part = raw.recv(65_536)
            except TimeoutError:
                with suppress(ConnectionError, TimeoutError):  # it may have answered and hung up
                    raw.sendall(stranger.then)
                continue
            if not part:
                break
            said += part
    return time.monotonic() - began_s, bytes(said)


@pytest.fixture
def node(make_cluster: MakeCluster) -> NodeProcess:
    node = make_cluster(1).nodes[0]
    node.start()
    node.wait_ready()
    assert put(node, "k", "v").status == 201
    assert put(node, "big", "v" * 100_000).status == 201
    return node


class Watch:
    """What honest clients get meanwhile, and how much memory the node takes on top."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self.began_bytes = node.resident_bytes
        self.grown_bytes = 0
        self.slowest_s = 0.0

    def look(self) -> None:
        began_s = time.monotonic()
        assert get(self._node, "k").body == b"v"
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        self.grown_bytes = max(self.grown_bytes, self._node.resident_bytes - self.began_bytes)


def test_strange_clients_are_answered_or_closed_in_time_and_memory_is_bounded(node: NodeProcess) -> None:
    """All kinds at once, each from ``STRANGERS`` connections."""
    watch = Watch(node)
    ends: dict[str, list[End]] = {kind: [] for kind in STRANGE}

    def meet(kind: str, stranger: Strange) -> None:
        ends[kind].append(seconds_to_the_end(node, stranger))

    workers = [
        Thread(target=meet, args=met, daemon=True) for met in STRANGE.items() for _ in range(STRANGERS)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        watch.look()
        time.sleep(0.2)
    for kind, stranger in STRANGE.items():
        assert len(ends[kind]) == STRANGERS
        for seconds, said in ends[kind]:
            assert seconds < CLOSED_S, f"{kind}: open for {seconds:.1f} s"
            assert said.startswith(stranger.answer), f"{kind}: {said[:80]!r}"
            assert len(re.findall(rb"HTTP/1\.1 \d", said)) == stranger.answers, f"{kind}: {said[:300]!r}"
    assert get(node, "hostile").status == 404  # nothing of it was stored
    print(f"memory {watch.grown_bytes / (1 << 20):.1f} MB, slowest honest read {watch.slowest_s:.2f} s")
    assert watch.slowest_s < 2
    assert watch.grown_bytes < MEMORY_BYTES_MAX


def test_two_thousand_idle_connections_are_closed_in_time_and_memory_is_bounded(node: NodeProcess) -> None:
    watch = Watch(node)
    with ExitStack() as held:
        sockets = [held.enter_context(connect(node)) for _ in range(IDLE_CONNECTIONS)]
        for number, raw in enumerate(sockets):  # half of them say something first
            with suppress(ConnectionError):
                if number % 2:
                    raw.sendall(b"GET /livez HTTP/1.1\r\nHo")
        opened_s = time.monotonic()
        watch.grown_bytes = node.resident_bytes - watch.began_bytes
        left = [raw for raw in sockets if not is_closed(raw)]
        while left and time.monotonic() < opened_s + CLOSED_S:
            time.sleep(0.2)
            watch.grown_bytes = max(watch.grown_bytes, node.resident_bytes - watch.began_bytes)
            left = [raw for raw in left if not is_closed(raw)]
        print(
            f"memory {watch.grown_bytes / (1 << 20):.1f} MB, all closed {time.monotonic() - opened_s:.1f} s"
        )
        assert not left, f"{len(left)} are open after {CLOSED_S:.0f} s"
    watch.look()
    assert watch.grown_bytes < MEMORY_BYTES_MAX


def is_closed(raw: socket.socket) -> bool:
    raw.setblocking(False)
    try:
        while raw.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True
