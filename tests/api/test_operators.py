"""Health, status, members, check and faults: what operators ask."""

import json
from collections.abc import Iterator

import pytest

from kvgossip.api import faults
from tests.api.served import Answer, Served, memory_node, serving

PEER = "127.0.0.1:9"


@pytest.fixture(scope="module")
def served(short_or_long: None) -> Iterator[Served]:
    with serving(memory_node(allow_faults=True)) as served:
        yield served


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_is_one_word(served: Served, path: str) -> None:
    answer = served.get(path)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"ok\n", "text/plain")
    assert served.call("HEAD", path).body == b""


def members_of(answer: Answer) -> list[dict[str, object]]:
    members = answer.json()["members"]
    assert isinstance(members, list)
    return members


def test_status_tells_root_counts_clock_and_generation(served: Served) -> None:
    before = served.get("/v1/status").json()
    dot = served.put("/v1/kv/status", b"x").headers["kv-dot"]
    after = served.get("/v1/status").json()
    replica, _, counter = dot.partition("-")
    assert (after["node"], after["cluster"], after["replica"]) == ("n1", "kvgossip", replica)
    assert (after["generation"], after["is_ready"], after["read_only_because"]) == (1, True, None)
    assert before["root"] != after["root"]
    assert len(str(after["root"])) == 32
    assert after["entries"] == int(str(before["entries"])) + 1
    assert after["clock"] == {replica: [[1, int(counter)]]}
    assert after["clock_holes"] == 0
    assert isinstance(after["counters"], dict)


def test_members_begin_with_the_node_itself(served: Served) -> None:
    (member,) = members_of(served.get("/v1/cluster/members"))
    assert (member["name"], member["state"], member["is_self"]) == ("n1", "alive", True)
    assert str(member["peer"]).startswith("127.0.0.1:")


def test_check_tells_the_roots(served: Served) -> None:
    checked = served.get("/v1/cluster/check")
    assert checked.json()["converged"] is True
    (member,) = members_of(checked)
    assert member["root"] == served.get("/v1/status").json()["root"]


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/v1/status", "/v1/cluster/members", "/v1/cluster/check"]
)
def test_what_is_only_read_is_405_for_the_rest(served: Served, path: str) -> None:
    for method in ("PUT", "POST", "DELETE"):
        answer = served.call(method, path, b"")
        assert (answer.status, answer.problem, answer.headers["allow"]) == (
            405,
            "method-not-allowed",
            "GET, HEAD",
        )


def post(served: Served, document: object) -> Answer:
    return served.call("POST", "/v1/faults", json.dumps(document).encode())


def test_fault_rules_are_replaced_shown_and_cleared(served: Served) -> None:
    shown = post(served, {"drop_to": [PEER], "drop_from": [PEER, "127.0.0.1:8"]}).json()
    assert (shown["drop_to"], shown["drop_from"]) == ([PEER], ["127.0.0.1:8", PEER])
    assert served.get("/v1/faults").json()["drop_to"] == [PEER]
    assert post(served, {"drop_to": ["127.0.0.1:7"]}).json()["drop_from"] == []
    cleared = served.call("DELETE", "/v1/faults").json()
    assert (cleared["drop_to"], cleared["drop_from"]) == ([], [])


def test_a_peer_can_be_named(served: Served) -> None:
    (me,) = members_of(served.get("/v1/cluster/members"))
    assert post(served, {"drop_to": ["n1"]}).json()["drop_to"] == [me["peer"]]
    served.call("DELETE", "/v1/faults")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {"drop": []},
        {"drop_to": "n1"},
        {"drop_to": [1]},
        {"drop_to": None},
        {"drop_to": ["nobody"]},
    ],
)
def test_malformed_fault_rules_are_400_and_change_nothing(served: Served, document: object) -> None:
    post(served, {"drop_to": [PEER]})
    answer = post(served, document)
    assert (answer.status, answer.problem) == (400, "bad-faults")
    assert served.get("/v1/faults").json()["drop_to"] == [PEER]
    served.call("DELETE", "/v1/faults")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 60_000, b" " * (faults.RULES_BYTES_MAX + 1)])
def test_fault_rules_that_are_no_json_are_400(served: Served, body: bytes) -> None:
    answer = served.call("POST", "/v1/faults", body)
    assert (answer.status, answer.problem) == (400, "bad-faults")


def test_without_allow_faults_there_are_none() -> None:
    with serving(memory_node()) as served:
        for method in ("GET", "POST", "DELETE"):
            answer = served.call(method, "/v1/faults", b"{}")
            assert (answer.status, answer.problem) == (404, "unknown-path")
