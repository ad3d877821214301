"""Parameters: what a client believes in and a node would ignore is refused."""

import pytest

from kvgossip.api.problem import ProblemError
from kvgossip.api.query import parse_query, read_flag
from tests.api.served import Served


def test_an_unknown_parameter_is_400_with_what_was_meant(served: Served) -> None:
    answer = served.put("/v1/kv/q?tll=1", b"x")
    assert (answer.status, answer.problem) == (400, "unknown-parameter")
    assert "did you mean 'ttl'?" in str(answer.json()["detail"])
    assert served.get("/v1/kv/q").status == 404


def test_one_like_no_other_is_400_with_what_there_is(served: Served) -> None:
    assert "it takes ttl;" in str(served.put("/v1/kv/q?x=1", b"x").json()["detail"])
    assert "it takes none;" in str(served.get("/v1/kv/q?x=1").json()["detail"])


@pytest.mark.parametrize("target", ["/v1/kv/q?ttl=1", "/v1/status?pretty", "/livez?x", "/v1/mv/q?%74tl=1"])
def test_every_path_refuses_what_it_does_not_take(served: Served, target: str) -> None:
    answer = served.get(target)
    assert (answer.status, answer.problem) == (400, "unknown-parameter")


def test_a_parameter_given_twice_is_400(served: Served) -> None:
    assert served.put("/v1/kv/q?ttl=1&ttl=2", b"x").problem == "bad-parameter"


@pytest.mark.parametrize("text", ["a=%ff", "a=%z", "a=%", "%c3=1"])
def test_what_cannot_be_decoded_is_refused(text: str) -> None:
    with pytest.raises(ProblemError):
        parse_query(text, ("a",))


def test_values_are_decoded_as_those_of_a_form() -> None:
    assert parse_query("a=x+y%2Bz%C3%A4=&&b", ("a", "b")) == {"a": "x y+zä=", "b": ""}


def test_a_flag_is_set_by_its_name() -> None:
    flags = [read_flag(parse_query(text, ("a",)), "a") for text in ("a", "a=", "a=true", "a=false", "")]
    assert flags == [True, True, True, False, False]
    with pytest.raises(ProblemError):
        read_flag({"a": "yes"}, "a")
