"""``POST /v1/batch``: lines stream in both directions, each stands for itself, memory is bounded."""

import asyncio
import json
import socket
import struct
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from random import Random, randrange
from typing import cast

import pytest
from msgspec import UNSET

from kvgossip.api import batch, lines
from kvgossip.api.operation import UNREADABLE, Put, read_operation
from kvgossip.config import VALUE_BYTES_MAX
from kvgossip.model.ids import Key
from kvgossip.node.local_writes import Write
from kvgossip.runtime.engine import Tell
from tests.api.served import Answer, Served, memory_node, read_to_end, serving

Line = dict[str, object]


def send(served: Served, *documents: object) -> list[Line]:
    """Every element is a line: bytes as they are, anything else as JSON."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in documents]
    return answers(served.call("POST", "/v1/batch", b"\n".join(raw)))


def answers(answer: Answer) -> list[Line]:
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert "server" not in answer.headers
    return [cast(Line, json.loads(line)) for line in answer.body.splitlines()]


def problem(line: Line) -> tuple[object, str]:
    document = cast(Line, line["problem"])
    assert document["status"] == line["status"]
    return line["status"], str(document["type"]).removeprefix("/problems/")


def test_lines_are_answered_in_order_with_their_keys(served: Served) -> None:
    put, got, deleted, gone = send(
        served,
        {"op": "put", "kind": "kv", "key": "b/1", "value": "grüße", "type": "text/plain"},
        {"op": "get", "kind": "kv", "key": "b/1"},
        {"op": "delete", "key": "b/1"},
        {"op": "get", "key": "b/1"},
    )
    assert [line["key"] for line in (put, got, deleted, gone)] == ["b/1"] * 4
    assert [line["line"] for line in (put, got, deleted, gone)] == [1, 2, 3, 4]
    assert [line["status"] for line in (put, got, deleted, gone)] == [201, 200, 204, 404]
    assert got["value_base64"] == b64encode("grüße".encode()).decode()
    assert got["type"] == "text/plain"
    assert (got["etag"], got["stamp"], got["dot"]) == (put["etag"], put["stamp"], put["dot"])
    assert problem(gone) == (404, "not-found")
    assert gone["deleted"] is True


def test_what_a_batch_wrote_is_what_a_get_shows(served: Served) -> None:
    (put,) = send(served, {"op": "put", "key": "b/bytes", "value_base64": "AP8=", "ttl": 60.5})
    answer = served.get("/v1/kv/b/bytes")
    assert (answer.status, answer.body, answer.headers["etag"]) == (200, b"\x00\xff", put["etag"])
    assert abs(int(answer.headers["kv-expires"]) - time.time() * 1_000 - 60_500) < 10_000
    (got,) = send(served, {"op": "get", "key": "b/bytes"})
    assert got["expires_ms"] == int(answer.headers["kv-expires"])


def test_siblings_and_contexts_work_as_they_do_alone(served: Served) -> None:
    put = {"op": "put", "kind": "mv", "key": "b/mv"}
    get = {"op": "get", "kind": "mv", "key": "b/mv"}
    first, second, both = send(served, {**put, "value": "1"}, {**put, "value": "2"}, get)
    assert [line["status"] for line in (first, second, both)] == [201, 204, 300]
    siblings = cast(list[Line], both["siblings"])
    assert [sibling["value"] for sibling in siblings] == ["MQ==", "Mg=="]
    assert [sibling["dot"] for sibling in siblings] == [first["dot"], second["dot"]]
    _, one = send(served, {**put, "value": "3", "context": both["context"]}, get)
    assert (one["status"], len(cast(list[Line], one["siblings"]))) == (200, 1)
    deleted, gone = send(served, {**put, "op": "delete", "context": one["context"]}, get)
    assert (deleted["status"], gone["status"], gone["deleted"]) == (204, 404, True)
    assert gone["context"] == deleted["context"]


def test_a_get_sees_the_writes_before_it_and_none_behind_it(served: Served) -> None:
    documents: list[object] = []
    for number in range(200):
        documents.append({"op": "put", "key": "b/order", "value": str(number)})
        documents.append({"op": "get", "key": "b/order"})
        documents.append({"op": "put", "key": "b/order", "value": "later"})
    answered = send(served, *documents)
    shown = [line["value_base64"] for line in answered[1::3]]
    assert shown == [b64encode(str(number).encode()).decode() for number in range(200)]


BAD_LINES: list[tuple[object, int, str]] = [
    (b"{", 400, "bad-line"),
    (b"[]", 400, "bad-line"),
    (b"\xff", 400, "bad-line"),
    (b"[" * 100_000, 400, "bad-line"),
    (b"1" * 100_000, 400, "bad-line"),
    ({}, 400, "bad-line"),
    ({"op": "patch", "key": "x"}, 400, "bad-line"),
    ({"op": 1, "key": "x"}, 400, "bad-line"),
    ({"op": "put", "key": "x"}, 400, "bad-line"),
    ({"op": "put", "key": "x", "value": "1", "value_base64": "MQ=="}, 400, "bad-line"),
    ({"op": "put", "key": "x", "value": 1}, 400, "bad-line"),
    ({"op": "put", "key": "x", "value": None}, 400, "bad-line"),
    ({"op": "put", "key": "x", "value": "\ud800"}, 400, "bad-line"),
    ({"op": "put", "key": "x", "value_base64": "MQ="}, 400, "bad-line"),
    ({"op": "put", "key": "x", "value_base64": "ü"}, 400, "bad-line"),
    ({"op": "put", "key": "x", "kind": "lv", "value": "1"}, 400, "bad-line"),
    ({"op": "get", "key": "x", "value": "1"}, 400, "bad-line"),
    ({"op": "delete", "key": "x", "ttl": 1}, 400, "bad-line"),
    ({"op": "put", "key": "x", "valeu": "1"}, 400, "bad-line"),
    ({"op": "get"}, 400, "bad-key"),
    ({"op": "get", "key": ""}, 400, "bad-key"),
    ({"op": "get", "key": "k" * 1_025}, 400, "bad-key"),
    ({"op": "put", "key": "x", "value": "1", "ttl": 0}, 400, "bad-ttl"),
    ({"op": "put", "key": "x", "value": "1", "ttl": True}, 400, "bad-ttl"),
    ({"op": "put", "key": "x", "value": "1", "ttl": "1"}, 400, "bad-ttl"),
    (b'{"op":"put","key":"x","value":"1","ttl":Infinity}', 400, "bad-ttl"),
    (b'{"op":"put","key":"x","value":"1","ttl":1e999}', 400, "bad-ttl"),
    ({"op": "put", "key": "x", "value": "1", "context": "AAAA"}, 400, "bad-context"),
    ({"op": "put", "kind": "mv", "key": "x", "value": "1", "context": "AAAA"}, 400, "bad-context"),
    ({"op": "put", "key": "x", "value": "1", "type": "text"}, 415, "bad-content-type"),
    ({"op": "put", "key": "x", "value": "v" * (VALUE_BYTES_MAX + 1)}, 413, "value-too-large"),
    (b" " * (batch.LINE_BYTES_MAX + 1), 413, "line-too-long"),
]


@pytest.mark.parametrize(("line", "status", "name"), BAD_LINES, ids=lambda value: str(value)[:40])
def test_a_bad_line_is_answered_as_such_and_stops_no_other(
    served: Served, line: object, status: int, name: str
) -> None:
    good = {"op": "put", "key": "b/good", "value": "1"}
    before, bad, after = send(served, good, line, good)
    assert problem(bad) == (status, name)
    assert bad["line"] == 2
    assert before["status"] in (201, 204)
    assert after["status"] == 204
    assert served.get("/v1/kv/x").status == served.get("/v1/mv/x").status == 404


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ({"op": "put", "key": 1, "value": "v"}, "key is a string"),
        ({"op": "put", "key": "x", "value": None}, "value is a string"),
        ({"op": "put", "key": "x", "kind": "lv", "value": "v"}, "kind is kv or mv"),
        ({"op": "put", "key": "x", "value_base64": "MQ="}, "value_base64 is no base64 (RFC 4648, section 4)"),
        ({"op": "put", "key": "x", "value": "\ud800"}, "half a surrogate pair is no text: use value_base64"),
        ({"op": "put", "key": "x", "value": "v", "ttl": "1"}, "ttl is a number of seconds"),
        ({"op": ["put"], "key": "x"}, "op is one of put, get and delete"),
        (b'{"op": "get", "key": "x"', "the line is no JSON object in UTF-8"),
    ],
)
def test_a_line_that_is_no_operation_is_told_why(served: Served, line: object, detail: str) -> None:
    (answer,) = send(served, line)
    assert cast(Line, answer["problem"])["detail"] == detail


def test_lines_are_read_as_the_standard_library_reads_json() -> None:
    rng = Random(seed := randrange(1 << 32))
    print(f"seed {seed}")
    whole = rb'{"op":"put","key":"k\u00e9\n","value_base64":"AAE=","ttl":1.5e1,"type":"a/b"}'
    for _ in range(20_000):
        raw = bytearray(whole)
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(2)] = rng.choice([b"", b" ", b'"', b"\\", b"=", b"0", b"\xc3", b","])
        try:
            operation = read_operation(bytes(raw))
        except UNREADABLE:
            continue
        fields = json.loads(raw.decode())
        assert isinstance(operation, Put)
        assert (operation.name, operation.type) == (fields.get("key", ""), fields.get("type", ""))
        if operation.value_base64 is not UNSET:
            assert operation.value_base64 == b64decode(fields["value_base64"], validate=True)
        assert operation.ttl == fields.get("ttl", UNSET)


def test_an_unknown_field_is_told_what_was_meant(served: Served) -> None:
    (line,) = send(served, {"op": "put", "key": "x", "valeu": "1"})
    assert "did you mean 'value'?" in str(cast(Line, line["problem"])["detail"])


def test_empty_lines_and_an_empty_body_are_nothing(served: Served) -> None:
    assert send(served) == []
    assert [line["line"] for line in send(served, b"", b"", {"op": "get", "key": "none"}, b"")] == [1]


def test_the_largest_value_fits_a_line_both_ways(served: Served) -> None:
    encoded = b64encode(b"\xff" * VALUE_BYTES_MAX).decode()
    put, got = send(
        served, {"op": "put", "key": "b/big", "value_base64": encoded}, {"op": "get", "key": "b/big"}
    )
    assert put["status"] == 201
    assert got["value_base64"] == encoded


def test_a_row_that_cannot_be_read_stops_no_other_line(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(keys: Sequence[Key]) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(served.node.replica, "read_many", fail)
    bug, put = send(served, {"op": "get", "key": "a"}, {"op": "put", "key": "b/after", "value": "1"})
    assert problem(bug) == (500, "internal-error")
    assert put["status"] in (201, 204)


HEAD = b"POST /v1/batch HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def receive_until(raw: socket.socket, mark: bytes) -> bytes:
    received = b""
    while mark not in received:
        part = raw.recv(65_536)
        assert part, received
        received += part
    return received


def test_each_line_is_answered_before_the_next_is_sent(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
        raw.sendall(HEAD + b"Expect: 100-continue\r\n\r\n")
        receive_until(raw, b"HTTP/1.1 200 OK\r\n")
        for number in range(1, 4):
            raw.sendall(chunk(b'{"op":"put","key":"b/talk","value":"1"}\n'))
            receive_until(raw, b'"line":%d,' % number)
        raw.sendall(b"0\r\n\r\nGET /livez HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n")
        assert read_to_end(raw).endswith(b"ok\n")


def test_a_client_that_stalls_within_a_line_is_told_and_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BODY_TIMEOUT_S", 0.2)
    line = b'{"op":"put","key":"b/stall","value":"1"}\n'
    answer = served.send_raw(HEAD + b"\r\n" + chunk(line) + chunk(b'{"op"'))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"status":201' in answer
    assert b"/problems/request-timeout" in answer


def test_a_garbled_body_ends_the_batch_with_a_problem(served: Served) -> None:
    line = b'{"op":"put","key":"b/garbled","value":"1"}\n'
    answer = served.send_raw(HEAD + b"\r\n" + chunk(line) + b"zz\r\n")
    assert b"/problems/bad-request" in answer or answer.startswith(b"HTTP/1.1 400 ")


def test_lines_in_flight_are_bounded_and_answers_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    node = memory_node()
    under_way = most = 0
    begin_writes = node.begin_writes

    def begin_slowly(writes: Sequence[Write], tell: Tell) -> None:
        nonlocal under_way, most
        under_way += len(writes)
        most = max(most, under_way)

        def end() -> None:
            nonlocal under_way
            under_way -= len(writes)
            begin_writes(writes, tell)

        asyncio.get_running_loop().call_later(0.001 * (len(writes[0].key) % 3), end)

    monkeypatch.setattr(node, "begin_writes", begin_slowly)
    monkeypatch.setattr(batch, "LINES_IN_FLIGHT_MAX", 7)
    puts = [{"op": "put", "key": "k" * (1 + i % 50), "value": "1"} for i in range(300)]
    with serving(node) as served:
        found = send(served, *(line for put in puts for line in (put, {"op": "get", "key": "none"})))
    assert [line["line"] for line in found] == list(range(1, 601))
    assert [line["status"] for line in found[1::2]] == [404] * 300
    assert 1 < most <= 7


def test_a_client_that_reads_nothing_is_not_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BYTES_IN_FLIGHT_MAX", 1 << 20)
    begun = 0
    with serving(memory_node()) as served:
        served.put("/v1/kv/big", b"x" * (1 << 20))
        read_many = served.node.replica.read_many

        def count(keys: Sequence[Key]) -> object:
            nonlocal begun
            begun += len(keys)
            return read_many(keys)

        monkeypatch.setattr(served.node.replica, "read_many", count)
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            raw.sendall(HEAD + b"\r\n" + chunk(b'{"op":"get","key":"big"}\n' * 500))
            deadline_s = time.monotonic() + 10
            while not begun:
                assert time.monotonic() < deadline_s
            settled_s, seen = time.monotonic(), -1
            while time.monotonic() < settled_s + 0.3:
                if begun != seen:
                    settled_s, seen = time.monotonic(), begun
        assert 0 < begun < 30


def test_a_client_that_goes_away_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    lines_sent = b'{"op":"put","key":"a","value":"1"}\n' * 300 + b'{"op"'
    with serving(memory_node()) as served:
        for number in range(4):
            with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
                raw.sendall(HEAD + b"\r\n" + chunk(lines_sent))
                if number % 2:
                    receive_until(raw, b'"line":1,')
                if number >= 2:  # a reset instead of an end
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        deadline_s = time.monotonic() + 10
        while served.api.connection_count:
            assert time.monotonic() < deadline_s
        assert served.get("/v1/kv/a").status == 200
    assert not caplog.records


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_405_with_allow(served: Served, method: str) -> None:
    answer = served.call(method, "/v1/batch", b"")
    assert (answer.status, answer.problem, answer.headers["allow"]) == (405, "method-not-allowed", "POST")


def test_a_compressed_batch_is_415(served: Served) -> None:
    answer = served.call("POST", "/v1/batch", b"x", {"Content-Encoding": "gzip"})
    assert (answer.status, answer.problem) == (415, "content-encoding")
