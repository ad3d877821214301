"""``kvgossip sim``: a line a seed, and a failure that says how to see it again."""

import pytest

from kvgossip.cli.main import main


def test_a_seed_is_reported_with_the_faults_that_took_effect(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "check", "--first", "3", "--seeds", "1", "--writes", "20"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("seed 3 ok ")
    assert "injected, in how many seeds: " in out
    assert " simulated hours, " in out
    assert "1 of 1 seeds kept every promise" in out


def test_a_broken_promise_is_named_with_the_command_that_replays_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = ["sim", "check", "--first", "0", "--seeds", "1", "--mutant", "acknowledged-before-commit"]
    assert main(command) == 1
    out = capfd.readouterr().out
    assert "seed 0 BROKEN" in out
    assert "DurableBeforeSeen is broken: operation" in out
    assert "again: kvgossip sim check --first 0 --seeds 1 --trace" in out
    assert "small: kvgossip sim check --first 0 --seeds 1 --windows none --clients " in out


def test_a_trace_shows_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    part = ["--windows", "none", "--clients", "0", "--writes", "10", "--trace"]
    assert main(["sim", "check", "--first", "3", "--seeds", "1", *part]) == 0
    out = capsys.readouterr().out
    assert " n0 start 1\n" in out
    assert " send RumorPush to " in out


def test_an_unknown_mutant_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "check", "--mutant", "none"]) == 1
    assert "there is no mutant none" in capsys.readouterr().err
