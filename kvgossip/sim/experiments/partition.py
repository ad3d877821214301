"""Two halves are cut from each other and written to; then the cut is mended: when does everybody hold all?

Each half takes one write a second, at a random node of it, for as long as the cut lasts.
"""

from collections.abc import Sequence

from kvgossip.sim.experiments.lab import Lab
from kvgossip.sim.experiments.result import Setting
from kvgossip.sim.experiments.sweep import Outcome, Task
from kvgossip.sim.fault import Fault
from kvgossip.sim.scheduler import MS

SEEDS = 20
CUT_S = 30
STEP_MS = 20
LIMIT_MS = 120_000


def tasks(nodes: Sequence[int], seeds: int) -> list[Task]:
    return [Task({"nodes": count, "cut, s": CUT_S}, range(seeds)) for count in nodes]


def run(setting: Setting, seed: int) -> Outcome:
    lab = Lab(int(setting["nodes"]), seed)
    half = len(lab.nodes) // 2
    sides = lab.nodes[:half], lab.nodes[half:]
    mend, keys = lab.cut(*sides), []
    for second in range(int(setting["cut, s"])):
        for number, side in enumerate(sides):
            keys.append(lab.write(lab.rng.choice(side), f"side {number} second {second}"))
        lab.run(1_000)
    assert lab.injected[Fault.PARTITION]
    lacking = [(node, key) for node in lab.nodes for key in keys if not lab.holds(node, key)]
    assert len(lacking) == len(lab.nodes) * len(keys) // 2, f"seed {seed}: a half lacks what it wrote itself"
    mend()
    healed_us, bytes_before, count = lab.scheduler.now_us, lab.network.byte_count, len(lacking)
    lacked = [1.0]
    while lacking:
        lab.run(STEP_MS)
        lacking = [(node, key) for node, key in lacking if not lab.holds(node, key)]
        lacked.append(len(lacking) / count)
        assert len(lacked) * STEP_MS < LIMIT_MS, f"seed {seed}: not converged"
    took_ms = (lab.scheduler.now_us - healed_us) / MS
    sent = lab.network.byte_count - bytes_before
    alive_ms = lab.wait(lab.all_alive, LIMIT_MS)
    assert alive_ms is not None, f"seed {seed}: somebody is not alive everywhere"
    return Outcome(
        {
            "t_50 %, ms": _first_at_most(lacked, 0.5),
            "t_99 %, ms": _first_at_most(lacked, 0.01),
            "t_last, ms": took_ms,
            "all alive everywhere, ms": took_ms + alive_ms,
            "kB sent a node until t_last": sent / len(lab.nodes) / 1_000,
        },
        {"share of what was lacking": lacked},
        STEP_MS / 1_000,
    )


def _first_at_most(lacked: Sequence[float], share: float) -> float:
    """Milliseconds until no more than ``share`` was lacking."""
    return float(next(index for index, value in enumerate(lacked) if value <= share) * STEP_MS)
