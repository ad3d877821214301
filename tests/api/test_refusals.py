"""Every reason to refuse a write has its status and problem; few of them can be brought about for real."""

from collections.abc import Iterator

import pytest

from kvgossip.errors import CorruptRowError
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.model.value import Value
from kvgossip.node.effects import Condition, Refusal, Refused, Result
from kvgossip.runtime.engine import Tell
from kvgossip.store.memory import MemoryStore
from tests.api.served import Served, memory_node, serving

EXPECTED = {
    Refusal.TOO_MANY_SIBLINGS: (409, "too-many-siblings"),
    Refusal.ENTRY_TOO_LARGE: (413, "entry-too-large"),
    Refusal.DISK_FULL: (507, "disk-full"),
    Refusal.DISK_FAILED: (503, "disk-failed"),
    Refusal.OUTCOME_UNKNOWN: (503, "outcome-unknown"),
    Refusal.READ_ONLY: (503, "read-only"),
    Refusal.OVERLOADED: (503, "overloaded"),
    Refusal.STAMPS_EXHAUSTED: (409, "stamps-exhausted"),
    Refusal.PRECONDITION_FAILED: (412, "precondition-failed"),
}


@pytest.fixture(scope="module")
def served(short_or_long: None) -> Iterator[Served]:
    with serving(memory_node()) as served:
        yield served


@pytest.mark.parametrize("reason", Refusal)
def test_every_refusal_has_its_problem(
    served: Served, monkeypatch: pytest.MonkeyPatch, reason: Refusal
) -> None:
    context = VersionVector((Dot(ReplicaId(1), 1),))

    def refuse_put(key: Key, value: Value, tell: Tell, *more: object) -> None:
        tell(Refused(reason, "why it was", context))

    async def refuse(key: Key, seen: VersionVector | None, condition: Condition) -> Result:
        return Refused(reason, "why it was", context)

    monkeypatch.setattr(served.node, "begin_put", refuse_put)
    monkeypatch.setattr(served.node, "delete", refuse)
    for method in ("PUT", "DELETE"):
        answer = served.call(method, "/v1/mv/refused", b"x")
        assert (answer.status, answer.problem) == EXPECTED[reason]
        assert answer.json()["detail"] == "why it was"
        assert "kv-context" in answer.headers
        assert ("retry-after" in answer.headers) == (reason is Refusal.OVERLOADED)


def test_a_row_that_cannot_be_read_is_503(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(store: MemoryStore, asked: Key | list[Key]) -> None:
        raise CorruptRowError("the row of key 'a' is corrupt")

    monkeypatch.setattr(MemoryStore, "get", fail)
    monkeypatch.setattr(MemoryStore, "get_many", fail)
    answer = served.get("/v1/kv/a")
    assert (answer.status, answer.problem) == (503, "row-unreadable")
    assert "corrupt" in str(answer.json()["detail"])


def test_a_node_that_stops_serves_nothing_but_its_health(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.node, "_is_stopping", True)
    for method, target in (
        ("GET", "/readyz"),
        ("GET", "/v1/kv/a"),
        ("PUT", "/v1/mv/a"),
        ("DELETE", "/v1/kv/a"),
    ):
        answer = served.call(method, target, b"")
        assert (answer.status, answer.problem) == (503, "not-ready")
        assert "retry-after" in answer.headers
    assert served.get("/livez").status == 200
