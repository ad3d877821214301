"""Whole clusters with faults: 25 seeds, each a run of its own; ``kvgossip sim check`` runs more."""

import os
import subprocess
import sys
from random import Random

import pytest

from kvgossip.sim.fault import Fault
from kvgossip.sim.faults import draw_kinds
from kvgossip.sim.run import run_seed

SEEDS = range(25)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_under_faults_and_after_the_heal(seed: int) -> None:
    report = run_seed(seed)
    again = f"again: kvgossip sim check --first {seed} --seeds 1 --trace"
    assert report.violation is None, f"{report.violation}\n{again}"
    assert 3 <= report.node_count <= 7
    assert report.operation_count >= 300
    assert report.key_count <= 30
    assert len(report.injected) >= 3, again
    assert report.concurrent_count > 0, again
    assert report.covering_delete_count > 0, again


def test_the_seeds_of_the_suite_draw_every_kind_of_fault() -> None:
    drawn = {kind for seed in SEEDS for kind in draw_kinds(Random(f"{seed} kinds"))}
    assert drawn == set(Fault)


def test_a_run_is_the_same_to_the_byte_under_another_hash_seed() -> None:
    """Whoever iterates over a set of strings is found out: Python salts their order in each process."""
    command = [sys.executable, "-c", "from kvgossip.sim.run import run_seed; print(run_seed(5).trace)"]
    traces = set()
    for salt in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        traces.add(done.stdout)
    assert len(traces) == 1
    assert len(traces.pop().strip()) == 32


def test_two_seeds_are_two_runs() -> None:
    assert run_seed(1).trace != run_seed(2).trace
