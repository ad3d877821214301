"""Listings: keys in order of their bytes, page by page, by a cursor that survives writes."""

import json
from collections.abc import Iterator
from typing import cast
from urllib.parse import quote, urlencode

import pytest

from kvgossip.api import listing
from tests.api.served import Served, memory_node, serving

NAMES = ["a", "a/1", "a/2", "a/b/1", "a/b/2", "a0", "b", "b/", "c//d", "ä/1", "\x00", "\U0001f600"]
KINDS = ["kv", "mv"]


@pytest.fixture(scope="module")
def served(short_or_long: None) -> Iterator[Served]:
    with serving(memory_node()) as served:
        for kind in KINDS:
            for name in NAMES:
                served.put(f"/v1/{kind}/{quote(name)}", name.encode() * 2, Content_Type="text/plain")
            for dead in ("a/1x", "dead", "zz/deleted"):
                served.put(f"/v1/{kind}/{dead}", b"x")
                served.call("DELETE", f"/v1/{kind}/{dead}")
            served.put(f"/v1/{kind}/expired?ttl=0.001", b"x")
        while served.get("/v1/mv/expired").status == 200:
            pass
        yield served


def page(served: Served, kind: str = "kv", **parameters: str) -> dict[str, object]:
    answer = served.get(f"/v1/{kind}?{urlencode(parameters)}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json"), answer.body
    return answer.json()


def walk(served: Served, kind: str = "kv", **parameters: str) -> list[object]:
    """All that is listed, following cursors."""
    found: list[object] = []
    while True:
        shown = page(served, kind, **parameters)
        found += cast(list[object], shown["keys" if "keys" in parameters else "items"])
        if shown["cursor"] is None:
            return found
        parameters["cursor"] = str(shown["cursor"])


def keys(served: Served, kind: str = "kv", **parameters: str) -> list[str]:
    return cast(list[str], walk(served, kind, keys="", **parameters))


def in_order(names: list[str]) -> list[str]:
    return sorted(names, key=str.encode)


@pytest.mark.parametrize("kind", KINDS)
def test_live_keys_are_listed_in_order_of_their_bytes(served: Served, kind: str) -> None:
    assert keys(served, kind) == in_order(NAMES)
    assert keys(served, kind, reverse="true") == in_order(NAMES)[::-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reverse", ["true", "false"])
@pytest.mark.parametrize("limit", ["1", "2", "5", "11", "12", "1000"])
def test_pages_join_to_the_whole_whatever_their_size(
    served: Served, kind: str, reverse: str, limit: str
) -> None:
    whole = in_order(NAMES) if reverse == "false" else in_order(NAMES)[::-1]
    assert keys(served, kind, reverse=reverse, limit=limit) == whole
    first = page(served, kind, reverse=reverse, limit=limit, keys="")
    assert first["keys"] == whole[: int(limit)]
    assert (first["cursor"] is None) == (int(limit) >= len(whole))


@pytest.mark.parametrize("reverse", ["true", "false"])
@pytest.mark.parametrize(
    "bounds",
    [
        {"prefix": "a"},
        {"prefix": "a/"},
        {"prefix": "nothing"},
        {"prefix": "\U0001f600"},
        {"start": "a/2"},
        {"end": "a/2"},
        {"end": ""},
        {"start": "a/1", "end": "b"},
        {"prefix": "a/", "start": "a/2", "end": "a/b/2"},
        {"prefix": "a/", "start": "", "end": "z"},
        {"start": "b", "end": "a"},
    ],
)
def test_prefix_start_and_end_bound_what_is_listed(
    served: Served, bounds: dict[str, str], reverse: str
) -> None:
    low, high = (
        bounds.get(name, default).encode() for name, default in (("start", ""), ("end", "\U0010ffff"))
    )
    expected = [
        name
        for name in in_order(NAMES)
        if name.startswith(bounds.get("prefix", "")) and low <= name.encode() < high
    ]
    found = keys(served, limit="2", reverse=reverse, **bounds)
    assert found == (expected if reverse == "false" else expected[::-1])


def test_an_item_tells_version_size_and_type(served: Served) -> None:
    (item,) = walk(served, prefix="a/1")
    etag = served.get("/v1/kv/a/1").headers["etag"]
    assert item == {"key": "a/1", "etag": etag, "size": 6, "type": "text/plain"}


def test_an_item_of_mv_counts_its_siblings(served: Served) -> None:
    served.put("/v1/mv/siblings/1", b"123", Content_Type="text/a")
    served.put("/v1/mv/siblings/1", b"45", Content_Type="text/b")
    (item,) = walk(served, "mv", prefix="siblings/")
    etag = served.get("/v1/mv/siblings/1").headers["etag"]
    assert item == {"key": "siblings/1", "etag": etag, "size": 5, "type": "text/b", "siblings": 2}
    served.call("DELETE", "/v1/mv/siblings/1")


@pytest.mark.parametrize("limit", ["1", "3", "100"])
def test_one_level_is_shown_like_a_directory(served: Served, limit: str) -> None:
    top = in_order(["a", "a/", "a0", "b", "b/", "c/", "ä/", "\x00", "\U0001f600"])
    for reverse, expected in (("false", top), ("true", top[::-1])):
        assert keys(served, separator="/", limit=limit, reverse=reverse) == expected
    assert keys(served, separator="/", prefix="a/", limit=limit) == ["a/1", "a/2", "a/b/"]
    assert keys(served, separator="/", prefix="c/", limit=limit) == ["c//"]
    assert keys(served, separator="/", start="a/2", end="b", limit=limit) == ["a/", "a0"]


def test_a_separator_may_have_several_characters(served: Served) -> None:
    assert keys(served, separator="//", prefix="c") == ["c//"]
    assert keys(served, separator="/b/", prefix="a") == ["a", "a/1", "a/2", "a/b/", "a0"]


def test_a_cursor_survives_writes_before_behind_and_at_it(served: Served) -> None:
    for name in "135":
        served.put(f"/v1/kv/moving/{name}", b"x")
    first = page(served, prefix="moving/", limit="1", keys="")
    assert first["keys"] == ["moving/1"]
    for name in "024":
        served.put(f"/v1/kv/moving/{name}", b"x")
    served.call("DELETE", "/v1/kv/moving/3")
    served.call("DELETE", "/v1/kv/moving/1")
    rest = keys(served, prefix="moving/", cursor=str(first["cursor"]))
    assert set(rest) >= {"moving/4", "moving/5"}
    assert "moving/0" not in rest
    assert "moving/1" not in rest
    for name in "0245":
        served.call("DELETE", f"/v1/kv/moving/{name}")


def test_a_page_that_walked_far_enough_is_short_and_goes_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LIST_ROWS_MAX", 2)
    monkeypatch.setattr(listing, "_STEP_ROWS", 2)
    assert len(cast(list[object], page(served)["items"])) <= 2
    assert keys(served) == in_order(NAMES)
    assert keys(served, reverse="true", separator="/")[::-1] == keys(served, separator="/")
    monkeypatch.setattr(listing, "LIST_BYTES_MAX", 1)
    assert keys(served) == in_order(NAMES)


def test_a_long_walk_lets_other_work_go_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    async def pause(delay_s: float) -> None:
        pauses.append(delay_s)

    monkeypatch.setattr(listing, "_STEP_ROWS", 3)
    monkeypatch.setattr("asyncio.sleep", pause)
    page(served)
    assert len([delay_s for delay_s in pauses if delay_s == 0]) >= len(NAMES) // 3


def test_head_is_get_without_the_body(served: Served) -> None:
    head, get = served.call("HEAD", "/v1/kv"), served.get("/v1/kv")
    assert (head.status, head.body) == (200, b"")
    assert head.headers | {"date": ""} == get.headers | {"date": ""}


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_other_methods_are_405_with_allow(served: Served, method: str) -> None:
    answer = served.call(method, "/v1/kv", b"")
    assert (answer.status, answer.problem, answer.headers["allow"]) == (
        405,
        "method-not-allowed",
        "GET, HEAD",
    )


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1001",
        "limit=1.0",
        "limit=%D9%A3",
        "limit=" + "9" * 5_000,
        "reverse=yes",
        "keys=1",
        "separator=/",
        "keys&separator=",
        "keys=false&separator=/",
        "prefix=%ff",
        "prefix=a&prefix=b",
    ],
)
def test_a_malformed_parameter_is_400(served: Served, query: str) -> None:
    answer = served.get(f"/v1/kv?{query}")
    assert (answer.status, answer.problem) == (400, "bad-parameter")


def test_an_unknown_parameter_is_400_with_what_was_meant(served: Served) -> None:
    answer = served.get("/v1/kv?seperator=/")
    assert (answer.status, answer.problem) == (400, "unknown-parameter")
    assert "did you mean 'separator'?" in str(answer.json()["detail"])


def test_a_cursor_that_no_node_gave_out_for_this_listing_is_400(served: Served) -> None:
    good = str(page(served, prefix="a/", limit="1")["cursor"])
    backwards = str(page(served, prefix="a/", limit="1", reverse="true")["cursor"])
    bad = ["", "!", "AA", good + "=", good[:-1] + "!", "Z" + good[1:], "A" * 5_000, "\xff", backwards]
    for cursor in bad:
        answer = served.get("/v1/kv?" + urlencode({"prefix": "a/", "cursor": cursor}))
        assert (answer.status, answer.problem) == (400, "bad-cursor"), cursor
    for other in ("/v1/mv?prefix=a/", "/v1/kv?prefix=b", "/v1/kv?prefix=a/&reverse"):
        assert served.get(f"{other}&cursor={good}").problem == "bad-cursor"


def test_the_listing_is_json_whatever_the_keys_are(served: Served) -> None:
    assert set(json.loads(served.get("/v1/kv?keys").body)["keys"]) == set(NAMES)
