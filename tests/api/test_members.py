"""Members over HTTP: what is told of them, their events, and what an operator may do about them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from itertools import pairwise
from typing import cast

import pytest

from kvgossip.api import member_events
from kvgossip.config import Tuning
from kvgossip.node.effects import MemberEvent
from kvgossip.node.vital_signs import Vitals
from kvgossip.runtime import member_feed
from kvgossip.runtime.member_feed import MemberEventKind
from kvgossip.runtime.vitals import VitalsMeter
from tests.api.served import TIMEOUT_S, Served, memory_node, serving

QUICK = Tuning(probe_interval_ms=200, probe_timeout_ms=80, seed_interval_ms=300, vitals_interval_ms=100)

Member = dict[str, object]


class Events:
    """A client of a stream of events."""

    def __init__(self, served: Served, path: str = "/v1/cluster/events") -> None:
        self._connection = HTTPConnection("127.0.0.1", served.port, timeout=TIMEOUT_S)
        self._connection.request("GET", path)
        self.answer: HTTPResponse = self._connection.getresponse()
        assert self.line() == ": listening", "who asks knows at once that it listens"

    def line(self) -> str:
        return self.answer.readline().decode().rstrip("\n")

    def next(self) -> Member:
        while not (line := self.line()).startswith("event: "):
            assert self.answer.fp is not None, "the stream has ended"
        event = json.loads(self.line().removeprefix("data: "))
        assert event["kind"] == line.removeprefix("event: ")
        return cast(Member, event)

    def until(self, kind: str, name: str) -> Member:
        while (event := self.next())["kind"] != kind or event.get("name", name) != name:
            pass
        return event

    def close(self) -> None:
        self._connection.close()


@contextmanager
def listening(served: Served, path: str = "/v1/cluster/events") -> Iterator[Events]:
    events = Events(served, path)
    try:
        yield events
    finally:
        events.close()


def members_of(served: Served, path: str = "/v1/cluster/members") -> dict[str, Member]:
    """By name; of two with one name the one that is there."""
    members = served.get(path).json()["members"]
    assert isinstance(members, list)
    members.sort(key=lambda member: member["state"] == "alive")
    return {str(member["name"]): member for member in members}


def until(claim: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not claim():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@contextmanager
def joined(
    served: Served, name: str = "n2", *, zone: str = "", tag: tuple[str, ...] = ()
) -> Iterator[Served]:
    """Another node that knows ``served``, and is known to it."""
    peer = str(members_of(served)[served.node.settings.node]["peer"])
    with serving(memory_node(name, seeds=(peer,), zone=zone, tag=tag, tuning=QUICK)) as other:
        until(lambda: members_of(served).get(name, {}).get("state") == "alive")
        until(lambda: served.node.settings.node in members_of(other))
        yield other


@pytest.fixture
def one() -> Iterator[Served]:
    with serving(memory_node("n1", tuning=QUICK)) as served:
        yield served


def test_a_member_is_shown_with_all_that_is_known_of_it(one: Served) -> None:
    with joined(one, zone="east", tag=("rack=a",)):
        until(lambda: members_of(one)["n2"]["round_trip_ms"] is not None)
        until(lambda: cast(Member, members_of(one)["n2"]["load"])["memory_bytes"] != 0)
        shown = members_of(one)["n2"]
        assert (shown["zone"], shown["tags"], shown["is_fit"], shown["troubles"]) == (
            "east",
            {"rack": "a"},
            True,
            [],
        )
        assert (shown["state"], shown["is_self"], shown["incarnation"], shown["generation"]) == (
            "alive",
            False,
            0,
            1,
        )
        assert 0 <= cast(float, shown["link_round_trip_ms"]) < 1_000
        assert 0 <= cast(float, shown["phi"]) < 300
        assert cast(int, shown["heard_ms_ago"]) < TIMEOUT_S * 1_000
        assert shown["wire_version"] == 1


def test_events_tell_a_join_a_change_and_a_leave_and_each_path_its_own_kind(one: Served) -> None:
    with (
        listening(one) as every,
        listening(one, "/gossip/on-change") as changes,
        listening(one, "/gossip/on-join") as joins,
    ):
        with joined(one) as two:
            assert every.until("join", "n2")["kind"] == "join"
            assert every.until("alive", "n2")["state"] == "alive"
            assert joins.next()["name"] == "n2"
            answer = two.call("PUT", "/v1/cluster/tags", b'{"role": "canary"}')
            assert (answer.status, answer.json()) == (200, {"tags": {"role": "canary"}})
            assert every.until("change", "n2")["tags"] == {"role": "canary"}
            assert changes.next()["tags"] == {"role": "canary"}
        assert every.until("leave", "n2")["state"] == "left"
        assert members_of(one)["n2"]["state"] == "left"


def test_a_quiet_stream_shows_that_it_lives_and_a_stop_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_events, "KEEP_ALIVE_S", 0.05)
    with serving(memory_node(tuning=QUICK)) as served:
        events = Events(served)
        assert events.answer.getheader("Content-Type") == "text/event-stream"
        assert events.answer.getheader("Cache-Control") == "no-store"
        while events.line() != ": nothing new":
            pass
    end = events.until("end", "")
    assert end["reason"] == "stopping"
    assert events.answer.read() == b"\n", "and nothing behind it"
    events.close()


def test_a_client_that_does_not_keep_up_is_dropped_with_a_last_event(
    one: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[MemberEvent] = []
    one.node.on_member(MemberEventKind.ALIVE, seen.append)
    with joined(one):
        until(lambda: bool(seen))
    monkeypatch.setattr(member_feed, "EVENTS_WAITING_MAX", 2)

    def publish_at_once() -> None:
        for _ in range(5):
            one.node.member_feed.publish(seen[0])

    with listening(one) as events:
        until(lambda: len(one.node.member_feed._listeners) == 1)
        one.node._running()._loop.call_soon_threadsafe(publish_at_once)
        assert [events.next()["kind"] for _ in range(3)] == ["alive", "alive", "end"]
    until(lambda: not one.node.member_feed._listeners)


def test_a_head_of_a_stream_ends(one: Served) -> None:
    answer = one.call("HEAD", "/gossip/on-dead")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "text/event-stream", b"")


def test_a_peer_is_sampled_only_if_it_is_there_and_can_serve(one: Served) -> None:
    assert one.get("/gossip/get-peer").problem == "no-peer"
    with joined(one):
        peer = cast(Member, one.get("/gossip/get-peer").json()["peer"])
        assert (peer["name"], peer["is_self"]) == ("n2", False)
    until(lambda: one.get("/gossip/get-peer").status == 404)


def test_samples_are_independent_and_of_all_peers(one: Served) -> None:
    with joined(one, "n2"), joined(one, "n3"):
        names = [cast(Member, one.get("/gossip/get-peer").json()["peer"])["name"] for _ in range(40)]
    assert set(names) == {"n2", "n3"}, "by chance once in 2^39 runs"
    assert any(first == second for first, second in pairwise(names)), "no round-robin"


def test_init_tells_whom_the_node_knew_when_it_started(one: Served) -> None:
    with joined(one):
        assert set(members_of(one, "/gossip/init")) == {"n1"}
        assert set(members_of(one)) == {"n1", "n2"}


def test_a_zombie_is_seen_as_such_by_all_and_sampled_by_nobody(
    one: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with joined(one) as two:
        read = VitalsMeter.read

        def full(meter: VitalsMeter) -> Vitals:
            told = read(meter)
            return (
                Vitals(told.cpu_permille, told.memory_bytes, 0, ("disk-full",)) if is_of(meter, two) else told
            )

        with listening(one, "/gossip/on-change") as changes, monkeypatch.context() as patch:
            patch.setattr(VitalsMeter, "read", full)
            assert changes.next()["troubles"] == ["disk-full"]
            shown = members_of(one)["n2"]
            assert (shown["state"], shown["is_fit"], shown["troubles"]) == ("alive", False, ["disk-full"])
            assert one.get("/gossip/get-peer").problem == "no-peer"
            assert "kvgossip_members_unfit 1.0" in one.get("/metrics").body.decode()
            assert b"disk-full" in two.get("/readyz").body
            assert two.get("/v1/status").json()["troubles"] == ["disk-full"]
            checked = cast(list[Member], one.get("/v1/cluster/check").json()["members"])
            assert [member["troubles"] for member in checked] == [[], ["disk-full"]]
        until(lambda: members_of(one)["n2"]["is_fit"] is True)


def is_of(meter: VitalsMeter, served: Served) -> bool:
    return served.node._vitals is meter


def test_only_who_is_gone_can_be_forgotten_and_by_name_or_replica_id(one: Served) -> None:
    with joined(one) as two:
        replica = str(members_of(two)["n2"]["replica"])
        for name in ("n2", replica, "n1"):
            assert one.call("POST", f"/v1/cluster/forget/{name}").problem == "member-present"
    until(lambda: members_of(one)["n2"]["state"] == "left")
    assert one.call("POST", "/v1/cluster/forget/n3").problem == "unknown-member"
    with listening(one) as events:
        answer = one.call("POST", f"/v1/cluster/forget/{replica}")
        assert answer.json() == {"forgotten": [{"name": "n2", "replica": replica}]}
        assert events.until("forget", "n2")["replica"] == replica
    assert set(members_of(one)) == {"n1"}
    assert one.call("POST", "/v1/cluster/forget/n2").problem == "unknown-member"


def test_of_two_members_with_one_name_the_one_that_is_gone_is_forgotten(one: Served) -> None:
    with joined(one, "same") as first:
        gone = members_of(first)["same"]["replica"]
    until(lambda: members_of(one)["same"]["state"] == "left")
    with joined(one, "same"):
        forgotten = one.call("POST", "/v1/cluster/forget/same").json()["forgotten"]
        assert forgotten == [{"name": "same", "replica": gone}]
        assert members_of(one)["same"]["state"] == "alive"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"a": 1}',
        b'{"": "x"}',
        b'{"a\\n": "x"}',
        json.dumps({"a": "x" * 65}).encode(),
        json.dumps({str(number): "x" for number in range(17)}).encode(),
        b" " * 20_000,
    ],
)
def test_tags_that_are_not_allowed_are_400_and_change_nothing(one: Served, body: bytes) -> None:
    one.call("PUT", "/v1/cluster/tags", b'{"kept": "yes"}')
    assert one.call("PUT", "/v1/cluster/tags", body).problem == "bad-tags"
    assert members_of(one)["n1"]["tags"] == {"kept": "yes"}


def test_bytes_between_zones_are_counted_and_those_within_are_not(one: Served) -> None:
    def crossed() -> bool:
        text = one.get("/metrics").body.decode()
        return 'kvgossip_cross_zone_bytes_total{direction="sent"} 0.0' not in text

    with joined(one, "near"):
        until(lambda: "round_trip_ms" in members_of(one)["near"])
        assert not crossed()
        with joined(one, "far", zone="west"):
            until(crossed)
