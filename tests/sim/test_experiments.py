"""Experiments at small scale: the rounds of the literature, and that what is simplified changes nothing.

A run is one draw, so each claim has room for its spread; seeds are fixed, and a failure names its setting.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import exp
from pathlib import Path
from statistics import fmean, stdev

import pytest

from kvgossip.cli.main import main
from kvgossip.config import RumorDirection, Tuning
from kvgossip.model.ids import Address
from kvgossip.sim.epidemic import PAPER, Epidemic, News, Others, in_cycles
from kvgossip.sim.experiments import demers, detect, loss, partition, spread, whole
from kvgossip.sim.experiments.result import Row, Sample, from_json, summarize
from kvgossip.sim.experiments.sweep import Outcome, Run, Task, make_row, sweep

SHIPPED = Tuning().rumor_k


@cache
def endless(nodes: int) -> Row:
    """At fan-out 2, with interest that is never lost."""
    seeds = range(3 if nodes > 100 else 20)
    return next(sweep(spread.run, [Task(setting(nodes, 2, spread.NEVER), seeds)]))


def setting(nodes: int, fanout: int, interest: int | str) -> dict[str, int | float | str]:
    return {"fanout": fanout, spread.INTEREST: interest, "nodes": nodes}


@pytest.mark.parametrize(("nodes", "rounds"), [(10, 4), (100, 7), (1_000, 10)])
def test_rounds_at_fan_out_2_are_those_of_the_literature(nodes: int, rounds: int) -> None:
    t_last = endless(nodes).figures["t_last"]
    assert t_last.mean == pytest.approx(rounds, abs=1.0)


def test_ten_times_the_nodes_cost_the_same_number_of_rounds_again() -> None:
    last = [endless(nodes).figures["t_last"].mean for nodes in (10, 100, 1_000)]
    assert [later - earlier for earlier, later in pairwise(last)] == pytest.approx([3.25, 3.25], abs=1.0)


def test_who_lacks_the_rumor_follows_from_the_updates_sent_alone() -> None:
    """N(1 - e^(-m/N)) for m updates to random nodes."""
    run = Epidemic(1_000, in_cycles(Tuning(fanout=2, rumor_k=5)), 3).run()
    for reached, sent in zip(run.reached, run.sent, strict=True):
        assert reached / 1_000 == pytest.approx(1 - exp(-sent / 1_000), abs=0.03)


def test_pull_is_table_3() -> None:
    tuning = replace(PAPER, rumor_direction=RumorDirection.PULL)
    runs = [Epidemic(1_000, tuning, seed, news=News.AS_IN_PAPER).run() for seed in range(4)]
    said = demers.printed({"table": 3, "k": 1})
    for name, value in said.items():
        assert said[name].agrees(summarize([getattr(run, name) for run in runs])), (name, value)


def test_the_pulls_of_one_cycle_count_once() -> None:
    """Without the footnote of Table 3 each useless pull would count, and fewer would be answered."""
    tuning = replace(PAPER, rumor_direction=RumorDirection.PULL)
    for seed in range(3):
        by_footnote = Epidemic(300, tuning, seed, news=News.AS_IN_PAPER).run()
        each_counts = Epidemic(300, tuning, seed).run()
        assert by_footnote.traffic > 1.1 * each_counts.traffic


def test_whole_replicas_spread_a_rumor_as_the_rumor_machines_alone() -> None:
    """What the simulator of many nodes leaves out changes nothing: within three standard errors."""
    task = Task(setting(30, 2, SHIPPED), range(30))
    full, light = whole.run_task(task), next(sweep(spread.run, [replace(task, seeds=range(200))]))
    for name in ("residue", "traffic", "t_avg", "t_last", "bytes a node"):
        one, other = full.figures[name], light.figures[name]
        allowed = 3 * (one.error**2 + other.error**2) ** 0.5 + 0.02 * other.mean
        assert abs(one.mean - other.mean) <= allowed, (name, one, other)


def test_a_run_is_its_setting_and_seed_in_any_process() -> None:
    task = Task(setting(50, 2, SHIPPED), range(4))
    with ProcessPoolExecutor(2) as pool:
        one, other = next(sweep(spread.run, [task])), next(sweep(spread.run, [task], pool))
    assert one.curves == other.curves
    assert one.figures["t_avg"] == other.figures["t_avg"]


def test_the_others_are_all_but_me() -> None:
    addresses = [Address(f"n{number}:1") for number in range(5)]
    index = {address: number for number, address in enumerate(addresses)}
    for me in range(5):
        others = Others(addresses, index, me)
        assert list(others) == [a for a in addresses if a != addresses[me]]
        assert len(others) == 4
        assert addresses[me] not in others
        assert all(address in others for address in others)


def test_a_sample_has_its_mean_its_error_and_nine_of_ten_seeds() -> None:
    values = [float(value) for value in range(101)]
    assert summarize(values) == Sample(50, stdev(values) / 101**0.5, 5, 95)
    assert fmean(values) == 50


def test_a_printed_figure_is_as_sure_as_its_digits() -> None:
    figure = demers.printed({"table": 3, "k": 2})["residue"]
    assert figure.rounding == pytest.approx(0.05e-4)
    assert figure.agrees(Sample(5.8e-4 * 1.09, 0, 0, 0))
    assert not figure.agrees(Sample(5.8e-4 * 1.11, 0, 0, 0))
    assert figure.agrees(Sample(5.8e-4 * 1.2, 0.5e-4, 0, 0))
    assert demers.printed({"table": 3, "k": 4}) == {}


def test_runs_go_on_until_the_residue_is_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    misses = iter([0.0, 2.0] * 400)
    monkeypatch.setattr(demers, "run", lambda setting, seed: Outcome({"residue": next(misses)}))
    assert demers.run_until_sure({"table": 1, "k": 1}, 60).seed_count == 420
    assert demers.run_until_sure({"table": 3, "k": 5}, 60).seed_count == demers.RUNS_UNPRINTED
    assert demers.run_until_sure({"table": 1, "k": 1}, 0).seed_count == demers.RUNS


def test_a_result_is_written_as_json_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sim", "spread", "--nodes", "10,30", "--fanout", "2", "--seeds", "3", "--out", str(tmp_path)]
    assert main(command) == 0
    assert "| 2 | never | 30 | 3 |" in capsys.readouterr().out
    result = from_json((tmp_path / "spread-fanout-2.json").read_text())
    assert result.command == "kvgossip sim spread --nodes 10,30 --fanout 2"
    assert [row.setting["nodes"] for row in result.rows] == [10, 30, 10, 30]
    assert result.rows[0].seed_count == 3
    assert (tmp_path / "spread-fanout-2.png").read_bytes().startswith(b"\x89PNG")


def test_after_a_partition_everybody_holds_everything_soon() -> None:
    outcome = partition.run({"nodes": 4, "cut, s": 5}, 0)
    assert outcome.figures["t_50 %, ms"] <= outcome.figures["t_last, ms"] < 3_000
    lacked = outcome.curves["share of what was lacking"]
    assert (lacked[0], lacked[-1]) == (1, 0)
    assert list(lacked) == sorted(lacked, reverse=True)


def test_a_write_reaches_everybody_at_half_the_frames_lost() -> None:
    none = loss.run({"nodes": 5, "loss, %": 0}, 0).figures
    half = [loss.run({"nodes": 5, "loss, %": 50}, seed).figures for seed in range(3, 6)]
    assert none["residue of the rumor"] == 0
    assert none["t_last, ms"] < 100 < max(figures["t_last, ms"] for figures in half) < 30_000
    assert fmean(figures["traffic"] for figures in half) > none["traffic"]


def test_a_crash_is_noticed_by_the_experiment_of_the_membership_simulator() -> None:
    figures = detect.run({"nodes": 6}, 0).figures
    assert 0 < figures["first suspicion, s"] < figures["down everywhere, s"] < 10


@pytest.mark.parametrize("name", ["spread", "partition", "loss", "detect"])
def test_an_experiment_without_numbers_takes_those_of_its_help(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(run: Run, tasks: Iterable[Task], pool: Executor | None = None) -> Iterator[Row]:
        return (make_row(task.setting, [Outcome({"figure": 1.0})]) for task in tasks)

    monkeypatch.setattr("kvgossip.sim.experiments.sweep.sweep", one)
    assert main(["sim", name]) == 0
    assert {"spread": "| 100,000 |", "partition": "| 24 |", "loss": "| 24 |", "detect": "| 300 |"}[name] in (
        capsys.readouterr().out
    )
