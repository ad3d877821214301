"""``kvgossip batch``: lines in, answers out in order, both ways at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import main
from tests.api.served import Served
from tests.cli.processes import TIMEOUT_S

Captured = pytest.CaptureFixture[str]
VALUE_BYTES = 256 << 10


def put(key: str, value: str = "x") -> str:
    return json.dumps({"op": "put", "key": key, "value": value})


def run(served: Served, *argv: object) -> int:
    return main(["batch", *map(str, argv), "--url", f"http://127.0.0.1:{served.port}"])


def statuses(text: str) -> list[int]:
    return [json.loads(line)["status"] for line in text.splitlines()]


def test_lines_of_a_file_are_answered_in_order(served: Served, capfd: Captured, tmp_path: Path) -> None:
    file = tmp_path / "operations"
    file.write_text(f'{put("batch/a", "1")}\n{put("batch/b")}\n{{"op": "get", "key": "batch/a"}}\n')
    assert run(served, file) == ExitCode.OK
    out = capfd.readouterr().out
    assert statuses(out) == [201, 201, 200]
    assert json.loads(out.splitlines()[2])["value_base64"] == "MQ=="


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"op": "get", "key": "batch/none"}', ExitCode.NOT_FOUND),
        ("nonsense", ExitCode.FAILURE),
    ],
)
def test_the_first_line_that_fails_is_the_exit_code_and_stops_no_other(
    served: Served, capfd: Captured, tmp_path: Path, line: str, code: ExitCode
) -> None:
    file = tmp_path / "operations"
    file.write_text(f"{line}\n{put('batch/after ' + line)}\n")
    assert run(served, file) == code
    assert statuses(capfd.readouterr().out)[1] == 201


def test_answers_come_while_stdin_is_still_open(served: Served) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kvgossip", "batch", "--url", f"http://127.0.0.1:{served.port}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(put("batch/open") + "\n")
        process.stdin.flush()
        assert statuses(process.stdout.readline()) == [201]
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == ExitCode.OK


def test_more_than_fits_into_both_directions_passes(served: Served, capfd: Captured, tmp_path: Path) -> None:
    file = tmp_path / "operations"
    value = "x" * VALUE_BYTES
    lines = [
        line
        for _ in range(100)
        for line in (put("batch/large", value), '{"op": "get", "key": "batch/large"}')
    ]
    file.write_text("\n".join(lines))
    assert run(served, file) == ExitCode.OK
    assert len(statuses(capfd.readouterr().out)) == 200


def test_an_empty_batch_is_fine_and_a_missing_file_a_failure(served: Served, capfd: Captured) -> None:
    assert run(served, "/dev/null") == ExitCode.OK
    assert run(served, "/nowhere") == ExitCode.FAILURE
    assert "/nowhere: No such file" in capfd.readouterr().err


def test_nobody_there_ends_with_4(tmp_path: Path) -> None:
    assert main(["batch", "/dev/null", "--url", "http://127.0.0.1:1"]) == ExitCode.UNREACHABLE
