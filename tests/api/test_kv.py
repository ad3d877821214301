"""``/v1/kv/{key}``: raw bytes in, the same bytes and content type out."""

import time

import pytest

from kvgossip.model.ids import Kind, make_key
from tests.api.served import Served


def test_put_is_201_for_a_new_value_and_204_afterwards(served: Served) -> None:
    assert served.put("/v1/kv/created", b"1").status == 201
    assert served.put("/v1/kv/created", b"2").status == 204
    assert served.call("DELETE", "/v1/kv/created").status == 204
    assert served.put("/v1/kv/created", b"3").status == 201


def test_bytes_and_content_type_come_back_as_they_were(served: Served) -> None:
    body = bytes(range(256))
    served.put("/v1/kv/bytes", body, Content_Type='text/x-a; charset="ütf"'.replace("ü", "u"))
    answer = served.get("/v1/kv/bytes")
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == 'text/x-a; charset="utf"'


def test_no_content_type_is_octet_stream_however_it_is_said(served: Served) -> None:
    etags = set()
    for headers in ({}, {"Content-Type": "application/octet-stream"}):
        served.call("PUT", "/v1/kv/untyped", b"x", headers)
        answer = served.get("/v1/kv/untyped")
        assert answer.headers["content-type"] == "application/octet-stream"
        etags.add(answer.headers["etag"])


def test_an_empty_value_is_a_value(served: Served) -> None:
    assert served.put("/v1/kv/empty", b"").status == 201
    answer = served.get("/v1/kv/empty")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


def test_every_answer_names_the_version(served: Served) -> None:
    put = served.put("/v1/kv/version", b"x")
    for answer in (put, served.get("/v1/kv/version"), served.call("HEAD", "/v1/kv/version")):
        etag = answer.headers["etag"]
        assert etag.startswith('"')
        assert etag.endswith('"')
        assert len(etag) > 2
        milliseconds, _, logic = answer.headers["kv-stamp"].partition(".")
        assert abs(int(milliseconds) - time.time() * 1_000) < 60_000
        assert logic.isdigit()
        replica, _, counter = answer.headers["kv-dot"].partition("-")
        assert len(replica) == 16
        assert int(counter) > 0
        assert [answer.headers[h] for h in ("etag", "kv-stamp", "kv-dot")] == [
            put.headers[h] for h in ("etag", "kv-stamp", "kv-dot")
        ]


def test_a_later_write_has_a_later_stamp_and_another_etag(served: Served) -> None:
    first, second = (served.put("/v1/kv/later", body).headers for body in (b"1", b"2"))
    assert stamp_of(second) > stamp_of(first)
    assert first["etag"] != second["etag"]


def stamp_of(headers: dict[str, str]) -> tuple[int, ...]:
    return tuple(int(part) for part in headers["kv-stamp"].split("."))


def test_head_is_get_without_the_body(served: Served) -> None:
    served.put("/v1/kv/head", b"12345", Content_Type="text/plain")
    head, get = served.call("HEAD", "/v1/kv/head"), served.get("/v1/kv/head")
    assert head.body == b""
    assert head.headers | {"date": ""} == get.headers | {"date": ""}
    assert head.headers["content-length"] == "5"


def test_an_unknown_key_is_404(served: Served) -> None:
    answer = served.get("/v1/kv/unknown")
    assert (answer.status, answer.problem) == (404, "not-found")
    assert "kv-deleted" not in answer.headers
    assert served.call("HEAD", "/v1/kv/unknown").status == 404


def test_a_deleted_key_is_404_and_says_so(served: Served) -> None:
    served.put("/v1/kv/deleted", b"x")
    deleted = served.call("DELETE", "/v1/kv/deleted")
    answer = served.get("/v1/kv/deleted")
    assert (answer.status, answer.problem, answer.headers["kv-deleted"]) == (404, "not-found", "true")
    assert answer.headers["kv-dot"] == deleted.headers["kv-dot"]


def test_deleting_an_unknown_key_is_204_and_writes_a_tombstone(served: Served) -> None:
    answer = served.call("DELETE", "/v1/kv/never")
    assert answer.status == 204
    assert "kv-dot" in answer.headers
    assert served.get("/v1/kv/never").headers["kv-deleted"] == "true"


def test_kinds_are_apart(served: Served) -> None:
    served.put("/v1/kv/kind", b"kv")
    assert served.get("/v1/mv/kind").status == 404


def test_a_context_is_refused(served: Served) -> None:
    context = served.put("/v1/mv/context", b"x").headers["kv-context"]
    for method in ("PUT", "DELETE"):
        answer = served.call(method, "/v1/kv/context", b"x", {"Kv-Context": context})
        assert (answer.status, answer.problem) == (400, "bad-context")
    assert served.get("/v1/kv/context").status == 404


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_405_with_allow(served: Served, method: str) -> None:
    for kind in ("kv", "mv"):
        answer = served.call(method, f"/v1/{kind}/method")
        assert (answer.status, answer.problem) == (405, "method-not-allowed")
        assert answer.headers["allow"] == "GET, HEAD, PUT, DELETE"


def test_nothing_is_sniffed(served: Served) -> None:
    served.put("/v1/kv/sniff", b"<script>", Content_Type="text/plain")
    targets = ("/v1/kv/sniff", "/v1/kv/absent", "/nowhere", "/livez", "/v1/kv/%zz")
    assert all(served.get(t).headers["x-content-type-options"] == "nosniff" for t in targets)


def test_make_key_is_what_the_path_says(served: Served) -> None:
    served.put("/v1/kv/a/b", b"x")
    assert served.node.replica.get(make_key(Kind.KV, b"a/b")) is not None
