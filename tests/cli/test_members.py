"""``members``, ``events``, ``rtt``, ``forget`` and ``leave``: the cluster on the command line."""

import json
import re
import signal
import time
from collections.abc import Iterator

import pytest

from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import main
from tests.api.served import Served, memory_node, serving
from tests.api.test_members import QUICK, joined, members_of, until
from tests.cli.processes import TIMEOUT_S, command, end, free_address, read_until

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The node that commands talk to."""
    with serving(memory_node("n1", tuning=QUICK)) as served:
        monkeypatch.setenv("KVGOSSIP_URL", url_of(served))
        yield served


def url_of(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}"


def columns(text: str) -> list[dict[str, str]]:
    """The rows of a table by its header; columns are two spaces apart."""
    header, *rows = text.splitlines()
    starts = [found.start() for found in re.finditer(r"(?:^|(?<=  ))\S", header)]
    return [
        {
            header[start:end].strip(): row[start:end].strip()
            for start, end in zip(starts, [*starts[1:], None], strict=True)
        }
        for row in rows
    ]


def test_members_have_their_zone_tags_health_and_round_trip(one: Served, capfd: Captured) -> None:
    with joined(one, zone="east", tag=("rack=a", "disk=ssd")):
        until(lambda: members_of(one)["n2"]["round_trip_ms"] is not None)
        assert main(["members"]) == ExitCode.OK
    mine, other = columns(capfd.readouterr().out)
    assert (mine["NODE"], mine["HEARD"], mine["ZONE"], mine["TAGS"]) == ("n1", "itself", "–", "–")
    assert (other["NODE"], other["STATE"], other["HEALTH"], other["ZONE"]) == ("n2", "alive", "ok", "east")
    assert other["TAGS"] == "disk=ssd,rack=a"
    assert re.fullmatch(r"\d+ ms", other["ROUND TRIP"])
    assert re.fullmatch(r"\d+\.\d+", other["PHI"])
    assert (other["GENERATION"], other["INCARNATION"]) == ("1", "0")


def test_rtt_has_a_row_for_each_other_member(one: Served, capfd: Captured) -> None:
    assert main(["rtt", "-o", "plain"]) == ExitCode.OK
    assert capfd.readouterr().out == ""
    with joined(one):
        until(lambda: members_of(one)["n2"]["round_trip_ms"] is not None)
        assert main(["rtt"]) == ExitCode.OK
        (row,) = columns(capfd.readouterr().out)
        assert main(["rtt", "-o", "json"]) == ExitCode.OK
        (member,) = json.loads(capfd.readouterr().out)["members"]
    assert (row["NODE"], row["STATE"]) == ("n2", "alive")
    assert re.fullmatch(r"\d+ ms", row["PROBE"])
    assert re.fullmatch(r"[\d.]+ ms", row["LINK"])
    assert 0 < member["link_round_trip_ms"] < 1_000


def test_forget_takes_one_that_is_gone_and_refuses_the_others(one: Served, capfd: Captured) -> None:
    with joined(one):
        assert main(["forget", "n2"]) == ExitCode.CONFLICT
        assert "only a member that is down or has left" in capfd.readouterr().err
    until(lambda: members_of(one)["n2"]["state"] == "left")
    assert main(["forget", "n2"]) == ExitCode.OK
    assert capfd.readouterr().out.startswith("forgotten: n2, replica ")
    assert main(["forget", "n2"]) == ExitCode.NOT_FOUND
    assert main(["forget", "a/b c"]) == ExitCode.NOT_FOUND, "whatever its name is"


@pytest.mark.parametrize("output", ["plain", "json", "table"])
def test_events_come_a_line_each_until_the_node_stops(output: str) -> None:
    with (
        serving(memory_node("n1", tuning=QUICK)) as one,
        command("events", "-o", output, "--url", url_of(one)) as events,
    ):
        until(lambda: bool(one.node.member_feed._listeners))
        with joined(one) as two:
            replica = str(members_of(two)["n2"]["replica"])
        line = read_until(events, "leave")
        one.node._running()._loop.call_soon_threadsafe(one.node.member_feed.close)
        assert events.wait(TIMEOUT_S) == ExitCode.UNREACHABLE
        assert events.stderr is not None
        assert events.stderr.read() == "kvgossip: the node stops\n"
    if output == "json":
        event = json.loads(line)
        assert (event["kind"], event["name"], event["replica"]) == ("leave", "n2", replica)
    elif output == "plain":
        kind, name, _, shown, health = line.rstrip("\n").split("\t")
        assert (kind, name, shown, health) == ("leave", "n2", replica, "–")
    else:
        assert re.match(r"\d\d:\d\d:\d\d  leave    n2  127\.0\.0\.1:\d+  [0-9a-f]{16}  ", line)


def test_a_watch_prints_again_when_something_changed_and_ends_when_it_is_interrupted() -> None:
    with (
        serving(memory_node("n1", tuning=QUICK)) as one,
        command("members", "--watch", "-o", "plain", "--url", url_of(one)) as watching,
    ):
        assert read_until(watching, "n1").split("\t")[1] == "alive"
        with joined(one):
            assert read_until(watching, "n2").split("\t")[1] == "alive"
        assert read_until(watching, "left").split("\t")[0] == "n2"
        assert end(watching, signal.SIGINT) == ExitCode.INTERRUPTED
        assert watching.stdout is not None
        assert watching.stdout.read() == "", "nothing has changed since"


def test_a_node_that_was_told_to_leave_does_and_its_process_ends(capfd: Captured) -> None:
    peer = free_address()
    arguments = ("serve", "--listen", "127.0.0.1:0", "--node")
    with (
        command(*arguments, "n1", "--peer-listen", peer, "--tag", "a=b", "--zone", "z") as first,
        command(*arguments, "n2", "--peer-listen", free_address(), "--seeds", peer) as second,
    ):
        one, two = (read_until(node, "is ready").split("API ")[1].split(",")[0] for node in (first, second))
        until(lambda: shown(two, capfd, "n1") == ["alive", "z", {"a": "b"}])
        until(lambda: shown(one, capfd, "n2") == ["alive", "", {}])
        began_s = time.monotonic()
        assert main(["leave", "--url", two]) == ExitCode.OK
        assert capfd.readouterr().out == "n2 leaves\n"
        assert second.wait(TIMEOUT_S) == 0
        assert time.monotonic() - began_s < 10
        until(lambda: shown(one, capfd, "n2")[0] == "left")
        assert main(["leave", "--url", two]) == ExitCode.UNREACHABLE


def shown(url: str, capfd: Captured, name: str) -> list[object]:
    capfd.readouterr()
    assert main(["members", "-o", "json", "--url", url]) == ExitCode.OK
    members = json.loads(capfd.readouterr().out)["members"]
    found = [[m["state"], m["zone"], m["tags"]] for m in members if m["name"] == name]
    return found[0] if found else [None]
