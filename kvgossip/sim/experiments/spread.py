"""How fast one rumor reaches everybody, how many it misses, and what it costs: from 10 to 100,000 nodes.

Rounds are synchronous cycles of ``sim/epidemic.py``. Two settings of interest: as it ships, a node loses
interest after ``rumor_k`` contacts in a row that knew the rumor, and anti-entropy reaches whom it missed; and
*never*, for what the literature claims of rounds, where a run ends when all nodes hold it.
"""

from collections.abc import Sequence
from time import process_time

from kvgossip.config import Tuning
from kvgossip.sim.epidemic import Epidemic, in_cycles
from kvgossip.sim.experiments.result import Setting
from kvgossip.sim.experiments.sweep import Outcome, Task

INTEREST = "loses interest after"
SEEDS = 20
SEEDS_OF_MANY = 3
MANY = 100_000
NEVER = "never"


def tasks(nodes: Sequence[int], fanout: int, seeds: int) -> list[Task]:
    """Of very many nodes a few seeds: their figures hardly differ."""
    interests: list[int | str] = [Tuning().rumor_k, NEVER]
    return [
        Task(
            {"fanout": fanout, INTEREST: interest, "nodes": count},
            range(min(seeds, SEEDS_OF_MANY) if count >= MANY else seeds),
        )
        for interest in interests
        for count in nodes
    ]


def loses_interest(setting: Setting) -> bool:
    return setting[INTEREST] != NEVER


def run(setting: Setting, seed: int) -> Outcome:
    count, interest = int(setting["nodes"]), setting[INTEREST]
    is_endless = not loses_interest(setting)
    tuning = in_cycles(
        Tuning(fanout=int(setting["fanout"]), rumor_k=2 * count if is_endless else int(interest))
    )
    began_s = process_time()
    spread = Epidemic(count, tuning, seed).run(until_all=is_endless)
    return Outcome(
        {
            "residue": spread.residue,
            "traffic": spread.traffic,
            "t_avg": spread.t_avg,
            "t_last": spread.t_last,
            "bytes a node": spread.bytes_sent / count,
            "processor s": process_time() - began_s,
        },
        {
            "share that lacks it": [1 - reached / count for reached in spread.reached],
            "updates sent a node": [sent / count for sent in spread.sent],
        },
    )
