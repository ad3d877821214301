"""Membership alone: each experiment keeps its promises at a small size; ``sim members`` has large ones."""

import pytest

from kvgossip.cli.main import main
from kvgossip.sim.members.hunting import EXPERIMENTS, run

SEEDS = 3


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_promise_of_an_experiment_holds(name: str) -> None:
    for seed in range(SEEDS):
        violation = run(name, seed).violation
        assert violation is None, f"{violation}\nagain: kvgossip sim members {name} --first {seed} --seeds 1"


def test_the_same_seed_gives_the_same_figures() -> None:
    assert run("rejoin", 5) == run("rejoin", 5)
    assert run("rejoin", 5) != run("rejoin", 6)


def test_an_experiment_is_run_by_name_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "members", "crash", "--nodes", "5", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("crash: 2 of 2 seeds kept every promise; first suspicion, s ")


def test_a_broken_promise_is_named_with_the_command_that_replays_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = ["sim", "members", "loss", "--seeds", "2", "--mutant", "own-standing-taken-from-a-stranger"]
    assert main(command) == 1
    out = capfd.readouterr().out
    assert "OwnWordOnly is broken: 10.0.0." in out
    assert "again: kvgossip sim members loss --first 0 --seeds 1" in out


def test_an_experiment_or_a_size_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "members", "none"]) == 1
    assert "there is no experiment none: choose from loss, crash," in capsys.readouterr().err
    assert main(["sim", "members", "crash", "--percent", "3", "--seeds", "1"]) == 1
    assert "crash has no such size" in capsys.readouterr().err
