"""Runs experiments by name: one seed of one, and the seeds that hunt a mutant."""

import json
from dataclasses import dataclass

from kvgossip.sim.checkers.base import Violation
from kvgossip.sim.members import bounds, experiments
from kvgossip.sim.members.experiments import Experiment, Figures

EXPERIMENTS: dict[str, Experiment] = {
    experiment.__name__: experiment
    for experiment in (
        experiments.loss,
        experiments.crash,
        experiments.freeze,
        experiments.partition,
        experiments.hearsay,
        experiments.rejoin,
        experiments.join,
        experiments.zones,
        bounds.flap,
        bounds.one_way,
        bounds.churn,
        bounds.traffic,
        bounds.busy,
        bounds.mass_join,
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One seed of one experiment. ``violation`` is None if every promise held."""

    seed: int
    figures: Figures
    violation: Violation | None


def run(name: str, seed: int, **sizes: int) -> Outcome:
    """``sizes``: what the experiment can be told, such as ``nodes``."""
    try:
        return Outcome(seed, EXPERIMENTS[name](seed, **sizes), None)
    except Violation as violation:
        return Outcome(seed, {}, violation)


def hunt(name: str, seeds: int) -> None:
    """Run seeds from 0 to the first broken promise; print a line of JSON, as ``mutation.hunt`` does."""
    for seed in range(seeds):
        violation = run(name, seed).violation
        if violation is not None:
            print(json.dumps([seed, violation.promise]))
            return
    print(json.dumps([seeds, None]))
