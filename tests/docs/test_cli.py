"""docs/CLI.md lists every command, flag and exit code, and its examples are run."""

import argparse
from pathlib import Path

import pytest

from kvgossip.cli.configuration import commands_of
from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import build_parser
from tests.docs.console import Step, steps
from tests.docs.markdown import read, rows, section
from tests.docs.test_readme import has_curl, on_free_ports, shell

PAGE = read("docs/CLI.md")
COMMANDS = {" ".join(path): command for path, command in commands_of(build_parser())}
COMMON = {"help", "config", "print_config"}


def flag_of(action: argparse.Action) -> str:
    value = (
        ""
        if action.nargs == 0
        else f" {'|'.join(action.choices or ()) or action.metavar or action.dest.upper()}"
    )
    return f"`{', '.join(action.option_strings)}{value}`"


def synopsis(path: str, command: argparse.ArgumentParser) -> str:
    words = [f"kvgossip {path}"]
    for action in command._actions:
        if not action.option_strings:
            name = action.metavar or "|".join(action.choices or ())
            words.append(f"[{name}]" if action.nargs == "?" else str(name))
    return f"`{' '.join(words)}`"


def listed_flags(title: str) -> list[str]:
    return [row[0].replace("\\|", "|") for row in rows(section(PAGE, title))]


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_is_listed_with_its_arguments_and_flags(path: str) -> None:
    command = COMMANDS[path]
    assert synopsis(path, command) in section(PAGE, path)
    flags = [
        flag_of(action) for action in command._actions if action.option_strings and action.dest not in COMMON
    ]
    assert listed_flags(path) == flags


def test_no_other_command_is_listed() -> None:
    titles = [line.removeprefix("### ") for line in PAGE.splitlines() if line.startswith("### ")]
    assert titles == list(COMMANDS)


def test_the_flags_of_every_command_are_listed_once() -> None:
    for command in COMMANDS.values():
        common = [flag_of(action) for action in command._actions if action.dest in COMMON]
        assert common == listed_flags("Settings")


def test_every_exit_code_is_listed() -> None:
    assert [int(row[0]) for row in rows(section(PAGE, "Exit codes"))] == [int(code) for code in ExitCode]


@has_curl
def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    api, peer = on_free_ports("127.0.0.1:7700 127.0.0.1:7701").split()
    with shell(tmp_path, f"http://{api}") as terminal:
        terminal.run(f"kvgossip serve --listen {api} --peer-listen {peer} 2> log &")
        terminal.perform(Step(f"curl -s http://{api}/readyz", ("ok",)))
        for step in steps(section(PAGE, "Examples")):
            terminal.perform(step)
