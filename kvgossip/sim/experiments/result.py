"""What an experiment found: a row for each setting, with every figure's mean, error and band over the seeds.

A result is written as JSON once, by the command that ran it; tables and plots are made of that and of nothing
else. It names the command, the version and the time it took, so that it can be had again: the figures are of
virtual time and the same on every machine, but for the seconds that a run took.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from statistics import fmean, stdev

Setting = dict[str, int | float | str]

LOW, HIGH = 0.05, 0.95
"""The band: nine of ten seeds are in it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure over all seeds."""

    mean: float
    error: float
    """The standard error of the mean."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over time, ``step`` apart: the mean over the seeds and the band."""

    step: float
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Row:
    setting: Setting
    seed_count: int
    figures: dict[str, Sample]
    curves: dict[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    experiment: str
    name: str
    """Of its files: an experiment may be run at several settings that matter."""
    command: str
    made_with: str
    """Versions and the processor: what the seconds depend on."""
    date: str
    took_s: float
    rows: tuple[Row, ...]


def summarize(values: Sequence[float]) -> Sample:
    error = stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0
    ordered = sorted(values)
    return Sample(fmean(values), error, _quantile(ordered, LOW), _quantile(ordered, HIGH))


def summarize_curves(curves: Sequence[Sequence[float]], step: float) -> Curve:
    """A run that ended early stays where it ended."""
    length = max(map(len, curves))
    points = [summarize([curve[min(index, len(curve) - 1)] for curve in curves]) for index in range(length)]
    return Curve(
        step,
        tuple(_short(point.mean) for point in points),
        tuple(_short(point.low) for point in points),
        tuple(_short(point.high) for point in points),
    )


def to_json(result: Result) -> str:
    return json.dumps(asdict(result), indent=1) + "\n"


def from_json(text: str) -> Result:
    raw = json.loads(text)
    rows = tuple(
        Row(
            row["setting"],
            row["seed_count"],
            {name: Sample(**sample) for name, sample in row["figures"].items()},
            {
                name: Curve(curve["step"], *(tuple(curve[part]) for part in ("mean", "low", "high")))
                for name, curve in row["curves"].items()
            },
        )
        for row in raw["rows"]
    )
    return Result(
        raw["experiment"], raw["name"], raw["command"], raw["made_with"], raw["date"], raw["took_s"], rows
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank: a value that was seen."""
    return ordered[round(share * (len(ordered) - 1))]


def _short(value: float) -> float:
    """Five digits are more than a plot shows."""
    return float(f"{value:.5g}")
