"""docs/EXPERIMENTS.md, made of the results and of nothing else.

Each section is a function of its results: what was asked, the tables, and what follows. Numbers in the text
are computed, so the page says what the JSON says. A section whose results are not there is left out.
"""

from collections.abc import Callable
from pathlib import Path

from kvgossip.sim.experiments import files
from kvgossip.sim.experiments.report_demers import demers_section
from kvgossip.sim.experiments.report_faults import detect_section, loss_section, partition_section
from kvgossip.sim.experiments.report_spread import claims_section, many_section, spread_section, whole_section
from kvgossip.sim.experiments.result import Result

Results = dict[str, Result]


def read_all(folder: str) -> Results:
    return {path.stem: files.read(folder, path.stem) for path in sorted(Path(folder).glob("*.json"))}


def page(results: Results, pictures: str) -> str:
    """``pictures``: the folder of the plots, as the page sees it."""
    parts, shown = [HEAD], set[str]()
    for names, section in SECTIONS:
        found = [results[name] for name in names if name in results]
        if len(found) == len(names):
            parts.append(section(*found))
            parts += [_plot(result, pictures) for result in found if result.name not in shown]
            shown.update(names)
    return "\n".join(parts)


HEAD = """# Experiments

What gossip does among many nodes, in simulated time. This page is made by `kvgossip sim report` from
the JSON in [experiments](experiments), and each section names the commands that made that. Figures are
means over the seeds; in brackets is the band that nine of ten seeds are in, which the plots show as a
shade. *Residue*, *traffic* (updates sent, by node), *t_avg* and *t_last* are Demers' measures. Times
are virtual: rounds, or milliseconds of the simulated network. Nothing here was measured on real
processes; that is [BENCHMARKS.md](BENCHMARKS.md).
"""


def _plot(result: Result, pictures: str) -> str:
    """With the command that made it."""
    made = f"`{result.command}`: {result.date}, {result.took_s:,.0f} s, {result.made_with}."
    return f"![{result.name}]({pictures}/{result.name}.png)\n\n{made}\n"


SECTIONS: tuple[tuple[tuple[str, ...], Callable[..., str]], ...] = (
    (("spread-fanout-2",), spread_section),
    (("spread-fanout-2",), claims_section),
    (("spread-fanout-4",), many_section),
    (("whole-fanout-2", "spread-fanout-2"), whole_section),
    (("demers",), demers_section),
    (("partition",), partition_section),
    (("loss",), loss_section),
    (("detect",), detect_section),
)
"""The results that a section needs, and who writes it."""
