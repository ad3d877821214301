"""``kvgossip serve``: one line when ready, an orderly end, and clear words when it cannot start."""

import signal
import socket
import time
from pathlib import Path

import pytest

from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import main
from tests.cli.processes import TIMEOUT_S, command, end, free_address, read_until

ANYWHERE = ("--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0")


def url_of(ready_line: str) -> str:
    return ready_line.partition("API ")[2].partition(",")[0]


def refusal(*argv: object) -> tuple[int, str]:
    with command("serve", *argv) as process:
        _, err = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, err


def test_it_says_where_it_is_ready_and_advertises_the_bound_port() -> None:
    with command("serve", *ANYWHERE, "--node", "n1") as process:
        line = read_until(process, "n1 is ready: API http://127.0.0.1:")
        assert not url_of(line).endswith(":0")
        assert line.endswith("data memory only\n")
        assert main(["members", "--url", url_of(line)]) == ExitCode.OK


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order_and_nothing_is_lost(
    tmp_path: Path, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("serve", *ANYWHERE, "--data-dir", tmp_path / "data")
    with command(*arguments) as process:
        url = url_of(read_until(process, "is ready"))
        assert main(["put", "k", "--value", "kept", "--url", url]) == ExitCode.OK
        assert end(process, number) == 0
    with command(*arguments) as process:
        url = url_of(read_until(process, "is ready"))
        assert main(["get", "k", "--url", url]) == ExitCode.OK
        assert capfd.readouterr().out == "kept"


def test_a_second_signal_ends_it_at_once() -> None:
    with command("serve", *ANYWHERE) as process:
        host, _, port = url_of(read_until(process, "is ready")).removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as raw:
            raw.sendall(
                b"PUT /v1/kv/a HTTP/1.1\r\nHost: n\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            )
            assert raw.recv(100).startswith(b"HTTP/1.1 100")  # a request is in flight: a stop must wait
            process.send_signal(signal.SIGTERM)
            wait_until_refused(host, int(port))
            assert end(process, signal.SIGTERM) == 128 + signal.SIGTERM


def wait_until_refused(host: str, port: int) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection((host, port), timeout=TIMEOUT_S).close()
        except ConnectionError:
            return
    raise AssertionError("the node still takes connections")


def test_a_taken_port_is_one_line_and_exit_code_1() -> None:
    for flag in ("--listen", "--peer-listen"):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            other = "--peer-listen" if flag == "--listen" else "--listen"
            code, err = refusal(flag, address, other, "127.0.0.1:0")
        last = err.splitlines()[-1]
        assert (code, last.startswith("kvgossip: ")) == (1, True)
        assert address in last
        assert "Traceback" not in err


def test_a_directory_that_is_a_file_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    code, err = refusal(*ANYWHERE, "--data-dir", path)
    assert code == 1
    assert str(path) in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_directory_in_use_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with command("serve", *ANYWHERE, "--data-dir", tmp_path) as process:
        read_until(process, "is ready")
        code, err = refusal(*ANYWHERE, "--data-dir", tmp_path)
    assert code == 1
    assert str(tmp_path) in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "flags",
    [
        ("--listen", "nowhere"),
        ("--listen", "127.0.0.1:99999"),
        ("--seeds", "127.0.0.1:0"),
        ("--seeds", "a:1,b"),
        ("--node", ""),
        ("--cluster", "x" * 65),
        ("--listen", "127.0.0.1:7700", "--peer-listen", "127.0.0.1:7700"),
        ("--lisen", "127.0.0.1:7700"),
    ],
)
def test_a_bad_flag_is_one_line_and_exit_code_2(flags: tuple[str, ...]) -> None:
    code, err = refusal(*flags)
    assert code == 2
    assert "Traceback" not in err


def test_a_missing_secret_is_one_line_and_exit_code_1() -> None:
    code, err = refusal(*ANYWHERE, "--secret-file", "/nowhere")
    assert code == 1
    assert "/nowhere" in err.splitlines()[-1]


def test_two_nodes_find_each_other_by_a_seed(tmp_path: Path) -> None:
    peer = free_address()
    with (
        command("serve", "--listen", "127.0.0.1:0", "--peer-listen", peer, "--node", "n1") as first,
        command("serve", *ANYWHERE, "--seeds", peer, "--node", "n2") as second,
    ):
        url = url_of(read_until(first, "is ready"))
        other = url_of(read_until(second, "is ready"))
        assert main(["put", "k", "--value", "v", "--url", url]) == ExitCode.OK
        deadline_s = time.monotonic() + TIMEOUT_S
        while (
            main(["get", "k", "--url", other]) != ExitCode.OK
            or main(["check", "--url", other]) != ExitCode.OK
        ):
            assert time.monotonic() < deadline_s


def test_trace_names_the_dots_that_became_readable(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with command("serve", *ANYWHERE, "--trace", trace) as process:
        url = url_of(read_until(process, "is ready"))
        main(["put", "k", "--value", "v", "--url", url])
        assert end(process, signal.SIGTERM) == 0
    dot, monotonic_ns = trace.read_text().split()
    assert dot.endswith("-1")
    assert 0 < time.monotonic_ns() - int(monotonic_ns) < TIMEOUT_S * 1e9


def test_help_names_every_command() -> None:
    with command("--help", env={"COLUMNS": "200"}) as process:
        out, _ = process.communicate(timeout=TIMEOUT_S)
    for name in ("serve", "put", "get", "delete", "load", "members", "status", "check", "demo"):
        assert f"\n    {name} " in out
