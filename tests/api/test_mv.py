"""``/v1/mv/{key}``: concurrent values are kept until a client resolves them."""

from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from typing import cast

import pytest

from kvgossip.config import SIBLINGS_MAX, VALUE_BYTES_MAX
from tests.api.served import Answer, Served


def siblings_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.status == 300
    assert answer.headers["content-type"] == "application/json"
    return cast(list[dict[str, str]], answer.json())


def test_one_value_is_answered_as_it_is(served: Served) -> None:
    put = served.put("/v1/mv/one", b"\x00\xff", Content_Type="image/png")
    answer = served.get("/v1/mv/one")
    assert (put.status, answer.status, answer.body) == (201, 200, b"\x00\xff")
    assert answer.headers["content-type"] == "image/png"
    for header in ("etag", "kv-stamp", "kv-dot", "kv-context"):
        assert answer.headers[header] == put.headers[header]


def test_writes_without_a_context_become_siblings(served: Served) -> None:
    first = served.put("/v1/mv/siblings", b"\x001", Content_Type="text/a")
    second = served.put("/v1/mv/siblings", b"\xff2")
    assert (first.status, second.status) == (201, 204)
    siblings = siblings_of(served.get("/v1/mv/siblings"))
    assert [b64decode(s["value"]) for s in siblings] == [b"\x001", b"\xff2"]
    assert [s["type"] for s in siblings] == ["text/a", "application/octet-stream"]
    assert [s["dot"] for s in siblings] == [first.headers["kv-dot"], second.headers["kv-dot"]]


def test_head_of_siblings_is_300_with_the_context(served: Served) -> None:
    for _ in range(2):
        put = served.put("/v1/mv/head", b"x")
    head = served.call("HEAD", "/v1/mv/head")
    assert (head.status, head.body, head.headers["kv-context"]) == (300, b"", put.headers["kv-context"])


def test_a_write_with_the_context_of_a_read_resolves(served: Served) -> None:
    for body in (b"1", b"2"):
        served.put("/v1/mv/resolve", body)
    context = served.get("/v1/mv/resolve").headers["kv-context"]
    assert served.put("/v1/mv/resolve", b"3", Kv_Context=context).status == 204
    answer = served.get("/v1/mv/resolve")
    assert (answer.status, answer.body) == (200, b"3")


def test_who_sends_the_last_context_never_conflicts_with_itself(served: Served) -> None:
    context = served.put("/v1/mv/self", b"0").headers["kv-context"]
    for body in (b"1", b"2", b"3"):
        context = served.put("/v1/mv/self", body, Kv_Context=context).headers["kv-context"]
    assert served.get("/v1/mv/self").body == b"3"


def test_an_old_context_supersedes_only_what_it_saw(served: Served) -> None:
    old = served.put("/v1/mv/old", b"seen").headers["kv-context"]
    served.put("/v1/mv/old", b"unseen", Kv_Context=old)
    served.put("/v1/mv/old", b"concurrent", Kv_Context=old)
    values = {b64decode(s["value"]) for s in siblings_of(served.get("/v1/mv/old"))}
    assert values == {b"unseen", b"concurrent"}


def test_a_delete_without_a_context_deletes_what_is_here(served: Served) -> None:
    for body in (b"1", b"2"):
        served.put("/v1/mv/delete", body)
    assert served.call("DELETE", "/v1/mv/delete").status == 204
    answer = served.get("/v1/mv/delete")
    assert (answer.status, answer.problem, answer.headers["kv-deleted"]) == (404, "not-found", "true")
    again = served.put("/v1/mv/delete", b"3", Kv_Context=answer.headers["kv-context"])
    assert again.status == 201
    assert served.get("/v1/mv/delete").body == b"3"


def test_a_delete_with_an_old_context_leaves_what_it_did_not_see(served: Served) -> None:
    old = served.put("/v1/mv/partly", b"seen").headers["kv-context"]
    served.put("/v1/mv/partly", b"unseen")
    deleted = served.call("DELETE", "/v1/mv/partly", headers={"Kv-Context": old})
    answer = served.get("/v1/mv/partly")
    assert (deleted.status, answer.status, answer.body) == (204, 200, b"unseen")
    assert "kv-deleted" not in answer.headers
    served.put("/v1/mv/partly", b"all", Kv_Context=answer.headers["kv-context"])
    assert served.get("/v1/mv/partly").body == b"all"


def flipped(context: str) -> str:
    raw = bytearray(urlsafe_b64decode(context))
    raw[3] ^= 1
    return urlsafe_b64encode(raw).decode()


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_forged_or_foreign_context_is_400_and_changes_nothing(served: Served, method: str) -> None:
    target = f"/v1/mv/mine/{method}"
    mine = served.put(target, b"x").headers["kv-context"]
    foreign = served.put("/v1/mv/other", b"x").headers["kv-context"]
    before = served.get(target)
    for context in (foreign, flipped(mine), mine[:-4], mine + "AAAA", "", "!", "AAAA", "\xff", "A" * 65_537):
        answer = served.call(method, target, b"y", {"Kv-Context": context})
        assert (answer.status, answer.problem) == (400, "bad-context"), context
    after = served.get(target)
    assert (after.status, after.headers["etag"]) == (200, before.headers["etag"])


def test_too_many_siblings_are_409_with_the_context_that_resolves(served: Served) -> None:
    for number in range(SIBLINGS_MAX):
        assert served.put("/v1/mv/many", b"%d" % number).status in (201, 204)
    refused = served.put("/v1/mv/many", b"one more")
    assert (refused.status, refused.problem) == (409, "too-many-siblings")
    assert len(siblings_of(served.get("/v1/mv/many"))) == SIBLINGS_MAX
    assert served.put("/v1/mv/many", b"all", Kv_Context=refused.headers["kv-context"]).status == 204
    assert served.get("/v1/mv/many").body == b"all"


def test_a_too_large_entry_is_413_with_the_context_that_resolves(served: Served) -> None:
    for number in range(3):
        assert served.put("/v1/mv/large", bytes([number]) * VALUE_BYTES_MAX).status in (201, 204)
    refused = served.put("/v1/mv/large", bytes([9]) * VALUE_BYTES_MAX)
    assert (refused.status, refused.problem) == (413, "entry-too-large")
    siblings = siblings_of(served.get("/v1/mv/large"))
    assert [b64decode(s["value"])[0] for s in siblings] == [0, 1, 2]
    assert served.put("/v1/mv/large", b"small", Kv_Context=refused.headers["kv-context"]).status == 204
    assert served.get("/v1/mv/large").body == b"small"


def test_the_same_put_with_a_context_sent_twice_brings_no_other_value_and_loses_none(served: Served) -> None:
    """A client that heard no answer tries again. Its value may be there twice, until the next write."""
    first = served.put("/v1/mv/twice", b"0").headers["kv-context"]
    for _ in range(2):
        again = served.put("/v1/mv/twice", b"1", Kv_Context=first)
        assert again.status == 204
    assert {b64decode(s["value"]) for s in siblings_of(served.get("/v1/mv/twice"))} == {b"1"}
    assert served.put("/v1/mv/twice", b"2", Kv_Context=again.headers["kv-context"]).status == 204
    assert served.get("/v1/mv/twice").body == b"2"
    context = served.get("/v1/mv/twice").headers["kv-context"]
    for _ in range(2):
        assert served.call("DELETE", "/v1/mv/twice", headers={"Kv-Context": context}).status == 204
        assert served.get("/v1/mv/twice").status == 404
