"""Every seed runs the recount, and a tree that drifts from its rows is a violation there."""

from typing import Any

import pytest

from kvgossip.model.ids import Key
from kvgossip.node.recount import Recount
from kvgossip.node.staging import Staging
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.run import run_seed


def test_the_recount_of_a_simulated_node_finds_a_tree_that_drifts(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Staging.stage_entry

    def stage_as_new(staging: Staging, key: Key, *args: Any, **kwargs: Any) -> int:
        return stage(staging, key, *args, **{**kwargs, "replaced": None})

    monkeypatch.setattr(Staging, "stage_entry", stage_as_new)
    monkeypatch.setattr(Cluster, "check_invariants", lambda cluster: None)  # which would find it first
    report = run_seed(3)
    assert "tree-mended" in str(report.violation)


def test_a_seed_recounts_and_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    recounts: list[Recount] = []
    begin = Recount.__init__

    def noted(recount: Recount, *args: object) -> None:
        begin(recount, *args)  # type: ignore[arg-type]
        recounts.append(recount)

    monkeypatch.setattr(Recount, "__init__", noted)
    assert run_seed(3).violation is None
    assert sum(recount.completed_count for recount in recounts) > 0
