"""Sweeps: one experiment over many settings and seeds, in this process or in an ``Executor``.

A run is a function of its setting and seed alone, so the order in which runs end changes nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

from kvgossip.sim.experiments.result import Row, Setting, summarize, summarize_curves


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one seed showed. All seeds of a setting show the same names."""

    figures: dict[str, float]
    curves: dict[str, Sequence[float]] = field(default_factory=dict)
    curve_step: float = 1.0


Run = Callable[[Setting, int], Outcome]
"""A function of a module, so that it can be sent to another process."""


@dataclass(frozen=True, slots=True)
class Task:
    setting: Setting
    seeds: range


def sweep(run: Run, tasks: Iterable[Task], pool: Executor | None = None) -> Iterator[Row]:
    """A row for each task, in their order."""
    for task in tasks:
        one = partial(run, task.setting)
        outcomes = list(map(one, task.seeds) if pool is None else pool.map(one, task.seeds))
        yield make_row(task.setting, outcomes)


def make_row(setting: Setting, outcomes: Sequence[Outcome]) -> Row:
    first = outcomes[0]
    figures = {name: summarize([o.figures[name] for o in outcomes]) for name in first.figures}
    curves = {
        name: summarize_curves([o.curves[name] for o in outcomes], first.curve_step) for name in first.curves
    }
    return Row(setting, len(outcomes), figures, curves)
