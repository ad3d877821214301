"""The Docker engine of this machine: found or loudly missed, and the image that the tests run."""

import json
import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
IMAGE = "kvgossip-tested"
COMMAND_TIMEOUT_S = 120.0
BUILD_TIMEOUT_S = 600.0


def cannot_run(reason: str) -> NoReturn:
    """End a test that this machine cannot run: loudly, and where ``CI=true`` it counts as a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"the tests on Docker cannot run here: {reason}")
    warnings.warn(f"THE TESTS ON DOCKER DID NOT RUN: {reason}", stacklevel=3)
    pytest.skip(reason)


def need_engine() -> None:
    """Go on only where an engine answers, Compose is installed, and rules can be set in its containers."""
    if shutil.which("docker") is None:
        cannot_run("docker is not installed")
    asked = subprocess.run(
        ["docker", "info"], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    if asked.returncode:
        cannot_run(f"no Docker engine answers: {asked.stderr.strip()}")
    if find_compose() is None:
        cannot_run("neither docker compose nor docker-compose is installed")
    if os.geteuid() != 0:
        cannot_run("rules in the containers' namespaces need root")
    for program in ("nsenter", "iptables"):
        if shutil.which(program) is None:
            cannot_run(f"{program} is not installed")


@cache
def find_compose() -> tuple[str, ...] | None:
    """``COMPOSE`` in the environment, the plugin of docker, or docker-compose; None if there is none."""
    named = os.environ.get("COMPOSE")
    candidates = [tuple(named.split())] if named else [("docker", "compose"), ("docker-compose",)]
    for command in candidates:
        if shutil.which(command[0]) is None:
            continue
        asked = subprocess.run(
            [*command, "version"], capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
        if asked.returncode == 0:
            return command
    return None


def run(
    *command: object,
    env: Mapping[str, str] | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> str:
    """The stdout of a command that must end with 0."""
    done = attempt(*command, env=env, timeout_s=timeout_s)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout


def attempt(
    *command: object,
    env: Mapping[str, str] | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        timeout=timeout_s,
        check=False,
    )


def inspect(what: str) -> dict[str, object]:
    """Of an image, a container, a volume or a network."""
    found = json.loads(run("docker", "inspect", what))
    assert isinstance(found, list)
    document = found[0]
    assert isinstance(document, dict)
    return document


def sweep(prefix: str) -> None:
    """Remove what killed runs have left: projects named ``prefix`` and the id of a process that is gone."""
    label = "com.docker.compose.project"
    for kind, removal in (
        ("container", ("rm", "--force", "--volumes")),
        ("network", ("rm",)),
        ("volume", ("rm",)),
    ):
        listing = ("ls", "--all") if kind == "container" else ("ls",)
        name = "{{.Name}}" if kind == "volume" else "{{.ID}}"
        shown = f'{{{{.Label "{label}"}}}} {name}'
        for line in run(
            "docker", kind, *listing, "--filter", f"label={label}", "--format", shown
        ).splitlines():
            project, _, found = line.partition(" ")
            process = project.removeprefix(prefix).partition("-")[0]
            if project.startswith(prefix) and not Path("/proc", process).exists():
                run("docker", kind, *removal, found)


def image_bytes(image: str) -> int:
    return int(run("docker", "image", "inspect", "--format", "{{.Size}}", image))


def memory_mib(container: str) -> float:
    """What ``docker stats`` says that the container uses."""
    said = run("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", container)
    used = re.match(r"([0-9.]+)([KMG]i?B)", said)
    assert used is not None, said
    return float(used[1]) * {"K": 1 / 1_024, "M": 1.0, "G": 1_024.0}[used[2][0]]


def build_image() -> str:
    """Build it without any registry of images. The base is kept from one run to the next."""
    run(DOCKER / "build.sh", "--no-registry", env={"TAG": IMAGE}, timeout_s=BUILD_TIMEOUT_S)
    return IMAGE


def base_image() -> str:
    return os.environ.get("BASE") or run(DOCKER / "base-image.sh", timeout_s=BUILD_TIMEOUT_S).strip()
