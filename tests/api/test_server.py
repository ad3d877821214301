"""Connections: deadlines and limits that hold against broken and hostile clients."""

import socket
import time

import pytest

from kvgossip.api import connection
from kvgossip.api.body import BODY_TIMEOUT_S
from tests.api.served import Served, memory_node, read_to_end, serving


def test_a_half_sent_request_has_at_most_15_seconds() -> None:
    assert connection.HEAD_TIMEOUT_S <= 15
    assert BODY_TIMEOUT_S + connection.LINGER_S <= 15


@pytest.mark.parametrize(
    "part", [b"", b"G", b"GET /v1/kv/a HTTP/1.1\r\nHost: n\r\n", b"GET /livez HTTP/1.1\r\nHo"]
)
def test_half_sent_headers_are_closed(served: Served, monkeypatch: pytest.MonkeyPatch, part: bytes) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)
    assert served.send_raw(part) == b""


def test_half_sent_headers_behind_a_whole_request_are_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)
    answer = served.send_raw(b"GET /livez HTTP/1.1\r\nHost: n\r\n\r\nGET /livez HT")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"ok\n")


def test_a_trickle_does_not_extend_the_deadline(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.3)
    started_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", served.port), timeout=0.05) as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\n")
        while time.monotonic() < started_s + 10:
            try:
                raw.sendall(b"A: b\r\n")
                if raw.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert time.monotonic() < started_s + 5


def test_many_requests_share_a_connection_in_order(served: Served) -> None:
    for number in range(3):
        served.put(f"/v1/kv/pipeline{number}", b"<%d>" % number)
    requests = [b"GET /v1/kv/pipeline%d HTTP/1.1\r\nHost: n\r\n\r\n" % (i % 3) for i in range(60)]
    last = b"GET /livez HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n"
    answer = served.send_raw(b"".join(requests) + last)
    positions = [answer.count(b"<%d>" % number) for number in range(3)]
    assert positions == [20, 20, 20]
    assert answer.index(b"<0>") < answer.index(b"<1>") < answer.index(b"<2>")


def test_a_target_over_the_limit_is_414(served: Served) -> None:
    answer = served.send_raw(
        b"GET /v1/kv/" + b"a" * connection.TARGET_BYTES_MAX + b" HTTP/1.1\r\nHost: n\r\n\r\n"
    )
    assert b" 414 " in answer.split(b"\r\n")[0]
    assert b"/problems/target-too-long" in answer


@pytest.mark.parametrize(
    "headers",
    [
        b"A: " + b"a" * (connection.HEADER_BYTES_MAX + 1),
        b"A: a\r\n" * 200,
        b"\r\n".join(b"A%d: " % i + b"a" * 60_000 for i in range(3)),
        b"a" * connection.HEADER_BYTES_MAX + b": a",
    ],
)
def test_headers_over_the_limit_are_431(served: Served, headers: bytes) -> None:
    answer = served.send_raw(b"GET /v1/kv/a HTTP/1.1\r\nHost: n\r\n" + headers)
    assert b" 431 " in answer.split(b"\r\n")[0]
    assert b"/problems/headers-too-large" in answer


@pytest.mark.parametrize(
    "request_line",
    [b"\x16\x03\x01", b"BREW / HTTP/1.1", b"GET / HTTP/9.9", b"\r\n\r\n\x00"],
)
def test_what_is_no_http_is_400_and_closed(served: Served, request_line: bytes) -> None:
    answer = served.send_raw(request_line + b"\r\nHost: n\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("request_line", [b"GET /livez HTTP/2.0", b"GET /livez"])
def test_another_http_version_is_505(served: Served, request_line: bytes) -> None:
    answer = served.send_raw(request_line + b"\r\nHost: n\r\n\r\n")
    assert b" 505 " in answer.split(b"\r\n")[0]


def test_tunnels_and_upgrades_are_not_opened(served: Served) -> None:
    assert b" 404 " in served.send_raw(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nabc").split(b"\r\n")[0]
    upgrade = b"GET /livez HTTP/1.1\r\nHost: n\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    assert served.send_raw(upgrade).startswith(b"HTTP/1.1 200 ")


def test_connections_over_the_limit_are_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 3)
    with serving(memory_node()) as served:
        held = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(3)]
        for raw in held:  # an answer shows that the connection is counted
            raw.sendall(b"GET /livez HTTP/1.1\r\nHost: n\r\n\r\n")
            assert raw.recv(12) == b"HTTP/1.1 200"
        answer = served.send_raw(b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"/problems/too-many-connections" in answer
        for raw in held:
            raw.close()
        deadline_s = time.monotonic() + 10
        last = b"GET /livez HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n"
        while not served.send_raw(last).startswith(b"HTTP/1.1 200"):
            assert time.monotonic() < deadline_s


def test_a_client_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.3)
    with serving(memory_node()) as served:
        served.put("/v1/kv/big", b"x" * (1 << 20))
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            raw.sendall(b"GET /v1/kv/big HTTP/1.1\r\nHost: n\r\n\r\n" * 20)
            deadline_s = time.monotonic() + 10
            while served.api.connection_count and time.monotonic() < deadline_s:
                pass
            assert served.api.connection_count == 0


def test_closing_lets_a_request_in_flight_finish() -> None:
    node = memory_node()
    with serving(node) as served:
        held = socket.create_connection(("127.0.0.1", served.port), timeout=10)
        held.sendall(
            b"PUT /v1/kv/last HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert held.recv(100).startswith(b"HTTP/1.1 100 ")
        held.sendall(b"ok")
    with held:
        assert read_to_end(held).startswith(b"HTTP/1.1 201 ")


def test_a_bug_in_a_handler_is_a_problem_document(monkeypatch: pytest.MonkeyPatch) -> None:
    node = memory_node()
    with serving(node) as served:
        served.put("/v1/kv/a", b"x")
        monkeypatch.setattr(node.replica, "read", None)
        monkeypatch.setattr(node.replica, "read_many", None)
        answer = served.get("/v1/kv/a")
        assert (answer.status, answer.problem) == (500, "internal-error")
        assert served.get("/livez").status == 200
