"""The forms of an ``mv`` key: as it is, a JSON list, multipart; 406 when none is acceptable."""

import json
from base64 import b64decode
from email.parser import BytesParser
from email.policy import HTTP

import pytest

from tests.api.served import Answer, Served

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(scope="module")
def one(served: Served) -> str:
    served.put("/v1/mv/one-form", b"\x00one", Content_Type="Image/PNG; a=b")
    return "/v1/mv/one-form"


@pytest.fixture(scope="module")
def several(served: Served) -> str:
    for number in range(3):
        served.put(
            f"/v1/mv/forms?ttl={100 + number}", b"--\r\n%d\xff\r\n" % number, Content_Type=f"text/x-{number}"
        )
    return "/v1/mv/forms"


def get(served: Served, target: str, accept: str, method: str = "GET") -> Answer:
    return served.call(method, target, headers={"Accept": accept})


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "image/png"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("IMAGE/Png;x=y;q=0.5", "image/png"),
        (BROWSER, "image/png"),
        ("application/json", "application/json"),
        ("application/json, */*", "application/json"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("application/json;q=0.5, image/*;q=0.4", "application/json"),
        ("application/*", "application/json"),
        ("multipart/mixed", "multipart/mixed"),
        ("multipart/mixed, application/json", "application/json"),
        ("multipart/mixed, application/json;q=0.9", "multipart/mixed"),
        ("image/png;q=0, */*", "application/json"),
        ("junk, ;;, application/json", "application/json"),
    ],
)
def test_of_one_value_the_form_that_is_named_is_answered(
    served: Served, one: str, accept: str, form: str
) -> None:
    answer = get(served, one, accept)
    assert answer.status == 200
    assert answer.headers["content-type"].partition(";")[0].lower() == form
    assert answer.headers["vary"] == "Accept"
    assert {"etag", "kv-context", "kv-dot", "kv-stamp"} <= set(answer.headers)
    head = get(served, one, accept, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert set(head.headers) | {"content-length", "transfer-encoding"} >= set(answer.headers)


@pytest.mark.parametrize("accept", ["text/plain", "application/xml", "", "junk", "*/*;q=0", "image/png;q=2"])
def test_what_is_not_to_be_had_is_406(served: Served, one: str, accept: str) -> None:
    for method in ("GET", "HEAD"):
        assert get(served, one, accept, method).status == 406
    answer = get(served, one, accept)
    assert answer.problem == "not-acceptable"
    assert "application/json, image/png, multipart/mixed" in str(answer.json()["detail"])


def test_one_value_as_json_is_a_list_of_one(served: Served, one: str) -> None:
    (item,) = json.loads(get(served, one, "application/json").body)
    assert (b64decode(item["value"]), item["type"]) == (b"\x00one", "Image/PNG; a=b")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "application/json"),
        (BROWSER, "application/json"),
        ("multipart/mixed, */*", "multipart/mixed"),
        ("multipart/*", "multipart/mixed"),
        ("multipart/mixed;q=0.5, */*;q=0.4", "multipart/mixed"),
    ],
)
def test_several_values_are_json_unless_multipart_is_named(
    served: Served, several: str, accept: str, form: str
) -> None:
    answer = get(served, several, accept)
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (300, form)
    assert "server" not in answer.headers


def test_the_type_of_one_of_several_values_is_not_to_be_had(served: Served, several: str) -> None:
    assert get(served, several, "text/x-1").status == 406


def test_multipart_carries_every_value_as_it_is(served: Served, several: str) -> None:
    siblings = json.loads(get(served, several, "application/json").body)
    answer = get(served, several, "multipart/mixed")
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + answer.body)
    assert not message.defects
    parts = list(message.iter_parts())
    assert [part["Content-Type"] for part in parts] == ["text/x-0", "text/x-1", "text/x-2"]
    assert [part["Kv-Dot"] for part in parts] == [sibling["dot"] for sibling in siblings]
    assert [int(part["Kv-Expires"]) for part in parts] == [sibling["expires_ms"] for sibling in siblings]
    assert all(part["Kv-Stamp"] for part in parts)
    for number in range(3):
        assert b"\r\n\r\n--\r\n%d\xff\r\n\r\n--" % number in answer.body
    assert "kv-expires" not in answer.headers


def test_a_kv_key_has_one_form(served: Served) -> None:
    served.put("/v1/kv/one-form", b"x", Content_Type="text/plain")
    assert get(served, "/v1/kv/one-form", "image/png").headers["content-type"] == "text/plain"
