"""Whole clusters with faults: 25 seeds, each a run of its own; ``kvgossip sim check`` runs more."""

import os
import subprocess
import sys
from random import Random

import pytest

from kvgossip.sim.fault import Fault
from kvgossip.sim.faults import draw_kinds
from kvgossip.sim.run import Case, run_case, run_seed
from kvgossip.sim.shrink import command
from tests.sim.known_seeds import KNOWN_SEEDS, Known

SEEDS = range(25)
WITNESSES: dict[Fault, int] = {
    Fault.LOSS: 19,
    Fault.DELAY: 15,
    Fault.DUPLICATION: 21,
    Fault.REORDER: 21,
    Fault.PARTITION: 8,
    Fault.ONE_WAY: 8,
    Fault.BRIDGE: 12,
    Fault.FLAP: 15,
    Fault.CRASH: 9,
    Fault.POWER_LOSS: 19,
    Fault.COMMIT_REFUSED: 12,
    Fault.DISK_FULL: 15,
    Fault.OUTCOME_UNKNOWN: 6,
    Fault.SLOW_DISK: 23,
    Fault.CLOCK_JUMP: 2,
    Fault.FREEZE: 10,
    Fault.ISOLATE: 17,
    Fault.REPLAY: 20,
    Fault.NARROW: 19,
    Fault.STRANGE: 4,
    Fault.POISON: 8,
    Fault.CLOCK_FAR: 9,
    Fault.CLOCK_DRIFT: 0,
    Fault.MASS_RESTART: 21,
    Fault.WIPE: 0,
    Fault.RESTORE: 3,
    Fault.CLONE: 0,
    Fault.LEAVE: 4,
    Fault.JOIN: 12,
    Fault.SIEGE: 19,
}
"""In which seed each kind of fault certainly takes effect: a knob that does nothing proves nothing.

A kind that its seed no longer injects has moved: ``kvgossip sim check`` tells where to.
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_under_faults_and_after_the_heal(seed: int) -> None:
    report = run_seed(seed)
    again = f"again: {command(report.case)}"
    assert report.violation is None, f"{report.violation}\n{again}"
    assert 3 <= report.node_count <= 15
    assert report.operation_count >= 500
    assert report.key_count <= 50
    assert report.simulated_s >= 300
    assert len(report.injected) >= 3, again
    for fault, witness in WITNESSES.items():
        assert witness != seed or report.injected.get(fault), f"{fault} was not injected; {again}"
    assert report.concurrent_count > 0, again
    assert report.covering_delete_count > 0, again


def test_the_seeds_of_the_suite_draw_every_kind_of_fault() -> None:
    drawn = {kind for seed in SEEDS for kind in draw_kinds(Random(f"{seed} kinds"))}
    assert drawn | {Fault.SIEGE} == set(Fault) == set(WITNESSES)
    assert set(WITNESSES.values()) <= set(SEEDS)


KNOWN = [
    pytest.param(known, id=str(known.seed), marks=pytest.mark.seeds_long if known.is_long else ())
    for known in KNOWN_SEEDS
    if known.seed not in SEEDS
]


@pytest.mark.parametrize("known", KNOWN)
def test_a_seed_that_once_failed_holds(known: Known) -> None:
    report = run_seed(known.seed)
    assert report.violation is None, f"{report.violation}; it had found: {known.found} ({known.test})"


def test_a_run_is_the_same_to_the_byte_under_another_hash_seed() -> None:
    """Whoever iterates over a set of strings is found out: Python salts their order in each process."""
    code = "from kvgossip.sim.run import Case, run_case; print(run_case(Case(3, writes_each=40)).trace)"
    call = [sys.executable, "-c", code]
    traces = set()
    for salt in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True, timeout=60)
        traces.add(done.stdout)
    assert len(traces) == 1
    assert len(traces.pop().strip()) == 32


def test_two_seeds_are_two_runs() -> None:
    small = [run_case(Case(seed, windows=(), clients=(0,), writes_each=10)) for seed in (1, 2)]
    assert small[0].trace != small[1].trace
