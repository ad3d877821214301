"""docker/systemd: systemd understands the unit, and the unit agrees with the command line."""

import os
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from kvgossip.cli.exit_code import CommandError, ExitCode
from kvgossip.cli.main import build_parser
from kvgossip.cli.serve import OPEN_FILES_MAX
from tests.deploy.documents import DOCKER, settings_of

FOLDER = DOCKER / "systemd"
UNIT = FOLDER / "kvgossip.service"
STOP_S_MAX = 10
"""How long an orderly stop may take."""
EXPOSURE_MAX = 20
"""Tenths of the score of ``systemd-analyze security``: from 0, confined, to 100."""


def directives() -> dict[str, list[str]]:
    """The values of each name, in order, of all sections."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in UNIT.read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found[name].append(value)
    return found


def one(name: str) -> str:
    (value,) = directives()[name]
    return value


def environment() -> dict[str, str]:
    """As the process gets it, with the example file in its place."""
    file = [line for line in (FOLDER / "kvgossip.env").read_text().splitlines() if not line.startswith("#")]
    return dict(text.split("=", 1) for text in (*directives()["Environment"], *file))


def installed(folder: Path, text: str) -> Path:
    """The unit with a program that exists, because systemd looks for it."""
    program = folder / "kvgossip"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = folder / UNIT.name
    unit.write_text(text.replace("/opt/kvgossip/bin/kvgossip", str(program)))
    return unit


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("systemd-analyze")
    if found is None:
        missing = "systemd-analyze is missing, so the unit was only read: install Debian's package systemd"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    answer = analyze("verify", "--man=no", str(installed(tmp_path, UNIT.read_text())))
    assert answer.returncode == 0
    assert UNIT.name not in answer.stderr, answer.stderr


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("ProtectSystem=strict", "ProtectSystem=strictly"),
        ("LockPersonality=yes", "LockPersonalty=yes"),
        ("Restart=on-failure", "Restart=on-failures"),
        ("SystemCallFilter=@system-service", "SystemCallFilter=@system-services"),
    ],
)
def test_systemd_notices_a_mistake(line: str, wrong: str, tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert line in text
    answer = analyze("verify", "--man=no", str(installed(tmp_path, text.replace(line, wrong))))
    assert UNIT.name in answer.stderr


def test_systemd_finds_the_service_well_confined(tmp_path: Path) -> None:
    unit = str(installed(tmp_path, UNIT.read_text()))
    score = f"--threshold={EXPOSURE_MAX}"
    assert analyze("security", "--offline=true", score, unit).returncode == 0
    bare = installed(tmp_path, "[Service]\nExecStart=/opt/kvgossip/bin/kvgossip serve\n")
    assert analyze("security", "--offline=true", score, str(bare)).returncode != 0


def test_the_unit_starts_a_command_that_exists() -> None:
    program, *arguments = one("ExecStart").split()
    assert program.endswith("/bin/kvgossip")
    assert build_parser().parse_args(arguments).path == ("serve",)


def test_the_environment_is_one_that_a_node_starts_with() -> None:
    settings = settings_of(environment())
    assert str(settings.data_dir) == f"/var/lib/{one('StateDirectory')}"
    name, source = one("LoadCredential").split(":")
    assert str(settings.secret_file) == f"/run/credentials/{UNIT.name}/{name}"
    assert one("EnvironmentFile") == f"-{Path(source).parent}/kvgossip.env"
    assert settings.seeds


def test_a_misspelt_variable_would_be_noticed() -> None:
    with pytest.raises(CommandError, match="KVGOSSIP_LISTEN"):
        settings_of(environment() | {"KVGOSSIP_LISTENS": ":7700"})


def test_it_is_restarted_unless_the_usage_is_wrong_and_has_the_time_to_stop() -> None:
    assert one("Restart") == "on-failure"
    assert one("RestartPreventExitStatus") == str(ExitCode.USAGE.value)
    assert int(one("TimeoutStopSec")) > STOP_S_MAX
    assert int(one("LimitNOFILE")) >= OPEN_FILES_MAX
    assert not re.search(r"^KillSignal", UNIT.read_text(), re.MULTILINE), "SIGTERM is the default"
