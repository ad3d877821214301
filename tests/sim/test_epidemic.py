"""The variants of rumor mongering, told apart by residue and traffic among 1,000 nodes.

The push figures are those of Demers et al. 1987, Table 1 (feedback, counter) and Table 2 (blind, coin). A run
is one draw, so each is a mean over a few seeds with room for their spread.
"""

from dataclasses import replace
from functools import cache
from statistics import mean
from typing import NamedTuple

import pytest

from kvgossip.config import RumorDirection, RumorTargets, Tuning
from kvgossip.sim.epidemic import PAPER, Epidemic, News

NODES = 1_000
SEEDS = range(3)


class Means(NamedTuple):
    residue: float
    traffic: float
    t_avg: float
    t_last: float


@cache
def spread(tuning: Tuning) -> Means:
    """The means over the seeds; replay one by ``Epidemic(1_000, tuning, seed, news=...).run()``."""
    runs = [Epidemic(NODES, tuning, seed, news=News.AS_IN_PAPER).run() for seed in SEEDS]
    return Means(
        residue=mean(run.residue for run in runs),
        traffic=mean(run.traffic for run in runs),
        t_avg=mean(run.t_avg for run in runs),
        t_last=max(run.t_last for run in runs),
    )


@pytest.mark.parametrize(("k", "residue", "traffic"), [(1, 0.18, 1.7), (2, 0.037, 3.3), (3, 0.011, 4.5)])
def test_push_with_feedback_and_counter_is_table_1(k: int, residue: float, traffic: float) -> None:
    got = spread(replace(PAPER, rumor_k=k))
    assert got.residue == pytest.approx(residue, rel=0.4, abs=0.004)
    assert got.traffic == pytest.approx(traffic, rel=0.1)


@pytest.mark.parametrize(("k", "residue", "traffic"), [(1, 0.96, 0.04), (2, 0.20, 1.6), (3, 0.060, 2.8)])
def test_push_blind_and_coin_is_table_2(k: int, residue: float, traffic: float) -> None:
    got = spread(replace(PAPER, rumor_k=k, rumor_feedback=False, rumor_coin=True))
    assert got.residue == pytest.approx(residue, rel=0.4, abs=0.05)
    assert got.traffic == pytest.approx(traffic, rel=0.3, abs=0.1)


def test_a_greater_k_leaves_less_residue_for_more_traffic() -> None:
    one, three = spread(PAPER), spread(replace(PAPER, rumor_k=3))
    assert three.residue < one.residue / 5
    assert three.traffic > 2 * one.traffic


def test_a_counter_leaves_less_residue_than_a_coin() -> None:
    counter = spread(replace(PAPER, rumor_k=2))
    coin = spread(replace(PAPER, rumor_k=2, rumor_coin=True))
    assert counter.residue < coin.residue
    assert counter.traffic > coin.traffic


def test_feedback_leaves_less_residue_than_blindness() -> None:
    feedback = spread(replace(PAPER, rumor_k=3))
    blind = spread(replace(PAPER, rumor_k=3, rumor_feedback=False))
    assert feedback.residue < blind.residue / 2
    assert blind.traffic == pytest.approx(3 * (1 - blind.residue), rel=0.01), "k contacts each, useful or not"


def test_pull_leaves_less_residue_than_push_for_the_same_k() -> None:
    push = spread(replace(PAPER, rumor_k=2))
    pull = spread(replace(PAPER, rumor_k=2, rumor_direction=RumorDirection.PULL))
    assert pull.residue < push.residue


def test_push_pull_is_the_fastest() -> None:
    push = spread(replace(PAPER, rumor_k=3))
    both = spread(replace(PAPER, rumor_k=3, rumor_direction=RumorDirection.PUSH_PULL))
    assert both.t_avg < push.t_avg
    assert both.residue < push.residue


def test_informed_targets_save_contacts_where_nodes_are_few() -> None:
    """Among 1,000 nodes a peer is hardly ever met twice, so there the two cannot be told apart."""

    def few(targets: RumorTargets) -> tuple[float, float]:
        tuning = replace(PAPER, rumor_k=2, rumor_targets=targets)
        runs = [Epidemic(8, tuning, seed).run() for seed in range(200)]
        return mean(run.residue for run in runs), mean(run.traffic for run in runs)

    uniform, informed = few(RumorTargets.UNIFORM), few(RumorTargets.INFORMED)
    assert informed[0] < uniform[0] * 0.8
    many_uniform = spread(replace(PAPER, rumor_k=2))
    many_informed = spread(replace(PAPER, rumor_k=2, rumor_targets=RumorTargets.INFORMED))
    assert many_informed.traffic == pytest.approx(many_uniform.traffic, rel=0.05)
