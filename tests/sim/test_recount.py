"""Every seed runs the recount, and a tree that drifts from its rows is a violation there."""

import pytest

from kvgossip.node.recount import Recount
from kvgossip.node.staging import Staging
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.run import run_seed


def test_the_recount_of_a_simulated_node_finds_a_tree_that_drifts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Staging, "_digest_before", lambda staging, *_: None)  # every row counts as a new one
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
