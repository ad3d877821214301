"""``--help``: every command explains each argument and shows an example that its own parser takes."""

import shlex

import pytest

from kvgossip.cli.configuration import commands_of
from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import build_parser

COMMANDS = {" ".join(path): command for path, command in commands_of(build_parser())}


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_shows_an_example_that_can_be_run(path: str) -> None:
    epilog = COMMANDS[path].epilog or ""
    assert epilog.startswith(f"example: kvgossip {path}")
    arguments = build_parser().parse_args(shlex.split(epilog.removeprefix("example: kvgossip ")))
    assert " ".join(arguments.path) == path


@pytest.mark.parametrize("path", COMMANDS)
def test_every_argument_says_what_it_is(path: str) -> None:
    for action in COMMANDS[path]._actions:
        assert action.help, f"{path}: {action.dest}"


def test_a_shortened_flag_is_no_flag() -> None:
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(["get", "key", "--ur", "http://a"])
    assert end.value.code == ExitCode.USAGE
