"""The plots of docs/, from the results: residue, traffic and time to converge after a cut.

Needs matplotlib (``pip install 'kvgossip[plots]'``). A result that is not there has no plot.
"""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES = (6.4, 3.6)
DPI = 110
SHADE = "#e8c9a0"


def draw_all(results: dict[str, dict[str, Any]], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, result in results.items():
        if not name.startswith("partition"):
            continue
        if "series" in result:
            _draw(folder / f"{name}-residue.png", lambda axes, r=result: _residue(axes, r))
            _draw(folder / f"{name}-traffic.png", lambda axes, r=result: _traffic(axes, r))
        elif name.endswith("-nodes"):
            _draw(folder / f"{name}.png", lambda axes, r=result: _by_nodes(axes, r))
        elif name.endswith("-divergence"):
            _draw(folder / f"{name}.png", lambda axes, r=result: _by_difference(axes, r))


def _draw(path: Path, fill: Any) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    fill(axes)
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Software": None})


def _residue(axes: "Axes", result: dict[str, Any]) -> None:
    points = [(0.0, 1.0), *((at_s, share) for at_s, share in result["series"]["residue"] if share > 0)]
    axes.step(*zip(*points, strict=True), where="post")
    axes.axvline(
        result["median"]["converged_s"], color="tab:green", linestyle="--", label="converged (median)"
    )
    axes.set(yscale="log", xlabel="seconds since the heal", ylabel="residue", title=_title(result))
    axes.legend()


def _traffic(axes: "Axes", result: dict[str, Any]) -> None:
    samples = result["series"]["bytes_a_node"]
    rates = [
        (after_s, (after - before) / (after_s - before_s) / 1e3)
        for (before_s, before), (after_s, after) in pairwise(samples)
    ]
    axes.step(*zip(*rates, strict=True), where="pre")
    axes.axvspan(result["series"]["cut"][0][0], 0.0, color=SHADE, alpha=0.5, label="cut")
    axes.set(xlabel="seconds since the heal", ylabel="kB/s sent a node", title=_title(result))
    axes.legend()


def _by_nodes(axes: "Axes", result: dict[str, Any]) -> None:
    nodes = [point["parameters"]["nodes"] for point in result["points"]]
    for key, label in (("converged_s", "converged"), ("t_50_s", "half of it arrived")):
        axes.plot(nodes, [point["median"][key] for point in result["points"]], marker="o", label=label)
    axes.set(xlabel="nodes", ylabel="seconds since the heal", ylim=(0, None), title=_title(result))
    axes.legend()


def _by_difference(axes: "Axes", result: dict[str, Any]) -> None:
    lacked = [point["median"]["lacked_bytes"] for point in result["points"]]
    axes.plot(
        lacked, [point["median"]["payload_bytes"] for point in result["points"]], marker="o", label="sent"
    )
    axes.plot(lacked, lacked, linestyle="--", color="grey", label="what the nodes lacked")
    axes.set(xscale="log", yscale="log", xlabel="bytes lacked", ylabel="bytes sent", title=_title(result))
    axes.legend()


def _title(result: dict[str, Any]) -> str:
    first = result["points"][0] if "points" in result else result
    shown = first["parameters"]
    return (
        f"{shown['mode']}: {shown['nodes']} nodes, {shown['keys']:,} keys"
        if "points" not in result
        else shown["mode"]
    )
