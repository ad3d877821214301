"""What the report says of spread: tables, that nothing is simplified away, what is claimed of rounds."""

from itertools import pairwise
from math import exp

from kvgossip.sim.experiments.markdown import number, result_table, table, with_band
from kvgossip.sim.experiments.plots import expected_rounds
from kvgossip.sim.experiments.result import Result, Row
from kvgossip.sim.experiments.spread import loses_interest

CLAIMED_ROUNDS = {10: 4, 100: 7, 1_000: 10, 10_000: 14, 100_000: 17}
"""At fan-out 2."""
CLAIMED_26000 = 15
"""At fan-out 4."""
LIMITS_S = {10_000: 20, 100_000: 300}
"""What a run of so many nodes may take of one core."""


def spread_section(two: Result) -> str:
    slowest = []
    for nodes, limit_s in LIMITS_S.items():
        seconds = [row.figures["processor s"] for row in two.rows if row.setting["nodes"] == nodes]
        if seconds:
            worst = max(sample.high for sample in seconds)
            slowest.append(f"{nodes:,} nodes {number(worst)} s (wanted: {limit_s} s)")
    return f"""## Spread

One rumor, among 10 to 100,000 nodes. A round is a cycle: every node that is hot tells as many others as
the fan-out says. *As it ships* a node loses interest after two contacts in a row with nodes that knew
the rumor; whom it missed anti-entropy reaches. *Never* is what the literature counts rounds for: a run
ends when everybody knows.

Simplified are the nodes around the rumor machine: one read-only table of members for all, and a store
that is nothing but "told, and when". The machine and the codec are those that ship. Runs of one core:
{"; ".join(slowest)}.

{result_table(two)}"""


def whole_section(whole: Result, two: Result) -> str:
    (full,) = whole.rows
    light = _row(two, nodes=int(full.setting["nodes"]), is_endless=False)
    lines, worst = [], 0.0
    for name, sample in full.figures.items():
        other = light.figures[name]
        error = (sample.error**2 + other.error**2) ** 0.5
        apart = abs(sample.mean - other.mean) / error
        worst = max(worst, apart if name != "bytes a node" else 0.0)
        lines.append([name, with_band(sample), with_band(other), f"{apart:.1f}"])
    verdict = "no figure of the spread differs" if worst <= 3 else "THE SIMPLIFICATION CHANGES FIGURES"
    return f"""## What is simplified changes nothing

The same rumor among {full.setting["nodes"]:,} whole replicas: each with its own member table with
everybody in it, a store, a commit for each write and a Hello at each first contact ({full.seed_count}
rumors, one after the other). Anti-entropy's frames are lost, so that what arrives arrived by rumor.
Within three standard errors {verdict}. Bytes are those of rumors and their answers; whole replicas
number their messages higher.

{table(["figure", "whole replicas", "rumor machines alone", "standard errors apart"], lines)}"""


def claims_section(two: Result) -> str:
    lines = []
    for nodes, claimed in CLAIMED_ROUNDS.items():
        t_last = _row(two, nodes=nodes, is_endless=True).figures["t_last"]
        lines.append([f"{nodes:,}", "2", str(claimed), with_band(t_last), f"{expected_rounds(nodes, 2):.1f}"])
    last = [_row(two, nodes=nodes, is_endless=True).figures["t_last"].mean for nodes in CLAIMED_ROUNDS]
    steps = ", ".join(f"{later - earlier:.1f}" for earlier, later in pairwise(last))
    off = {row.setting["nodes"]: _off_the_curve(row) for row in two.rows if loses_interest(row.setting)}
    worst = ", ".join(f"{share:.4f} at {nodes:,}" for nodes, share in off.items())
    return f"""## Common claims

Rounds until all nodes know, if nobody loses interest:

{table(["nodes", "fan-out", "claimed", "measured t_last", "log_(f+1) n + (ln n)/f"], lines)}
* **Rounds at fan-out 2**: the claims hold within one round. The formula behind them is Pittel's (1987), log2
  n + ln n for one contact a round: while few know, each round multiplies them by f + 1; once most know,
  each round leaves e^(-f) of the rest. The last node takes about one round more, because rounds are
  whole.
* **O(log N)**: ten times the nodes cost {steps} rounds more: the same again and again (the formula says
  3.2).
* **N(1 - e^(-fk/N))**: right if fk is the number of updates sent so far, by all nodes, each to a random
  one: then it is the count of boxes hit by fk balls. Greatest distance from it after any round, as a
  share of the nodes: {worst}. It is smaller the more nodes there are; among few, nobody telling itself,
  or a node twice, shows. Wrong is the reading of k as a number of rounds with f updates each: f are
  sent by *each* node that is hot, so the number grows with those who know.
* **As it ships** a rumor misses some: two useless contacts in a row are soon met. That is the trade of
  rumor mongering (Demers et al.), and why anti-entropy follows it. With three nodes or fewer a rumor
  that is given up starts an exchange at once.
"""


def many_section(four: Result) -> str:
    many = _row(four, nodes=26_000, is_endless=True).figures["t_last"]
    return f"""## Fan-out 4, as it ships, and 26,000 nodes

The claim of about {CLAIMED_26000} rounds for 26,000 nodes at fan-out 4 is too many: measured are
{with_band(many)}, and the formula says {expected_rounds(26_000, 4):.1f}. {CLAIMED_26000} is log2 of
26,000, that is, one contact a round for each who knows, and nothing for the tail; with four contacts a
round the number is multiplied by five. As an upper bound it holds. Of more than 20,000 nodes three seeds
were run: their figures hardly differ.

{result_table(four)}"""


def _row(result: Result, *, nodes: int, is_endless: bool) -> Row:
    return next(
        row
        for row in result.rows
        if row.setting["nodes"] == nodes and loses_interest(row.setting) is not is_endless
    )


def _off_the_curve(row: Row) -> float:
    """The greatest distance of who lacks the rumor from what the updates sent so far predict."""
    lacking = row.curves["share that lacks it"].mean
    sent = row.curves["updates sent a node"].mean
    return max(abs(share - exp(-count)) for share, count in zip(lacking, sent, strict=True))
