"""``/v1/cluster/aggregate``: what a lone node says of itself, and what is refused."""

import time

import pytest

from kvgossip.cli import aggregate as command
from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import main
from kvgossip.model.aggregate import METRICS
from tests.api.served import Served

PATH = "/v1/cluster/aggregate"
FIRST_S_MAX = 15.0


def wait_for_first(served: Served) -> None:
    deadline = time.monotonic() + FIRST_S_MAX
    while (answer := served.get(f"{PATH}?metric=keys")).status != 200:
        assert (answer.status, answer.problem) == (503, "not-ready")
        assert answer.headers["retry-after"] == "1"
        assert time.monotonic() < deadline, "no epoch has ended"
        time.sleep(0.05)


def test_every_metric_is_answered_and_others_are_refused_with_those_that_are(served: Served) -> None:
    wait_for_first(served)
    for metric in METRICS:
        found = served.get(f"{PATH}?metric={metric}").json()
        assert (found["metric"], found["count"], found["error"], found["epoch"]) == (metric, 1.0, 0.0, 1)
        assert found["sum"] == found["average"] == found["minimum"] == found["maximum"]
        assert isinstance(found["age_ms"], int)
    for query in ("", "?metric=", "?metric=spoons"):
        answer = served.get(f"{PATH}{query}")
        assert (answer.status, answer.problem) == (400, "bad-parameter")
        assert ", ".join(METRICS) in str(answer.json()["detail"])
    unknown = served.get(f"{PATH}?metrics=keys")
    assert (unknown.status, unknown.problem) == (400, "unknown-parameter")
    posted = served.call("POST", f"{PATH}?metric=keys", b"")
    assert (posted.status, posted.headers["allow"]) == (405, "GET, HEAD")


def test_the_command_prints_it(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    wait_for_first(served)
    url = f"http://127.0.0.1:{served.port}"
    assert main(["aggregate", "keys", "--url", url]) == ExitCode.OK
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["METRIC", "NODES", "SUM", "AVERAGE", "LEAST", "GREATEST", "ERROR", "AGE"]
    assert row.split()[:2] == ["keys", "1"]
    assert row.split()[6] == "0.00%"
    assert main(["aggregate", "memory_bytes", "-o", "json", "--url", url]) == ExitCode.OK
    assert '"metric": "memory_bytes"' in capsys.readouterr().out


def test_the_command_line_knows_every_metric() -> None:
    assert command.METRICS == METRICS
