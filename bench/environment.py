"""Where a figure was measured: machine, versions, load; and how a result is written."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import kvgossip

LIBRARIES = ("aiohttp", "msgpack", "msgspec", "rocksdict", "sortedcontainers", "uvloop", "xxhash")
RESULTS = Path(__file__).parent / "results"

Figures = dict[str, float]
Series = dict[str, list[list[float]]]
"""Curves by name, each a list of points."""


def environment() -> dict[str, object]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "kvgossip": kvgossip.__version__,
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def write_result(
    name: str,
    parameters: dict[str, object],
    runs: Sequence[Figures],
    targets: Figures,
    series: Series | None = None,
    *,
    targets_min: Figures | None = None,
) -> None:
    """Print and keep ``bench/results/NAME.json``: every run, the median of each figure, and its target.

    ``targets`` are the most that a figure may be, ``targets_min`` the least.
    """
    least = targets_min or {}
    medians = {key: statistics.median(run.get(key, 0.0) for run in runs) for key in runs[0]}
    result = {
        "name": name,
        "command": f"python -m bench {' '.join(sys.argv[1:])}",
        "environment": environment(),
        "parameters": parameters,
        "runs": list(runs),
        "median": medians,
        "target_max": targets,
        "target_min": least,
        **({"series": series} if series else {}),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    for key, median in medians.items():
        target = f"  (at most {targets[key]:g})" if key in targets else ""
        target += f"  (at least {least[key]:g})" if key in least else ""
        print(f"{name}: {key} = {median:.6g}{target}")


def write_points(name: str, points: Sequence[tuple[dict[str, object], Sequence[Figures]]]) -> None:
    """A sweep: for each setting, the median of each figure over its runs, kept like a result."""
    result = {
        "name": name,
        "command": f"python -m bench {' '.join(sys.argv[1:])}",
        "environment": environment(),
        "points": [
            {
                "parameters": parameters,
                "runs": len(runs),
                "median": {key: statistics.median(run.get(key, 0.0) for run in runs) for key in runs[0]},
            }
            for parameters, runs in points
        ],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the others lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
