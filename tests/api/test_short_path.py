"""The short path: what it takes, that it answers as the long one does, and what a connection is meanwhile.

That the answers are equal is held by ``two_paths.py``; and every other test of the API runs on both paths.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from random import SystemRandom

import pytest

from kvgossip.api import connection, kv
from kvgossip.api.answer import Answer
from kvgossip.api.connection import Connections
from kvgossip.api.plain_request import HEADS_KEPT_MAX, PlainHead, PlainHeads, read_plain_head
from kvgossip.api.server import SHUTDOWN_TIMEOUT_S
from kvgossip.api.short_path import READ_TOGETHER_MAX
from kvgossip.errors import CorruptRowError
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, Kind, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.value import Value
from kvgossip.node.effects import Condition
from kvgossip.node.rows import RowError
from kvgossip.runtime.node import Node
from kvgossip.store.base import Batch
from kvgossip.store.memory import MemoryStore
from tests.api.served import TIMEOUT_S, Served, memory_node, read_to_end, serving
from tests.api.two_paths import DATE, QUIET_TURNS, Wire, compare

PUT = b"PUT /v1/kv/%b HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\n%b"
GET = b"GET /v1/kv/%b HTTP/1.1\r\nHost: n\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module", autouse=True)
def short_or_long() -> None:
    """Only the short path is under test here."""


class Disk:
    """A disk that can be held."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.free.set()
        write = MemoryStore.write

        def write_when_free(store: MemoryStore, batch: Batch) -> None:
            assert self.free.wait(TIMEOUT_S)
            write(store, batch)

        patch.setattr(MemoryStore, "write", write_when_free)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.free.set()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of the requests that took the short path."""
    taken: list[str] = []
    send = connection.Connection._send

    def note(self: connection.Connection, answer: bytes) -> None:
        taken.append(answer.split(b"\r\n")[0].decode())
        send(self, answer)

    monkeypatch.setattr(connection.Connection, "_send", note)
    return taken


def test_both_paths_say_the_same_to_drawn_streams() -> None:
    first = SystemRandom().randrange(1 << 32)
    counts = asyncio.run(compare(range(first, first + 300)))
    print(f"from {first}: {counts}")
    assert counts["plain"] > counts["answers"] / 8, "the short path was hardly taken"


# -- what is plain


def test_a_head_is_plain_if_it_says_who_asks_whom_and_what_follows() -> None:
    assert read_plain_head(b"Host: n\r\n") == PlainHead(None, "")
    raw = (
        b"host:n:1\r\nUser-Agent: a (b) c\r\nAccept: */*\r\nConnection: Keep-Alive\r\nContent-Length: 12\r\n"
    )
    assert read_plain_head(raw) == PlainHead(12, "")
    assert read_plain_head(raw + b"Content-Type: a/b; c=d\r\n") == PlainHead(12, "a/b; c=d")


@pytest.mark.parametrize(
    "field",
    [
        *(
            "Host: m",
            "Connection: close",
            "Transfer-Encoding: chunked",
            "Expect: 100-continue",
            "If-Match: *",
        ),
        *("Content-Length: 01", "Content-Length: +1", "Content-Length: 1, 1", "Content-Length: 99999999"),
        *("Content-Type: text", "Content-Encoding: gzip", "Kv-Context: AA", "Authorization: x", "Accept : x"),
        *(
            "Accept: \x01",
            "Accept: \xff",
            "Accept: a\r\n b",
            "Accept: a ",
            "no colon",
            ": a",
            "Range: bytes=0-",
        ),
    ],
)
def test_a_head_with_anything_else_is_not(field: str) -> None:
    assert read_plain_head(b"Host: n\r\n") is not None
    assert read_plain_head(b"Host: n\r\n" + field.encode("latin-1") + b"\r\n") is None


def test_heads_are_kept_up_to_a_bound() -> None:
    heads = PlainHeads()
    for number in range(3 * HEADS_KEPT_MAX):
        assert heads.find_request(b"GET /v1/kv/a HTTP/1.1\r\nHost: n%d\r\n\r\n" % number) is not None
        assert len(heads._known) <= HEADS_KEPT_MAX


def test_half_a_request_is_not_plain() -> None:
    whole = PUT % (b"a", b"x")
    assert PlainHeads().find_request(whole) is not None
    for end in range(len(whole)):
        assert PlainHeads().find_request(whole[:end]) is None


# -- a connection meanwhile


def test_a_connection_returns_to_the_short_path_behind_what_was_not_plain(plain: list[str]) -> None:
    with serving(memory_node()) as served, connected(served) as raw:
        for request, answer in (
            (PUT % (b"a", b"x"), b"201"),
            (b"PUT /v1/kv/a?ttl=9 HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\ny", b"204"),
            (GET % b"a", b"200"),  # nobody knows whether aiohttp has half a head behind the body
            (GET % b"a", b"200"),
            (b"DELETE /v1/kv/a HTTP/1.1\r\nHost: n\r\n\r\n", b"204"),
            (GET % b"a", b"404"),
        ):
            assert ask(raw, request).startswith(b"HTTP/1.1 " + answer)
    assert plain == ["HTTP/1.1 201 Created", "HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"]


def test_requests_behind_a_put_that_waits_are_answered_behind_it_in_order(
    disk: Disk, plain: list[str]
) -> None:
    with serving(memory_node()) as served, connected(served) as raw:
        disk.free.clear()
        raw.sendall(PUT % (b"a", b"x"))
        with connected(served) as other:  # others are served meanwhile
            assert ask(other, GET % b"a").startswith(b"HTTP/1.1 404 ")
        raw.sendall(GET % b"a" + PUT % (b"a", b"y"))
        raw.sendall(GET % b"a" + LAST)
        disk.free.set()
        said = read_to_end(raw)
    assert [answer[:3] for answer in said.split(b"HTTP/1.1 ")[1:]] == [b"201", b"200", b"204", b"200", b"200"]
    assert said.index(b"\r\n\r\nx") < said.index(b"\r\n\r\ny")
    assert plain == ["HTTP/1.1 404 Not Found", "HTTP/1.1 201 Created"]


def test_a_put_that_waits_longer_than_an_idle_connection_may_is_answered(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, plain: list[str]
) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.1)
    with serving(memory_node()) as served, connected(served) as raw:
        disk.free.clear()
        raw.sendall(PUT % (b"a", b"x"))
        with connected(served) as idle:  # opened later, and closed in time
            assert read_to_end(idle) == b""
        disk.free.set()
        assert read_to_end(raw).startswith(b"HTTP/1.1 201 ")  # and then it is closed as an idle one
    assert plain == ["HTTP/1.1 201 Created"]


def test_an_answer_gives_the_next_head_its_time(monkeypatch: pytest.MonkeyPatch, plain: list[str]) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.5)
    with serving(memory_node()) as served, connected(served) as raw:
        began_s = time.monotonic()
        while time.monotonic() < began_s + 1.0:
            assert ask(raw, GET % b"a").startswith(b"HTTP/1.1 404 ")
        assert read_to_end(raw) == b""
    assert len(plain) > 10


def test_a_shutdown_waits_for_a_put(disk: Disk, plain: list[str]) -> None:
    with serving(memory_node()) as served:
        raw = connected(served)
        disk.free.clear()
        raw.sendall(PUT % (b"a", b"x"))
        with connected(served) as other:
            assert ask(other, GET % b"a").startswith(b"HTTP/1.1 404 ")
        threading.Timer(0.2, disk.free.set).start()
        began_s = time.monotonic()
    assert time.monotonic() < began_s + SHUTDOWN_TIMEOUT_S
    with raw:
        assert read_to_end(raw).startswith(b"HTTP/1.1 201 ")
    assert plain[-1] == "HTTP/1.1 201 Created"


def test_a_client_that_does_not_read_is_answered_no_further(
    monkeypatch: pytest.MonkeyPatch, plain: list[str]
) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.2)
    with serving(memory_node()) as served:
        served.put("/v1/kv/big", b"x" * (1 << 20))
        with connected(served) as raw:
            for count in range(1, 50):
                raw.sendall(GET % b"big")  # alone, as a client sends that waits for its answers
                wait_until(lambda c=count: len(plain) == c or served.api.connection_count == 0)
                if served.api.connection_count == 0:
                    break
    assert 0 < plain.count("HTTP/1.1 200 OK") <= 8  # what the sockets hold


def test_a_client_that_leaves_while_its_put_waits_leaves_nothing_behind(disk: Disk) -> None:
    with serving(memory_node()) as served:
        disk.free.clear()
        with connected(served) as raw:
            raw.sendall(PUT % (b"a", b"x"))
            with connected(served) as other:
                assert ask(other, GET % b"a").startswith(b"HTTP/1.1 404 ")
        wait_until(lambda: served.api.connection_count == 0)
        wait_until(lambda: not served.api._connections.connections)  # aiohttp's own list
        disk.free.set()
        wait_until(lambda: served.get("/v1/kv/a").status == 200)


# -- the GETs of one turn of the loop


class Turn:
    """Connections without a network, of which each asks for a key in the same turn."""

    def __init__(self, node: Node, count: int) -> None:
        self.connections = Connections(node)
        self.wires = [Wire() for _ in range(count)]
        self.opened = [self.connections() for _ in self.wires]
        for wire, opened in zip(self.wires, self.opened, strict=True):
            opened.connection_made(wire)

    async def ask(self, request: bytes, *, leaving: Sequence[int] = ()) -> list[bytes]:
        """What is said to each; those ``leaving`` go in the same turn, before they are answered."""
        await asyncio.sleep(0)  # aiohttp's tasks begin to wait for requests
        for number, opened in enumerate(self.opened):
            opened.data_received(request % (b"k%d" % number))
        for number in leaving:
            self.opened[number].connection_lost(None)
        for _ in range(QUIET_TURNS):
            await asyncio.sleep(0)
        return [bytes(wire.said) for wire in self.wires]


async def filled(count: int) -> Node:
    node = memory_node()
    await node.start()
    for number in range(count):
        await node.put(make_key(Kind.KV, b"k%d" % number), Value(b"%d" % number))
    return node


def test_gets_of_one_turn_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    get_many = MemoryStore.get_many

    def note(store: MemoryStore, keys: list[Key]) -> list[bytes | None]:
        sizes.append(len(keys))
        return get_many(store, keys)

    async def ask() -> list[bytes]:
        node = await filled(READ_TOGETHER_MAX + 3)
        monkeypatch.setattr(MemoryStore, "get_many", note)
        try:
            return await Turn(node, READ_TOGETHER_MAX + 3).ask(GET)
        finally:
            await node.stop()

    said = asyncio.run(ask())
    assert sizes == [READ_TOGETHER_MAX, 3]
    assert [answer.endswith(b"\r\n\r\n%d" % number) for number, answer in enumerate(said)] == [True] * len(
        said
    )


def test_a_row_that_cannot_be_read_fails_its_own_get_and_a_client_that_left_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    get = MemoryStore.get

    def get_if_sound(store: MemoryStore, key: Key) -> bytes | None:
        if key.endswith(b"k1"):
            raise CorruptRowError("planted")
        return get(store, key)

    def get_many_if_sound(store: MemoryStore, keys: list[Key]) -> list[bytes | None]:
        return [get_if_sound(store, key) for key in keys]

    async def ask() -> list[bytes]:
        node = await filled(4)
        monkeypatch.setattr(MemoryStore, "get", get_if_sound)
        monkeypatch.setattr(MemoryStore, "get_many", get_many_if_sound)
        try:
            return await Turn(node, 4).ask(GET, leaving=[2])
        finally:
            await node.stop()

    said = asyncio.run(ask())
    assert [answer[9:12] for answer in said] == [b"200", b"503", b"", b"200"]


def test_a_bug_is_500_for_its_own_request_alone_as_on_the_long_path(monkeypatch: pytest.MonkeyPatch) -> None:
    show = kv.show

    def show_but_one(node: Node, found: tuple[Entry, str] | None, condition: Condition) -> Answer:
        if found is not None and isinstance(found[0], KvEntry) and found[0].value == Value(b"1"):
            raise ValueError("planted")
        return show(node, found, condition)

    async def ask(request: bytes, is_short: bool) -> tuple[list[bytes], list[bool], int]:
        node = await filled(3)
        try:
            turn = Turn(node, 3)
            if not is_short:
                monkeypatch.setattr(turn.connections.short_path, "find_request", lambda data: None)
            said = await turn.ask(request)
            count = node.measures.requests["/v1/kv/", request.split()[0].decode(), 500]
            return [DATE.sub(b"", answer) for answer in said], [wire.is_closed for wire in turn.wires], count
        finally:
            await node.stop()

    monkeypatch.setattr(kv, "show", show_but_one)
    for request in (GET, b"HEAD" + GET[3:]):
        short = asyncio.run(ask(request, True))
        assert [answer[9:12] for answer in short[0]] == [b"200", b"500", b"200"]
        assert short[1:] == ([False, True, False], 1)
        assert asyncio.run(ask(request, False))[0][1] == short[0][1]


def test_a_bug_in_reading_fails_no_other_get(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> list[bytes]:
        node = await filled(3)
        read_many = node.replica.read_many

        def read_but_one(keys: list[Key]) -> list[tuple[Entry, str] | RowError | None]:
            if any(key.endswith(b"k1") for key in keys):
                raise ValueError("planted")
            return read_many(keys)

        monkeypatch.setattr(node.replica, "read_many", read_but_one)
        try:
            return await Turn(node, 3).ask(GET)
        finally:
            await node.stop()

    assert [answer[9:12] for answer in asyncio.run(ask())] == [b"200", b"500", b"200"]


def test_an_answer_that_cannot_be_sent_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes) -> None:
        raise RuntimeError("planted")

    async def ask() -> list[bytes]:
        node = await filled(3)
        turn = Turn(node, 3)
        monkeypatch.setattr(turn.wires[1], "write", fail)
        try:
            said = await turn.ask(GET)
            assert turn.opened[1]._held_waiter is None
            return said
        finally:
            await node.stop()

    assert [answer[9:12] for answer in asyncio.run(ask())] == [b"200", b"", b"200"]


def test_requests_are_counted_on_either_path(plain: list[str]) -> None:
    with serving(memory_node()) as served, connected(served) as raw:
        for request in (PUT % (b"a", b"x"), GET % b"a", GET % b"b", b"HEAD" + (GET % b"a")[3:]):
            raw.sendall(request)
            raw.recv(4_096)
        assert dict(served.node.measures.requests) == {
            ("/livez", "GET", 200): 1,
            ("/v1/kv/", "PUT", 201): 1,
            ("/v1/kv/", "GET", 200): 1,
            ("/v1/kv/", "GET", 404): 1,
            ("/v1/kv/", "HEAD", 200): 1,
        }
    assert len(plain) == 4


def connected(served: Served) -> socket.socket:
    """A connection by which aiohttp waits for a request: the short path is open."""
    raw = socket.create_connection(("127.0.0.1", served.port), timeout=TIMEOUT_S)
    assert ask(raw, b"GET /livez HTTP/1.1\r\nHost: n\r\n\r\n").endswith(b"ok\n")
    return raw


def ask(raw: socket.socket, request: bytes) -> bytes:
    raw.sendall(request)
    return raw.recv(4_096)


def wait_until(claim: object) -> None:
    assert callable(claim)
    deadline_s = time.monotonic() + TIMEOUT_S
    while not claim():
        assert time.monotonic() < deadline_s
