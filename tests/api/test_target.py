"""Keys are opaque bytes: the raw target is decoded once and never normalised."""

from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgossip.api.problem import ProblemError
from kvgossip.api.target import decode_name, split_target
from tests.api.served import Served


@given(st.binary(), st.sampled_from(["", "/", "/%"]))
def test_every_name_survives_percent_encoding(name: bytes, safe: str) -> None:
    safe = safe.replace("%", "")
    assert decode_name(quote(name, safe=safe)) == name
    assert decode_name("".join(f"%{byte:02x}" for byte in name)) == name


@given(st.text(alphabet="%0aFg ", max_size=8))
def test_decoding_is_total(text: str) -> None:
    with suppress(ProblemError):
        assert decode_name(text) or not text


@pytest.mark.parametrize("bad", ["%", "%4", "%zz", "a%2", "%%41", "%+1", "% 1", "%4_"])
def test_a_bad_escape_is_refused(bad: str) -> None:
    with pytest.raises(ProblemError):
        decode_name(bad)


def test_a_plus_is_a_plus() -> None:
    assert decode_name("a+b") == b"a+b"


def test_a_whole_url_as_the_target_is_taken() -> None:
    assert split_target("http://host:1/v1/kv/a?x=1") == ("/v1/kv/a", "x=1")
    assert split_target("/v1/kv/http://a") == ("/v1/kv/http://a", "")


DISTINCT = [
    "a",
    "a/",
    "a//",
    "/a",
    "a/.",
    "a/..",
    "a/../b",
    "./a",
    ".",
    "..",
    "%00",
    "a%00",
    "a%20",
    "A",
    "a%0a",
]


def test_keys_that_a_path_would_merge_are_distinct(served: Served) -> None:
    for name in DISTINCT:
        assert served.put(f"/v1/kv/{name}", name.encode()).status == 201, name
    for name in DISTINCT:
        assert served.get(f"/v1/kv/{name}").body == name.encode()


def test_an_encoded_slash_equals_a_slash(served: Served) -> None:
    served.put("/v1/kv/one%2Ftwo%2fthree", b"x")
    assert served.get("/v1/kv/one/two/three").body == b"x"


def test_unicode_is_not_normalised(served: Served) -> None:
    served.put("/v1/kv/" + quote("\u00e9"), b"composed")
    assert served.get("/v1/kv/" + quote("e\u0301")).status == 404


@pytest.mark.parametrize("name", ["", "%ff", "%c3", "%ed%a0%80", "%zz", "%4", "k" * 1_025, "%41" * 1_025])
def test_a_bad_key_is_400_and_stores_nothing(served: Served, name: str) -> None:
    for kind in ("kv", "mv"):
        answer = served.put(f"/v1/{kind}/{name}", b"x")
        assert (answer.status, answer.problem) == (400, "bad-key")


def test_a_key_of_exactly_the_limit_is_taken(served: Served) -> None:
    longest = "%41" * 1_024
    assert served.put(f"/v1/kv/{longest}", b"x").status == 201
    assert served.get("/v1/kv/" + "A" * 1_024).body == b"x"


def test_a_key_over_the_limit_names_the_limit(served: Served) -> None:
    document = served.put("/v1/kv/" + "k" * 1_025, b"x").json()
    assert (document["limit"], document["limit_value"]) == ("key_bytes_max", 1_024)


def test_an_empty_query_is_none(served: Served) -> None:
    assert served.get("/v1/kv/q?").status == 404


def test_a_fragment_is_400(served: Served) -> None:
    assert served.put("/v1/kv/a#b", b"x").problem == "bad-target"


def test_raw_bytes_in_the_target_are_400(served: Served) -> None:
    for raw in (b"\xff", b"\xc3\xa4", b"\x01", b"\x00"):
        answer = served.send_raw(b"GET /v1/kv/" + raw + b" HTTP/1.1\r\nHost: n\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"/problems/bad-request" in answer


@pytest.mark.parametrize(
    "target", ["/", "/v1/kw", "/v1", "//v1/kv/a", "/V1/kv/a", "/v1/kw/a", "/livez/", "/v1/kv%2Fa"]
)
def test_an_unknown_path_is_404(served: Served, target: str) -> None:
    answer = served.get(target)
    assert (answer.status, answer.problem) == (404, "unknown-path")
