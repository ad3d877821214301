"""Results as plots: the mean over the seeds as a line, nine of ten seeds as a band around it.

matplotlib is the extra ``plots``: it is imported here, when something is drawn, and nowhere else.
"""

from collections.abc import Callable, Sequence
from math import log, nan
from pathlib import Path
from typing import TYPE_CHECKING

from kvgossip.sim.experiments.demers import TABLES, printed, residue_bound
from kvgossip.sim.experiments.result import Curve, Result, Row
from kvgossip.sim.experiments.spread import INTEREST, loses_interest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#666666")
"""Paul Tol's bright scheme: told apart by the colour-blind, too."""
PANEL_INCHES = (5.2, 3.8)

Draw = Callable[[Result, "Sequence[Axes]"], None]


def draw(result: Result, path: Path) -> None:
    """Write a PNG file. Raises ``ImportError`` without matplotlib."""
    from matplotlib.figure import Figure

    draw_panels, count = PLOTS[result.experiment]
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    draw_panels(result, axes)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def draw_spread(result: Result, axes: "Sequence[Axes]") -> None:
    fanout = int(result.rows[0].setting["fanout"])
    shipped = [row for row in result.rows if loses_interest(row.setting)]
    endless = [row for row in result.rows if not loses_interest(row.setting)]
    _draw_lacking(
        axes[0], shipped, f"interest is lost after {shipped[0].setting[INTEREST]} contacts that knew it"
    )
    _draw_lacking(axes[1], endless, "interest is never lost")
    _draw_rounds(axes[2], endless, fanout)


def _draw_lacking(axes: "Axes", rows: Sequence[Row], title: str) -> None:
    """Each size's share of nodes without the rumor, over the rounds."""
    for row, colour in zip(rows, COLOURS, strict=False):
        nodes = int(row.setting["nodes"])
        band(axes, row.curves["share that lacks it"], colour, f"{nodes:,} nodes", floor=0.3 / nodes)
    axes.set(
        title=title,
        xlabel="rounds",
        ylabel="share of nodes that lack the rumor",
        yscale="log",
    )
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _draw_rounds(axes: "Axes", rows: Sequence[Row], fanout: int) -> None:
    """Rounds until all nodes hold the rumor, against their number."""
    nodes = [int(row.setting["nodes"]) for row in rows]
    last = [row.figures["t_last"] for row in rows]
    axes.fill_between(nodes, [s.low for s in last], [s.high for s in last], color=COLOURS[0], alpha=0.25)
    axes.plot(nodes, [s.mean for s in last], color=COLOURS[0], marker="o", label="t_last, all nodes")
    axes.plot(
        nodes,
        [row.figures["t_avg"].mean for row in rows],
        color=COLOURS[2],
        marker="s",
        label="t_avg",
    )
    axes.plot(
        nodes,
        [expected_rounds(count, fanout) for count in nodes],
        color=COLOURS[6],
        linestyle="--",
        label=f"log$_{fanout + 1}$ n + (ln n) / {fanout}",
    )
    axes.set(
        title=f"rounds at fan-out {fanout}", xlabel="nodes", ylabel="rounds", xscale="log", ylim=(0, None)
    )
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def draw_whole(result: Result, axes: "Sequence[Axes]") -> None:
    _draw_lacking(axes[0], result.rows, "whole replicas")


def draw_demers(result: Result, axes: "Sequence[Axes]") -> None:
    """Residue against traffic, a panel each table: what was measured, and what the paper prints."""
    for table, panel in zip(TABLES, axes, strict=True):
        rows = [row for row in result.rows if row.setting["table"] == table.number]
        seen = [row for row in rows if row.figures["residue"].mean > 0]
        panel.errorbar(
            [row.figures["traffic"].mean for row in seen],
            [row.figures["residue"].mean for row in seen],
            yerr=[3 * row.figures["residue"].error for row in seen],
            color=COLOURS[0],
            marker="o",
            capsize=3,
            label="measured, three standard errors",
        )
        unseen = [row for row in rows if row not in seen]
        panel.scatter(
            [row.figures["traffic"].mean for row in unseen],
            [residue_bound(row) for row in unseen],
            color=COLOURS[0],
            marker="v",
            label="measured: below it with 95 %",
        )
        said = [printed(row.setting) for row in rows if printed(row.setting)]
        panel.scatter(
            [figures["traffic"].value for figures in said],
            [figures["residue"].value for figures in said],
            color=COLOURS[4],
            marker="x",
            zorder=3,
            label="printed by Demers et al.",
        )
        panel.set(
            title=f"Table {table.number}: {table.title}",
            xlabel="traffic: updates sent a node",
            ylabel="residue",
            yscale="log",
        )
        panel.legend(fontsize=8)
        panel.grid(alpha=0.3)


def draw_partition(result: Result, axes: "Sequence[Axes]") -> None:
    """What is still lacking after the heal; and the times against the number of nodes."""
    for row, colour in zip(result.rows, COLOURS, strict=False):
        band(axes[0], row.curves["share of what was lacking"], colour, f"{row.setting['nodes']} nodes")
    axes[0].set(title="after the heal", xlabel="seconds", ylabel="share of what was lacking")
    _draw_figures(axes[1], result.rows, "nodes", ("t_last, ms", "all alive everywhere, ms"))
    axes[1].set(xlabel="nodes", ylabel="ms after the heal", ylim=(0, None))
    for panel in axes:
        panel.legend(fontsize=8)
        panel.grid(alpha=0.3)


def draw_loss(result: Result, axes: "Sequence[Axes]") -> None:
    for row, colour in zip(result.rows, COLOURS, strict=False):
        band(axes[0], row.curves["share that lacks it"], colour, f"{row.setting['loss, %']} %")
    axes[0].set(title="one write, by loss of frames", xlabel="ms", ylabel="share of nodes that lack it")
    _draw_figures(axes[1], result.rows, "loss, %", ("t_avg, ms", "t_last, ms"))
    axes[1].set(xlabel="loss, %", ylabel="ms", yscale="log")
    for panel in axes:
        panel.legend(fontsize=8)
        panel.grid(alpha=0.3)


def draw_detect(result: Result, axes: "Sequence[Axes]") -> None:
    figures = ("first suspicion, s", "down everywhere, s", "restarted, alive everywhere, s")
    _draw_figures(axes[0], result.rows, "nodes", figures)
    axes[0].set(title="one node crashes", xlabel="nodes", ylabel="seconds", xscale="log", ylim=(0, None))
    axes[0].legend(fontsize=8)
    axes[0].grid(alpha=0.3)


def _draw_figures(axes: "Axes", rows: Sequence[Row], against: str, names: Sequence[str]) -> None:
    """Figures against a number of the setting."""
    x = [float(row.setting[against]) for row in rows]
    for name, colour in zip(names, COLOURS[::2], strict=False):
        samples = [row.figures[name] for row in rows]
        low, high = [s.low for s in samples], [s.high for s in samples]
        axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(x, [s.mean for s in samples], color=colour, marker="o", label=name)


def expected_rounds(nodes: int, fanout: int) -> float:
    """Pittel's log2 n + ln n (1987) for more than one contact a round: first it grows, then it fills up."""
    return log(nodes) / log(fanout + 1) + log(nodes) / fanout


def band(axes: "Axes", curve: Curve, colour: str, label: str, *, floor: float = 0.0) -> None:
    """``floor``: what zero is drawn as in the band of a logarithmic axis; the line ends there."""
    times = [index * curve.step for index in range(len(curve.mean))]
    low, high = ([max(value, floor) for value in part] for part in (curve.low, curve.high))
    mean = [value if value > 0 or floor == 0 else nan for value in curve.mean]
    axes.fill_between(times, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(times, mean, color=colour, label=label)


PLOTS: dict[str, tuple[Draw, int]] = {
    "spread": (draw_spread, 3),
    "whole": (draw_whole, 1),
    "demers": (draw_demers, 3),
    "partition": (draw_partition, 2),
    "loss": (draw_loss, 2),
    "detect": (draw_detect, 1),
}
"""By experiment: who draws it, and how many panels side by side."""
