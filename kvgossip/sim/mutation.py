"""Mutants: faults of one line in the code under test, each of which the simulator must catch.

A checker that never complains proves nothing. So each promise is broken on purpose: the package is copied to
a temporary directory with one text replaced, seeds are run there in a process of their own until a checker
complains, and its name, the seed and the time go into ``docs/MUTANTS.md``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kvgossip.sim.mutant import PACKAGE, Mutant, MutantError
from kvgossip.sim.run import run_seed

SEEDS_MAX = 200
MUTANT_S_MAX = 7_200


@dataclass(frozen=True, slots=True)
class Caught:
    """What became of a mutant. ``promise`` is None if it survived all seeds."""

    mutant: Mutant
    promise: str | None
    seed: int
    seconds: float


def hunt(seeds: int) -> None:
    """Run seeds from 0 to the first broken promise, in the mutant's process; print a line of JSON."""
    for seed in range(seeds):
        violation = run_seed(seed).violation
        if violation is not None:
            print(json.dumps([seed, violation.promise]))
            return
    print(json.dumps([seeds, None]))


@contextmanager
def mutated_package(mutant: Mutant) -> Iterator[tuple[str, dict[str, str]]]:
    """A copy of the package with the fault in it: the folder and environment of a process that imports it."""
    source = mutant.source()
    with tempfile.TemporaryDirectory(prefix="kvgossip-mutant-") as directory:
        copy = Path(directory) / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / mutant.path).write_text(source)
        path = os.pathsep.join(filter(None, [directory, os.environ.get("PYTHONPATH")]))
        yield directory, {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def try_mutant(mutant: Mutant, seeds: int = SEEDS_MAX) -> Caught:
    """Run a mutant until it is caught, or ``seeds`` seeds have passed. Raises ``MutantError``."""
    began_s = time.monotonic()
    hunt_it = f"mutation import hunt; hunt({seeds})"
    if mutant.experiment is not None:
        hunt_it = f"members.hunting import hunt; hunt({mutant.experiment!r}, {seeds})"
    command = [sys.executable, "-c", f"from kvgossip.sim.{hunt_it}"]
    with mutated_package(mutant) as (directory, environment):
        try:
            done = subprocess.run(
                command, env=environment, cwd=directory, capture_output=True, text=True, timeout=MUTANT_S_MAX
            )
        except subprocess.TimeoutExpired:
            raise MutantError(f"mutant {mutant.name} ran for more than {MUTANT_S_MAX} s") from None
    if done.returncode != 0:
        raise MutantError(f"mutant {mutant.name} did not run: {done.stderr[-2_000:]}")
    seed, promise = json.loads(done.stdout)
    return Caught(mutant, promise, seed, time.monotonic() - began_s)


def table(results: list[Caught]) -> str:
    """``docs/MUTANTS.md``."""
    lines = [
        "# Mutants",
        "",
        "A checker that never complains proves nothing. Each row is a fault of one line, put into a copy of",
        f"the package; seeds 0 to {SEEDS_MAX - 1} of the simulator run against it until a checker complains.",
        "Made by `kvgossip sim mutants`. One row again:",
        "`kvgossip sim check --mutant NAME --first SEED --seeds 1`, of membership",
        "`kvgossip sim members EXPERIMENT --mutant NAME --first SEED --seeds 1`.",
        "",
        "| mutant | file | caught by | seed | seconds |",
        "|---|---|---|---|---|",
    ]
    for caught in results:
        mutant = caught.mutant
        who, seed = (caught.promise, str(caught.seed)) if caught.promise else ("**nobody**", "–")
        name = mutant.name if mutant.experiment is None else f"{mutant.name} ({mutant.experiment})"
        lines.append(f"| {name} | `{mutant.path}` | {who} | {seed} | {caught.seconds:.1f} |")
    return "\n".join([*lines, ""])
