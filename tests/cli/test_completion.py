"""``kvgossip completion``: run in bash, it offers what the parsers know."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kvgossip.cli.configuration import commands_of
from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import build_parser, main

needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")


@pytest.fixture
def script(capfd: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", "bash"]) == ExitCode.OK
    return capfd.readouterr().out


def complete(script: str, *words: str, folder: Path | None = None) -> set[str]:
    """What bash offers for the last of ``words``."""
    run = (
        f'{script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kvgossip; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    ended = subprocess.run(
        ["bash", "--norc", "-c", run, "bash", "kvgossip", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert ended.stderr == ""
    return set(ended.stdout.split("\n")) - {""}


@needs_bash
def test_every_command_and_every_flag_is_offered(script: str) -> None:
    for path, command in commands_of(build_parser()):
        for at, word in enumerate(path):
            assert word in complete(script, *path[:at], "")
        flags = {flag for action in command._actions for flag in action.option_strings}
        assert complete(script, *path, "-") == flags


@needs_bash
def test_a_beginning_is_completed(script: str) -> None:
    assert complete(script, "mem") == {"members"}
    assert complete(script, "sim", "check", "--see") == {"--seeds"}


@needs_bash
def test_values_of_flags_are_offered_and_files_where_files_go(script: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "folder").mkdir()
    assert complete(script, "get", "-o", "") == {"table", "json", "plain"}
    assert complete(script, "completion", "z") == {"zsh"}
    assert complete(script, "put", "key", "a", folder=tmp_path) == {"a file"}
    assert complete(script, "serve", "--data-dir", "", folder=tmp_path) == {"folder"}
    assert complete(script, "get", "--url", "", folder=tmp_path) == set()


@needs_bash
def test_a_key_that_is_called_like_a_command_changes_nothing(script: str) -> None:
    assert "--resolve" in complete(script, "get", "sim", "--res")


def test_zsh_runs_the_script_of_bash(script: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == ExitCode.OK
    out = capfd.readouterr().out
    assert "bashcompinit" in out
    assert out.endswith(script.partition("\n")[2])
