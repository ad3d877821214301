"""What the report says of whole clusters in virtual milliseconds: partition, loss and a crash."""

from kvgossip.sim.experiments.markdown import number, result_table
from kvgossip.sim.experiments.partition import CUT_S
from kvgossip.sim.experiments.result import Result


def partition_section(result: Result) -> str:
    worst = max(row.figures["t_last, ms"].high for row in result.rows)
    return f"""## Partition and heal

Whole replicas, nothing simplified, on the simulated network (0.1 to 2 ms a frame) and disk (0.1 to 3 ms a
sync). Two halves are cut from each other for {CUT_S} s and declare each other down; each takes a write a
second. t = 0 is the heal. The wait is for the first frame that gets through: each node tries one of those
that are down a probe interval, so the more nodes, the sooner some pair meets. Then each side's news is
exchanged, and what an exchange brought is passed on as rumors. In nineteen of twenty seeds everybody holds
everything within {number(worst)} ms. Connections are made anew at once here; TCP behind a packet filter
is slower, which is for the bench on real processes to say.

{result_table(result)}"""


def loss_section(result: Result) -> str:
    missed = sum(
        row.figures["residue of the rumor"].mean * int(row.setting["nodes"]) * row.seed_count
        for row in result.rows
    )
    runs = sum(row.seed_count for row in result.rows)
    return f"""## Loss

Each frame between whole replicas is lost with the given chance, in both directions; one write, followed to
everybody. A push that is lost is neither useful nor useless and is sent again after its time-out; an answer
that is lost costs a second push. So loss costs traffic and time, and takes no contact from a rumor. In {runs}
runs the rumors themselves missed {round(missed)} nodes in all (residue of the rumor), which had the write by
the next exchange, seconds later; those few runs make most of the means of t_last, as the bands show.

{result_table(result)}"""


def detect_section(result: Result) -> str:
    first, last = result.rows[0], result.rows[-1]
    grown = last.figures["down everywhere, s"].mean - first.figures["down everywhere, s"].mean
    many = int(last.setting["nodes"]) / int(first.setting["nodes"])
    return f"""## Detection

A node crashes. From the crash: the first suspicion by anybody; all others hold it down; and from its
restart: all hold it alive again. This is an experiment of the membership simulator (`kvgossip sim members`),
which is simplified in that nobody says Hello and tables are full and equal at first. SWIM says that the
first suspicion takes a time that does not depend on the size (every node is probed by some other about once
a probe interval, which with the two time-outs of a probe is one to two seconds), and that the rest grows as
the logarithm of it, by the time to refute and the spread of the news. So it is: {number(many)} times the
nodes cost {number(grown)} s more.

{result_table(result)}"""
