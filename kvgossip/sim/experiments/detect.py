"""A node crashes: how long until somebody suspects it, and until all hold it down; and when it is back.

The membership simulator's experiment (``sim/members``), over many sizes and with a band. A broken promise of
it, such as a live node that is held down, is raised.
"""

from collections.abc import Sequence

from kvgossip.sim.experiments.result import Setting
from kvgossip.sim.experiments.sweep import Outcome, Task
from kvgossip.sim.members.experiments import crash

SEEDS = 20


def tasks(nodes: Sequence[int], seeds: int) -> list[Task]:
    return [Task({"nodes": count}, range(seeds)) for count in nodes]


def run(setting: Setting, seed: int) -> Outcome:
    return Outcome(crash(seed, int(setting["nodes"])))
