"""Tables 1, 2 and 3 of Demers et al. 1987, from the rumor machine that ships, among 1,000 nodes.

Source: "Epidemic Algorithms for Replicated Database Maintenance", PODC 1987, section 1.4. Table 1: push with
feedback and counter, Table 2 push blind with coin, Table 3 pull with feedback and counter; the footnote to it
says how the pulls of one cycle count. The paper prints k = 1..5 in the first two and k = 1..3 in the third.

A figure agrees if it is off by no more than half a unit of the last printed digit, 10 % (traffic 5 %), or
three standard errors, whichever is largest.
"""

from dataclasses import dataclass, replace
from time import process_time

from kvgossip.config import RumorDirection, Tuning
from kvgossip.sim.epidemic import PAPER, Epidemic, News
from kvgossip.sim.experiments.result import Row, Sample, Setting
from kvgossip.sim.experiments.sweep import Outcome, make_row

NODES = 1_000
KS = range(1, 6)
RUNS = 20
"""At least, and so many more at a time until the error of the residue is small."""
RUNS_UNPRINTED = 100
ERROR_MAX = 0.05


@dataclass(frozen=True, slots=True)
class Printed:
    """A figure as the paper prints it; ``rounding`` is half a unit of its last digit."""

    value: float
    rounding: float
    share: float = 0.10

    def slack(self, sample: Sample) -> float:
        return max(self.rounding, self.share * self.value, 3 * sample.error)

    def agrees(self, sample: Sample) -> bool:
        return abs(sample.mean - self.value) <= self.slack(sample)


@dataclass(frozen=True, slots=True)
class Table:
    number: int
    title: str
    tuning: Tuning
    printed: tuple[dict[str, Printed], ...]
    """A row for each k, from 1."""


def _row(residue: str, traffic: str, t_avg: str, t_last: str) -> dict[str, Printed]:
    return {
        "residue": _printed(residue),
        "traffic": replace(_printed(traffic), share=0.05),
        "t_avg": _printed(t_avg),
        "t_last": _printed(t_last),
    }


def _printed(text: str) -> Printed:
    """The rounding follows from the digits behind the point, and from the exponent."""
    digits, _, exponent = text.partition("e")
    places = len(digits.partition(".")[2])
    return Printed(float(text), 0.5 * 10.0 ** (int(exponent or 0) - places))


TABLES = (
    Table(
        1,
        "push, feedback, counter",
        PAPER,
        (
            _row("0.18", "1.7", "11.0", "16.8"),
            _row("0.037", "3.3", "12.1", "16.9"),
            _row("0.011", "4.5", "12.5", "17.4"),
            _row("0.0036", "5.6", "12.7", "17.5"),
            _row("0.0012", "6.7", "12.8", "17.7"),
        ),
    ),
    Table(
        2,
        "push, blind, coin",
        replace(PAPER, rumor_feedback=False, rumor_coin=True),
        (
            _row("0.96", "0.04", "19", "38"),
            _row("0.20", "1.6", "17", "33"),
            _row("0.060", "2.8", "15", "32"),
            _row("0.021", "3.9", "14.1", "32"),
            _row("0.008", "4.9", "13.8", "32"),
        ),
    ),
    Table(
        3,
        "pull, feedback, counter",
        replace(PAPER, rumor_direction=RumorDirection.PULL),
        (
            _row("3.1e-2", "2.7", "9.97", "17.6"),
            _row("5.8e-4", "4.5", "10.07", "15.4"),
            _row("4.0e-6", "6.1", "10.08", "14.0"),
        ),
    ),
)


def settings() -> list[Setting]:
    return [{"table": table.number, "k": k} for table in TABLES for k in KS]


def printed(setting: Setting) -> dict[str, Printed]:
    """What the paper says; nothing where it prints nothing."""
    rows = TABLES[int(setting["table"]) - 1].printed
    k = int(setting["k"])
    return rows[k - 1] if k <= len(rows) else {}


def run(setting: Setting, seed: int, *, nodes: int = NODES) -> Outcome:
    tuning = replace(TABLES[int(setting["table"]) - 1].tuning, rumor_k=int(setting["k"]))
    spread = Epidemic(nodes, tuning, seed, news=News.AS_IN_PAPER).run()
    return Outcome(
        {
            "residue": spread.residue,
            "traffic": spread.traffic,
            "t_avg": spread.t_avg,
            "t_last": float(spread.t_last),
        }
    )


def run_until_sure(setting: Setting, limit_s: float) -> Row:
    """More and more runs, until the error of the residue is small or the processor's time is over.

    What the paper does not print is shown for itself, from a hundred runs at most.
    """
    began_s, outcomes = process_time(), [run(setting, seed) for seed in range(RUNS)]
    runs_max = None if printed(setting) else RUNS_UNPRINTED
    while not _is_sure(make_row(setting, outcomes)) and len(outcomes) != runs_max:
        for seed in range(len(outcomes), len(outcomes) + RUNS):
            if process_time() - began_s > limit_s:
                return make_row(setting, outcomes)
            outcomes.append(run(setting, seed))
    return make_row(setting, outcomes)


def _is_sure(row: Row) -> bool:
    residue = row.figures["residue"]
    return residue.error < ERROR_MAX * residue.mean


def residue_bound(row: Row) -> float:
    """The residue is below it with 95 %, if no node was missed in any run: the rule of three."""
    return 3 / (row.seed_count * NODES)
