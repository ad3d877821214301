"""If-Match and If-None-Match, against what this node holds."""

from http.client import HTTPConnection

import pytest

from tests.api.served import TIMEOUT_S, Answer, Served

KINDS = ("kv", "mv")
ABSENT = '"0123456789abcdef0123456789abcdef"'


@pytest.mark.parametrize("kind", KINDS)
def test_create_only_creates_once(served: Served, kind: str) -> None:
    target = f"/v1/{kind}/create-only"
    assert served.put(target, b"1", If_None_Match="*").status == 201
    again = served.put(target, b"2", If_None_Match="*")
    assert (again.status, again.problem) == (412, "precondition-failed")
    assert served.get(target).body == b"1"
    served.call("DELETE", target)
    assert served.put(target, b"3", If_None_Match="*").status == 201


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_replaces_only_the_version_that_it_names(served: Served, kind: str) -> None:
    target = f"/v1/{kind}/compare"
    first = served.put(target, b"1").headers["etag"]
    second = served.put(target, b"2", If_Match=f"{ABSENT}, {first}").headers["etag"]
    refused = served.put(target, b"3", If_Match=first)
    assert (refused.status, refused.problem) == (412, "precondition-failed")
    assert ("kv-context" in refused.headers) == (kind == "mv")
    assert served.call("DELETE", target, headers={"If-Match": first}).status == 412
    assert served.get(target).headers["etag"] == second
    assert served.call("DELETE", target, headers={"If-Match": second}).status == 204


@pytest.mark.parametrize("kind", KINDS)
def test_any_value_is_demanded_by_an_asterisk(served: Served, kind: str) -> None:
    target = f"/v1/{kind}/any"
    for method in ("PUT", "DELETE"):
        assert served.call(method, target, b"x", {"If-Match": "*"}).status == 412
    served.put(target, b"x")
    assert served.put(target, b"y", If_Match="*").status == 204
    assert served.call("DELETE", target, headers={"If-None-Match": "*"}).status == 412
    assert served.call("DELETE", target, headers={"If-Match": "*"}).status == 204


def test_an_expired_value_is_none(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.put("/v1/kv/expired?ttl=0.001", b"x")
    while served.get("/v1/kv/expired").status == 200:
        pass
    assert served.put("/v1/kv/expired", b"y", If_None_Match="*").status == 201


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_read_of_a_known_version_is_304(served: Served, kind: str, method: str) -> None:
    target = f"/v1/{kind}/known/{method}"
    served.put(f"{target}?ttl=100", b"x", Content_Type="text/plain")
    whole = served.call(method, target)
    etag = whole.headers["etag"]
    for tags in (etag, f"W/{etag}", f"{ABSENT},{etag}", "*", f' , W/{ABSENT} ,, W/{etag} ,"a,b"'):
        answer = served.call(method, target, headers={"If-None-Match": tags})
        assert (answer.status, answer.body) == (304, b"")
        left_out = {"content-type", "content-length", "date"}
        for header in set(whole.headers) - left_out:
            assert answer.headers[header] == whole.headers[header]
    for tags in (ABSENT, '"*"', '""'):
        assert served.call(method, target, headers={"If-None-Match": tags}).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_read_of_another_version_than_demanded_is_412(served: Served, method: str) -> None:
    target = f"/v1/mv/demanded/{method}"
    etag = served.put(target, b"x").headers["etag"]
    for tags, status in ((etag, 200), ("*", 200), (ABSENT, 412), (f"W/{etag}", 412), ('"*"', 412)):
        answer = served.call(method, target, headers={"If-Match": tags})
        assert answer.status == status, tags
        assert "kv-context" in answer.headers
    both = {"If-Match": ABSENT, "If-None-Match": etag}
    assert served.call(method, target, headers=both).status == 412


def test_siblings_are_conditional_too(served: Served) -> None:
    for body in (b"1", b"2"):
        etag = served.put("/v1/mv/siblings-if", body).headers["etag"]
    assert served.call("GET", "/v1/mv/siblings-if", headers={"If-None-Match": etag}).status == 304
    assert served.call("GET", "/v1/mv/siblings-if", headers={"If-None-Match": ABSENT}).status == 300


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_without_a_value_is_404_whatever_is_demanded(served: Served, kind: str) -> None:
    target = f"/v1/{kind}/no-value"
    for _ in range(2):
        for header in ("If-Match", "If-None-Match"):
            assert served.call("GET", target, headers={header: "*"}).status == 404
        served.call("DELETE", target)


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize(
    "tags", ["", "a", '"a', 'a"', '"a" "b"', '*, "a"', '"a", *', 'w/"a"', 'W/ "a"', ",", "W/*"]
)
def test_a_malformed_list_is_400_and_changes_nothing(served: Served, header: str, tags: str) -> None:
    before = served.put("/v1/kv/malformed", b"x").headers["etag"]
    for method in ("GET", "PUT", "DELETE"):
        answer = served.call(method, "/v1/kv/malformed", b"y", {header: tags})
        assert (answer.status, answer.problem) == (400, "bad-precondition")
    assert served.get("/v1/kv/malformed").headers["etag"] == before


def test_several_lines_are_one_list(served: Served) -> None:
    etag = served.put("/v1/kv/lines", b"x").headers["etag"]
    connection = HTTPConnection("127.0.0.1", served.port, timeout=TIMEOUT_S)
    connection.putrequest("GET", "/v1/kv/lines")
    connection.putheader("If-None-Match", ABSENT)
    connection.putheader("If-None-Match", etag)
    connection.endheaders()
    assert Answer(connection.getresponse().status, {}, b"").status == 304
    connection.close()
