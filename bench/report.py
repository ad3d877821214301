"""``python -m bench report``: tables and plots of docs/ and README, made anew from bench/results.

A page says where a table belongs: between ``<!-- bench NAME -->`` and ``<!-- end -->``, where NAME is that of
the result; ``<!-- bench NAME: a, b -->`` shows only the figures a and b. Nothing is written by hand between
the two.
``--check`` writes nothing and ends with 1 if a page differs from what the results say.
"""

import argparse
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from bench.environment import RESULTS
from bench.peers_report import render_peers

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PLOTS = ROOT / "docs" / "plots"

_BLOCK = re.compile(r"(<!-- bench ([\w-]+)(?:: ([\w, .]+))? -->\n).*?(<!-- end -->)", re.DOTALL)
_UNITS = {
    "_us": " µs",
    "_ms": " ms",
    "_s": " s",
    "_hz": "/s",
    "_per_s": "/s",
    "_mib": " MiB",
    "_mb": " MB",
    "_bytes": " bytes",
    "_bytes_per_s": " bytes/s",
}

Result = dict[str, Any]
"""As ``write_result`` or ``write_points`` wrote it."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench report")
    parser.add_argument("--check", action="store_true", help="only say whether a page is out of date")
    options = parser.parse_args(arguments)
    results = read_results()
    if options.check:
        stale = [page.name for page in PAGES if render_page(page.read_text(), results) != page.read_text()]
        sys.exit(f"out of date: {', '.join(stale)}" if stale else 0)
    for page in PAGES:
        page.write_text(render_page(page.read_text(), results))
    from bench.plots import draw_all

    draw_all(results, PLOTS)


def read_results() -> dict[str, Result]:
    """By name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def render_page(text: str, results: dict[str, Result]) -> str:
    """The page with each of its tables made anew. Raises ``KeyError`` for a result that is not there."""

    def render(block: re.Match[str]) -> str:
        head, name, chosen, end = block.groups()
        result = results[name]
        keys = [key.strip() for key in chosen.split(",")] if chosen else None
        if name.startswith("peers"):
            rows = render_peers(result)
        else:
            rows = _points(result, keys) if "points" in result else _figures(result, keys)
        return f"{head}{rows}\n{_origin(result)}\n{end}"

    return _BLOCK.sub(render, text)


def _figures(result: Result, keys: list[str] | None) -> str:
    """A row for each figure: its median, its least and greatest, and its target."""
    rows = ["| figure | median | least to greatest | target |", "|---|---|---|---|"]
    for key in keys or result["median"]:
        values = [run[key] for run in result["runs"] if key in run]
        low, high = show(key, min(values)), show(key, max(values))
        spread = low if low == high else f"{low} to {high}"
        rows.append(
            f"| {label(key)} | {show(key, statistics.median(values))} | {spread} | {_target(result, key)} |"
        )
    return "\n".join(rows) + "\n"


def _target(result: Result, key: str) -> str:
    for bound, words in (("target_max", "at most"), ("target_min", "at least")):
        if key in result.get(bound, {}):
            return f"{words} {show(key, result[bound][key])}"
    return ""


def _points(result: Result, keys: list[str] | None) -> str:
    """A row for each setting: what differs between the settings, and the medians."""
    points = result["points"]
    varied = [
        name
        for name in points[0]["parameters"]
        if len({json.dumps(point["parameters"][name]) for point in points}) > 1
    ]
    shown = keys or list(points[0]["median"])
    rows = [
        f"| {' | '.join([*map(label, varied), *map(label, shown)])} |",
        "|---" * (len(varied) + len(shown)) + "|",
    ]
    for point in points:
        cells = [_parameter(point["parameters"][name]) for name in varied]
        cells += [show(key, point["median"].get(key, 0.0)) for key in shown]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _origin(result: Result) -> str:
    """Under a table: how, when and where it was measured."""
    where = result["environment"]
    runs = len(result["runs"]) if "runs" in result else result["points"][0]["runs"]
    count = f"{runs} {'run' if runs == 1 else 'runs'}{'' if 'runs' in result else ' a row'}"
    load = where["load_average"][0]
    return (
        f"`{result['command']}`, {count}, {where['date']}, {where['cores']} cores of {where['cpu']}, "
        f"Linux {where['kernel'].split('-')[0]}, Python {where['python']}, load average {load:g}."
    )


def label(key: str) -> str:
    unit = _unit(key)
    return (key.removesuffix(unit) if unit else key).replace("_", " ")


def show(key: str, value: float) -> str:
    """With three digits, and thousands apart."""
    digits = f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    return digits + _UNITS.get(_unit(key) or "", "")


def _unit(key: str) -> str | None:
    return max((suffix for suffix in _UNITS if key.endswith(suffix)), key=len, default=None)


def _parameter(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
