"""Runs the ``console`` blocks of a Markdown page in one shell, and compares what they print, loosely.

A line that begins with ``$`` is a command. The lines below it, up to the next command, must be in its output
in this order, anything between them; in such a line ``…`` stands for anything. A command is run again until
its output fits or the time is up, so nothing sleeps.
"""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Self

TIMEOUT_S = 20.0
COMMAND_S = 60.0
"""A command that is not over by then is ended, with its shell: a test says so, and does not hang."""

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    command: str
    expected: tuple[str, ...]


def steps(text: str) -> list[Step]:
    """The commands of every console block in ``text``."""
    found: list[tuple[str, list[str]]] = []
    for block in _BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            elif line:
                found[-1][1].append(line)
    return [Step(command, tuple(expected)) for command, expected in found]


def fits(expected: tuple[str, ...], output: str) -> bool:
    """True if ``output`` has all the expected lines, in order."""
    lines = iter(output.splitlines())
    return all(any(_pattern(wanted).fullmatch(line.strip()) for line in lines) for wanted in expected)


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in line.strip().split("…")))


class Shell:
    """One bash, whose variables and jobs last. Leaving it ends all that it started."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        self._process.communicate()

    def run(self, command: str) -> str:
        """What a command prints, on either stream."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._count += 1
        mark = f"-- end of command {self._count} --"
        self._process.stdin.write(f"{command}\nprintf '\\n{mark}\\n'\n")
        self._process.stdin.flush()
        lines: list[str] = []
        watchdog = Timer(COMMAND_S, self._kill)
        watchdog.start()
        try:
            for line in self._process.stdout:
                if line.rstrip("\n") == mark:
                    return "".join(lines)
                lines.append(line)
        finally:
            watchdog.cancel()
        raise AssertionError(f"the shell ended in {command!r}: {''.join(lines)}")

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def perform(self, step: Step) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        output = self.run(step.command)
        while not fits(step.expected, output):
            assert time.monotonic() < deadline_s, f"{step.command}\nwanted {step.expected}\ngot {output}"
            output = self.run(step.command)
