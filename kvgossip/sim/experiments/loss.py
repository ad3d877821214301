"""Frames are lost: how long does one write take to everybody, and does the rumor still bring it?

What the rumor misses comes by an exchange, which a period brings about or a rumor that was given up.
"""

from collections.abc import Sequence

from kvgossip.sim.experiments.lab import Lab
from kvgossip.sim.experiments.result import Setting
from kvgossip.sim.experiments.sweep import Outcome, Task
from kvgossip.sim.fault import Fault
from kvgossip.sim.scheduler import MS

SEEDS = 20
PERCENTS = (0, 1, 10, 30, 50)
STEP_MS = 5
LIMIT_MS = 120_000
CURVE_MS = 3_000
"""As long as a curve is kept; the rest is a tail of single nodes."""
RUMOR_MS = 20_000
"""By then nothing is hot any more."""


def tasks(nodes: Sequence[int], seeds: int) -> list[Task]:
    return [
        Task({"nodes": count, "loss, %": percent}, range(seeds)) for count in nodes for percent in PERCENTS
    ]


def run(setting: Setting, seed: int) -> Outcome:
    lab = Lab(int(setting["nodes"]), seed)
    lab.network.quality.loss = int(setting["loss, %"]) / 100
    sent_before, count = lab.count("rumors_sent"), len(lab.nodes)
    by_rumor_before = lab.count("entries_by_rumor")
    began_us, first = lab.scheduler.now_us, lab.rng.choice(lab.nodes)
    key = lab.write(first, "a write")
    lacking, reached_ms, lacked = list(lab.nodes), [], [1.0]
    while lacking:
        lab.run(STEP_MS)
        passed_ms = (lab.scheduler.now_us - began_us) / MS
        still = [node for node in lacking if not lab.holds(node, key)]
        reached_ms += [passed_ms] * (len(lacking) - len(still))
        lacking = still
        lacked.append(len(lacking) / count)
        assert passed_ms < LIMIT_MS, f"seed {seed}: not converged"
    lab.run(max(RUMOR_MS - int(reached_ms[-1]), 0))
    assert lab.injected[Fault.LOSS] or not setting["loss, %"]
    return Outcome(
        {
            "residue of the rumor": 1 - (1 + lab.count("entries_by_rumor") - by_rumor_before) / count,
            "traffic": (lab.count("rumors_sent") - sent_before) / count,
            "t_avg, ms": sum(reached_ms) / count,
            "t_last, ms": reached_ms[-1],
        },
        {"share that lacks it": lacked[: CURVE_MS // STEP_MS]},
        STEP_MS,
    )
