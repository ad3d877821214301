"""The report: every experiment at full size over many seeds, its figures, and its pictures.

``run_plan`` makes the JSON from which ``text`` writes ``docs/MEMBERSHIP.md`` and ``draw`` its pictures.
"""

import json
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from kvgossip import __version__
from kvgossip.sim.members.bounds import Series, churn_series, flap_series, one_way_series
from kvgossip.sim.members.hunting import EXPERIMENTS, Outcome, run

RESULTS = "bench/results/sim-members.json"
REPORT = "docs/MEMBERSHIP.md"
PICTURES = "docs/plots"


@dataclass(frozen=True, slots=True)
class Row:
    """An experiment, its sizes and how many seeds of it."""

    experiment: str
    seeds: int
    sizes: tuple[tuple[str, int], ...] = ()

    @property
    def command(self) -> str:
        sizes = "".join(f" --{name} {value}" for name, value in self.sizes)
        return f"kvgossip sim members {self.experiment}{sizes} --seeds {self.seeds}"


PLAN: tuple[Row, ...] = (
    Row("loss", 100, (("nodes", 10), ("percent", 50), ("seconds", 30))),
    Row("loss", 1, (("nodes", 100), ("percent", 5), ("seconds", 3_600))),
    Row("crash", 100, (("nodes", 10),)),
    Row("crash", 20, (("nodes", 100),)),
    Row("crash", 3, (("nodes", 1_000),)),
    Row("freeze", 40, (("nodes", 10),)),
    Row("partition", 40, (("nodes", 24),)),
    Row("hearsay", 40),
    Row("rejoin", 100),
    Row("join", 10, (("nodes", 24),)),
    Row("join", 3, (("nodes", 100),)),
    Row("mass_join", 10, (("nodes", 30),)),
    Row("mass_join", 2, (("nodes", 100),)),
    Row("zones", 20, (("nodes", 24),)),
    Row("flap", 5, (("nodes", 10), ("seconds", 300))),
    Row("one_way", 5, (("nodes", 10), ("seconds", 300))),
    Row("churn", 5, (("nodes", 10), ("seconds", 300))),
    Row("churn", 2, (("nodes", 100), ("seconds", 300))),
    Row("traffic", 5, (("nodes", 10),)),
    Row("traffic", 3, (("nodes", 100),)),
    Row("traffic", 1, (("nodes", 1_000), ("seconds", 30))),
    Row("busy", 5, (("nodes", 10),)),
    Row("busy", 1, (("nodes", 100),)),
)


def run_plan(pool: Executor, say: Callable[[str], None]) -> dict[str, object]:
    """JSON: the rows with (least, median, greatest) of each figure, and the series of the pictures."""
    rows = []
    for row in PLAN:
        outcomes = list(pool.map(_run, [(row, seed) for seed in range(row.seeds)]))
        rows.append(_summary(row, outcomes))
        say(line(row.command, outcomes))
    pictures = {
        "flap": _as_json(flap_series(0, 10, 300)[1]),
        "one_way": _as_json(one_way_series(0, 10, 300)[1]),
        "churn": _as_json(churn_series(0, 100, 300)[1]),
    }
    return {"version": __version__, "rows": rows, "pictures": pictures}


def line(what: str, outcomes: list[Outcome]) -> str:
    """A row for people: medians, and how many seeds broke a promise."""
    kept = [outcome for outcome in outcomes if outcome.violation is None]
    figures = "; ".join(f"{name} {_number(values[1])}" for name, values in _spans(kept).items())
    return f"{what}: {len(kept)} of {len(outcomes)} seeds kept every promise; {figures}"


def write(results: dict[str, object], folder: Path) -> None:
    (folder / RESULTS).write_text(json.dumps(results, indent=1) + "\n")
    (folder / REPORT).write_text(text(results))
    draw(results, folder / PICTURES)


def text(results: dict[str, object]) -> str:
    """``docs/MEMBERSHIP.md``."""
    lines = [
        "# Membership, measured",
        "",
        "Experiments of the membership simulator: the machines of `kvgossip/protocol` and the codec as they",
        "ship, driven in simulated time with the default (LAN) tuning. A seed fails if a promise of its",
        "experiment breaks (`kvgossip/sim/members`). Figures are the least, **median** and greatest over the",
        "seeds. `kvgossip sim members --report` makes this file anew. [MUTANTS.md](MUTANTS.md) shows that",
        "the checks can fail.",
        "",
        "What is simplified: nobody says Hello, a cluster begins with full and equal tables, and bytes are",
        "those of the messages, without WebSocket, TCP and IP. A frame takes 0.1 to 2 ms; between zones 40",
        "ms more.",
        "",
    ]
    rows = results["rows"]
    assert isinstance(rows, list)
    said = ""
    for row in rows:
        if row["experiment"] != said:
            said = row["experiment"]
            about = (EXPERIMENTS[said].__doc__ or "").split("\n\n")[0]
            lines += [f"## {said.replace('_', ' ')}", "", " ".join(about.split()), ""]
        lines += [f"`{row['command']}`: {row['kept']} of {row['seeds']} seeds kept every promise.", ""]
        lines += ["| figure | least | median | greatest |", "|---|---|---|---|"]
        for name, values in row["figures"].items():
            least, middle, most = map(_number, values)
            lines.append(f"| {name} | {least} | **{middle}** | {most} |")
        lines.append("")
        if said in ("flap", "one_way", "churn") and row is [r for r in rows if r["experiment"] == said][-1]:
            lines += [f"![{said.replace('_', ' ')} over time](plots/members-{said}.png)", ""]
    return "\n".join(lines)


def draw(results: dict[str, object], folder: Path) -> None:
    """The pictures. Needs matplotlib, the extra ``plots``."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    pictures = results["pictures"]
    assert isinstance(pictures, dict)
    for name, series in pictures.items():
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots(3, 1, sharex=True)
        for axis, (field, label) in zip(
            axes,
            (
                ("incarnation", "highest incarnation"),
                ("news", "longest news queue"),
                ("bytes_per_s", "bytes/s a node"),
            ),
            strict=True,
        ):
            axis.plot(range(1, len(series[field]) + 1), series[field], linewidth=0.8)
            axis.set_ylabel(label, fontsize=8)
            axis.set_ylim(bottom=0)
            axis.grid(visible=True, linewidth=0.3)
        axes[0].set_title(f"{name.replace('_', ' ')}, seed 0", fontsize=10)
        axes[-1].set_xlabel("simulated seconds")
        figure.savefig(folder / f"members-{name}.png", dpi=80, metadata={"Software": None})


def _run(given: tuple[Row, int]) -> Outcome:
    row, seed = given
    return run(row.experiment, seed, **dict(row.sizes))


def _summary(row: Row, outcomes: list[Outcome]) -> dict[str, object]:
    kept = [outcome for outcome in outcomes if outcome.violation is None]
    broken = [f"seed {o.seed}: {o.violation}" for o in outcomes if o.violation is not None]
    return {
        "experiment": row.experiment,
        "command": row.command,
        "seeds": len(outcomes),
        "kept": len(kept),
        "broken": broken,
        "figures": _spans(kept),
    }


def _spans(outcomes: list[Outcome]) -> dict[str, tuple[float, float, float]]:
    """By figure: least, median, greatest."""
    if not outcomes:
        return {}
    spans = {}
    for name in outcomes[0].figures:
        values = [outcome.figures[name] for outcome in outcomes]
        spans[name] = (min(values), median(values), max(values))
    return spans


def _as_json(series: Series) -> dict[str, list[float]]:
    return {name: [round(value, 1) for value in values] for name, values in asdict(series).items()}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"
