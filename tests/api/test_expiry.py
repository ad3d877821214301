"""``?ttl=``: a value that expires is absent afterwards, and says before when that will be."""

import time

import pytest

from kvgossip.api.expiry import TTL_S_MAX
from kvgossip.node.effects import Now
from tests.api.served import Served


def at_a_later_time(served: Served, monkeypatch: pytest.MonkeyPatch, later_ms: int) -> None:
    now = served.node.now()
    monkeypatch.setattr(served.node, "now", lambda: Now(now.monotonic_ms, now.wall_ms + later_ms))


@pytest.mark.parametrize("kind", ["kv", "mv"])
def test_a_value_tells_when_it_expires_and_is_absent_from_then_on(
    served: Served, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    target = f"/v1/{kind}/expires"
    assert served.put(f"{target}?ttl=60", b"x").status == 201
    answer = served.get(target)
    assert (answer.status, answer.body) == (200, b"x")
    assert abs(int(answer.headers["kv-expires"]) - time.time() * 1_000 - 60_000) < 10_000
    at_a_later_time(served, monkeypatch, 61_000)
    gone = served.get(target)
    assert (gone.status, gone.problem) == (404, "not-found")
    assert "kv-deleted" not in gone.headers
    assert "kv-expires" not in gone.headers


def test_a_value_that_expired_is_made_anew(served: Served) -> None:
    served.put("/v1/kv/anew?ttl=0.001", b"x")
    deadline_s = time.monotonic() + 5
    while served.get("/v1/kv/anew").status != 404:
        assert time.monotonic() < deadline_s
    assert served.put("/v1/kv/anew", b"y").status == 201
    assert "kv-expires" not in served.get("/v1/kv/anew").headers


def test_the_corrected_time_is_what_counts(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.node.replica, "wall_ms", lambda now: 1_000_000)
    served.put("/v1/kv/corrected?ttl=1.5", b"x")
    assert served.get("/v1/kv/corrected").headers["kv-expires"] == "1001500"


@pytest.mark.parametrize("ttl", ["1", "0.0001", "00.5", f"{TTL_S_MAX}", f"{TTL_S_MAX}.0", "%31"])
def test_a_positive_decimal_up_to_ten_years_is_taken(served: Served, ttl: str) -> None:
    assert served.put(f"/v1/kv/ttl?ttl={ttl}", b"x").status in (201, 204)


@pytest.mark.parametrize(
    "ttl",
    [
        "",
        "0",
        "0.0",
        "-1",
        "+1",
        "1e3",
        "0x10",
        "1_0",
        " 1",
        "1.",
        ".5",
        "inf",
        "nan",
        "1s",
        "٣",
        "9" * 30,
        f"{TTL_S_MAX}.001",
    ],
)
def test_any_other_ttl_is_400_and_stores_nothing(served: Served, ttl: str) -> None:
    encoded = "".join(f"%{byte:02x}" for byte in ttl.encode())
    answer = served.put(f"/v1/kv/bad-ttl?ttl={encoded}", b"x")
    assert (answer.status, answer.problem) == (400, "bad-ttl")
    assert (answer.json()["limit"], answer.json()["limit_value"]) == ("ttl_s_max", TTL_S_MAX)
    assert served.get("/v1/kv/bad-ttl").status == 404
