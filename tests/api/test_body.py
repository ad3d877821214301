"""Bodies: read up to the limit, whatever length was announced; refused ones store nothing."""

import socket
import time
from collections.abc import Iterator

import pytest

from kvgossip.api import body as body_module
from kvgossip.config import CONTENT_TYPE_BYTES_MAX, VALUE_BYTES_MAX
from tests.api.served import Served, read_to_end


def chunks(size: int) -> Iterator[bytes]:
    while size > 0:
        yield b"x" * min(size, 100_000)
        size -= 100_000


def test_a_value_of_exactly_the_limit_is_taken(served: Served) -> None:
    value = b"v" * VALUE_BYTES_MAX
    assert served.put("/v1/kv/limit", value).status == 201
    assert served.get("/v1/kv/limit").body == value


def test_a_value_over_the_limit_is_413_and_stores_nothing(served: Served) -> None:
    answer = served.put("/v1/kv/over", b"v" * (VALUE_BYTES_MAX + 1))
    assert (answer.status, answer.problem) == (413, "value-too-large")
    document = answer.json()
    assert (document["limit"], document["limit_value"]) == ("value_bytes_max", VALUE_BYTES_MAX)
    assert served.get("/v1/kv/over").status == 404


def test_a_chunked_body_needs_no_length(served: Served) -> None:
    assert served.call("PUT", "/v1/kv/chunked", chunks(VALUE_BYTES_MAX)).status == 201
    assert served.get("/v1/kv/chunked").body == b"x" * VALUE_BYTES_MAX


def send_until(raw: socket.socket, data: bytes, *, deadline_s: float) -> None:
    while time.monotonic() < deadline_s:
        raw.sendall(data)


def test_an_endless_chunked_body_is_read_up_to_the_limit_and_closed(served: Served) -> None:
    head = b"PUT /v1/kv/endless HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
        raw.sendall(head)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_until(raw, chunk, deadline_s=time.monotonic() + 10)
    assert served.get("/v1/kv/endless").status == 404


def test_a_declared_length_over_the_limit_is_refused_before_the_body(served: Served) -> None:
    head = b"PUT /v1/kv/declared HTTP/1.1\r\nHost: n\r\nContent-Length: 99999999999\r\n"
    answer = served.send_raw(head + b"Expect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


def test_a_client_that_waits_to_send_is_told_to(served: Served) -> None:
    head = b"PUT /v1/kv/expect HTTP/1.1\r\nHost: n\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
        raw.sendall(head + b"Connection: close\r\n\r\n")
        assert raw.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(b"abc")
        assert read_to_end(raw).startswith(b"HTTP/1.1 201 ")
    assert served.get("/v1/kv/expect").body == b"abc"


def test_another_expectation_is_417(served: Served) -> None:
    answer = served.send_raw(
        b"PUT /v1/kv/expect2 HTTP/1.1\r\nHost: n\r\nContent-Length: 3\r\nExpect: tea\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 417 ")


@pytest.mark.parametrize(
    "content_type",
    [
        "text",
        "/",
        "text/",
        "/plain",
        "te xt/plain",
        "text/pl ain",
        "text/plain;\x80",
        "text/\xff",
        "t" * 300 + "/x",
    ],
)
def test_a_malformed_content_type_is_415(served: Served, content_type: str) -> None:
    answer = served.put("/v1/kv/type", b"x", Content_Type=content_type)
    assert (answer.status, answer.problem) == (415, "bad-content-type")
    assert served.get("/v1/kv/type").status == 404


def test_a_content_type_of_exactly_the_limit_comes_back(served: Served) -> None:
    content_type = "text/plain; a=" + "b" * (CONTENT_TYPE_BYTES_MAX - 14)
    served.put("/v1/kv/longest-type", b"x", Content_Type=content_type)
    assert served.get("/v1/kv/longest-type").headers["content-type"] == content_type
    assert served.put("/v1/kv/longest-type", b"x", Content_Type=content_type + "b").status == 415


def test_a_line_break_cannot_reach_a_header(served: Served) -> None:
    head = b"PUT /v1/kv/crlf HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\nContent-Type: a/b"
    for line_break in (b"\r", b"\n ", b"\r\n ", b"\0"):
        answer = served.send_raw(head + line_break + b"X-Evil: 1\r\n\r\nx")
        assert answer.startswith(b"HTTP/1.1 400 "), line_break
    assert served.get("/v1/kv/crlf").status == 404


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x"])
def test_a_content_encoding_is_415(served: Served, encoding: str) -> None:
    answer = served.put("/v1/kv/encoded", b"x" * 50, Content_Encoding=encoding)
    assert (answer.status, answer.problem) == (415, "content-encoding")
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: +3",
        b"Content-Length: 3, 3",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: xchunked",
        b"Content-Length : 3",
    ],
)
def test_an_ambiguous_length_is_400(served: Served, framing: bytes) -> None:
    answer = served.send_raw(b"PUT /v1/kv/smuggle HTTP/1.1\r\nHost: n\r\n" + framing + b"\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert served.get("/v1/kv/smuggle").status == 404


@pytest.mark.parametrize(
    "chunk", [b"zz\r\nabc\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"-1\r\n\r\n", b"fffffffffffffffff\r\n"]
)
def test_a_garbled_chunk_stores_nothing(served: Served, chunk: bytes) -> None:
    served.send_raw(b"PUT /v1/kv/chunk HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
    assert served.get("/v1/kv/chunk").status == 404


def test_a_half_sent_body_is_408_and_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BODY_TIMEOUT_S", 0.2)
    answer = served.send_raw(b"PUT /v1/kv/half HTTP/1.1\r\nHost: n\r\nContent-Length: 10\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/request-timeout" in answer
    assert served.get("/v1/kv/half").status == 404


def test_a_body_cut_off_by_the_client_stores_nothing(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
        raw.sendall(b"PUT /v1/kv/cut HTTP/1.1\r\nHost: n\r\nContent-Length: 10\r\n\r\nabc")
        raw.shutdown(socket.SHUT_WR)
        read_to_end(raw)
    assert served.get("/v1/kv/cut").status == 404
