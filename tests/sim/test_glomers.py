"""Gossip Glomers in small: few nodes and seconds; the whole game is `kvgossip sim glomers`."""

import json
import re
from dataclasses import asdict

import pytest

from kvgossip.cli.sim_glomers import FIGURES, PAGE
from kvgossip.sim import glomers
from kvgossip.sim.glomers import Game, Score, play
from kvgossip.sim.glomers_report import PLAN, table
from kvgossip.sim.scheduler import SECOND
from tests.docs.markdown import read

SMALL = Game("mail", node_count=7, duration_s=4, rate_per_s=30)


@pytest.fixture(scope="module")
def score() -> Score:
    return play(SMALL)


def test_a_mailed_broadcast_is_visible_everywhere_after_its_window_and_one_link(score: Score) -> None:
    assert score.broadcast_count > 40
    assert score.read_count > 40
    assert (score.lost_count, score.unacknowledged_count) == (0, 0)
    assert 280 < score.visible.median_ms < 400
    assert score.visible.max_ms < 600
    assert score.stable.max_ms <= score.visible.max_ms


def test_every_message_between_servers_is_counted(score: Score) -> None:
    assert score.messages["RumorPush"] == score.messages["RumorAnswer"]
    assert {"Ping", "Hello", "ExchangeOpen", "AggregatePush"} <= score.messages.keys()
    assert score.message_count == sum(score.messages.values()) > score.forming_count > 0


def test_the_same_game_has_the_same_score(score: Score) -> None:
    assert play(SMALL) == score


def test_nothing_is_lost_after_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glomers, "NEMESIS_US", 2 * SECOND)
    game = Game("mail", node_count=7, duration_s=8, rate_per_s=20, has_partitions=True)
    score = play(game)
    assert score.partition_count == 2
    assert score.dropped_count > 0
    assert score.visible.max_ms > 600, "or no broadcast met a partition"
    assert score.lost_count == 0


def test_a_lost_broadcast_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time to recover, what the partition kept apart is still apart."""
    monkeypatch.setattr(glomers, "NEMESIS_US", 2 * SECOND)
    monkeypatch.setattr(glomers, "RECOVERY_US", 0)
    assert play(Game("mail", node_count=7, duration_s=4, rate_per_s=20, has_partitions=True)).lost_count > 0


def test_the_page_shows_the_figures_of_the_plan_and_they_meet_the_bars() -> None:
    figures = json.loads(read(FIGURES))
    page = read(PAGE)
    for figure, game in zip(figures, PLAN, strict=True):
        assert figure["game"] == asdict(game)
        operations = figure["broadcast_count"] + figure["read_count"]
        assert f"| {operations:,} | {figure['message_count'] / operations:.2f} |" in page
        if game.setting == "mail":
            assert figure["lost_count"] == 0
        if game.setting == "mail" and not game.has_partitions:
            assert figure["messages_per_operation"] < 20
            assert figure["visible"]["median_ms"] < 400
            assert figure["visible"]["max_ms"] < 600


def test_a_score_is_a_row(score: Score) -> None:
    head, _, row = table([score]).splitlines()
    assert head.count("|") == row.count("|")
    assert re.search(r"\| `mail` \| 0 \| – \|", row)
