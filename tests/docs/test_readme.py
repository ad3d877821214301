"""The README is true: its console lines are run against real nodes, its tables are those of the code."""

import os
import re
import shutil
import socket
import sys
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import pytest

from kvgossip import config
from kvgossip.api import body, connection
from kvgossip.api.problem import Problem
from kvgossip.cli.configuration import commands_of
from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import build_parser
from kvgossip.runtime.settings import Settings
from kvgossip.store import rocks_open
from tests.docs.console import Shell, Step, fits, steps
from tests.docs.markdown import ROOT, read, rows, section

PAGE = read("README.md")
PORTS = ("7700", "7701", "7710", "7711", "7720", "7721")

has_curl = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash"
)


def on_free_ports(text: str) -> str:
    """``text`` with each of the README's ports replaced by one that is free."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in PORTS]
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        for port, bound in zip(PORTS, sockets, strict=True):
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{bound.getsockname()[1]}")
    return text


def shell(folder: Path, url: str) -> Shell:
    """A shell in which ``kvgossip`` is the one under test and talks to ``url``."""
    command = folder / "bin" / "kvgossip"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kvgossip "$@"\n')
    command.chmod(0o755)
    (folder / ".curlrc").write_text("silent\nshow-error\n")  # no progress meter between the lines
    environment = {
        **os.environ,
        "CURL_HOME": str(folder),
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "KVGOSSIP_URL": url,
        "NO_PROXY": "127.0.0.1",
    }
    return Shell(folder, environment)


def run_section(title: str, folder: Path, *, is_served: bool) -> None:
    """Run every console line below a heading; ``is_served``: with a node of its own at the first port."""
    *lines, api, peer = on_free_ports(section(PAGE, title) + "\n127.0.0.1:7700\n127.0.0.1:7701").splitlines()
    with shell(folder, f"http://{api}") as terminal:
        if is_served:
            terminal.run(f"kvgossip serve --listen {api} --peer-listen {peer} 2> log &")
            terminal.perform(Step(f"curl -s http://{api}/readyz", ("ok",)))
        for step in steps("\n".join(lines)):
            terminal.perform(step)


@has_curl
def test_the_http_examples_do_what_they_say(tmp_path: Path) -> None:
    run_section("HTTP", tmp_path, is_served=True)


@has_curl
def test_the_command_line_examples_do_what_they_say(tmp_path: Path) -> None:
    run_section("Command line", tmp_path, is_served=True)


@has_curl
def test_the_cluster_by_hand_works_line_by_line(tmp_path: Path) -> None:
    run_section("A cluster by hand", tmp_path, is_served=False)


def test_output_that_differs_does_not_fit() -> None:
    assert fits(("HTTP/1.1 200 OK", "a…c"), "HTTP/1.1 200 OK\nX: y\nabc\n")
    assert not fits(("a", "b"), "b\na\n")
    assert not fits(("a…c",), "ab\n")
    assert not fits(("on",), "Content-Length: 2\n")
    assert fits((), "")


def test_every_flag_of_serve_is_listed() -> None:
    listed = {row[0].strip("`").split()[0] for row in rows(section(PAGE, "Settings"))}
    serve = dict(commands_of(build_parser()))["serve",]
    flags = {flag for action in serve._actions for flag in action.option_strings}
    assert listed == flags - {"-h", "--help", "--config", "--print-config"}
    assert {f"--{field.name.replace('_', '-')}" for field in fields(Settings)} - {"--tuning"} <= listed


def test_every_exit_code_is_listed() -> None:
    listed = {int(row[0]) for row in rows(section(PAGE, "Command line"))}
    assert listed == {int(code) for code in ExitCode}


LIMITS = {
    "key": f"1 to {config.KEY_BYTES_MAX:,} bytes of UTF-8",
    "value": f"{config.VALUE_BYTES_MAX >> 20} MiB",
    "content type": f"{config.CONTENT_TYPE_BYTES_MAX} characters, `type/subtype`",
    "siblings of an `mv` key, after a local write": f"{config.SIBLINGS_MAX}",
    "an `mv` entry, after a local write": f"{config.ENTRY_BYTES_MAX >> 20} MiB",
    "request target": f"{connection.TARGET_BYTES_MAX >> 10} KiB",
    "one header; all together; how many": (
        f"{connection.HEADER_BYTES_MAX >> 10} KiB; {connection.HEAD_BYTES_MAX >> 10} KiB;"
        f" {connection.HEADERS_MAX}"
    ),
    "headers complete": f"within {connection.HEAD_TIMEOUT_S:.0f} s",
    "a pause in a body; its mean rate": (
        f"{body.BODY_TIMEOUT_S:.0f} s; {body.BODY_BYTES_PER_S_MIN >> 10} KiB a second"
    ),
    "connections": f"{connection.CONNECTIONS_MAX:,}",
    "bytes that wait for the disk": f"{config.Tuning().staged_bytes_max >> 20} MiB",
    "free space on the disk": f"{rocks_open.RESERVE_BYTES >> 20} MiB and twice the batch",
}


def test_every_limit_is_listed_as_it_is() -> None:
    table = section(PAGE, "Limits and errors").partition("| status | problems |")[0]
    assert {row[0]: row[1] for row in rows(table)} == LIMITS


def test_every_problem_is_listed_under_its_status() -> None:
    table = section(PAGE, "Limits and errors").partition("| status | problems |")[2]
    listed = {
        (int(row[0]), f"/problems/{name.strip('`')}")
        for row in rows("| status | problems |" + table)
        for name in row[1].split(", ")
    }
    assert listed == {(problem.status, problem.type) for problem in Problem}


def test_every_file_that_the_readme_names_is_there() -> None:
    for name in re.findall(r"`((?:tests|kvgossip|docs)/[\w/.]*)`", PAGE):
        assert (ROOT / name).exists(), name
