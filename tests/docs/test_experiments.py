"""docs/EXPERIMENTS.md is what its results say."""

from kvgossip.sim.experiments import report
from tests.docs.markdown import ROOT, read

FOLDER = ROOT / "docs" / "experiments"


def test_the_page_is_made_of_the_results_beside_it() -> None:
    results = report.read_all(str(FOLDER))
    assert read("docs/EXPERIMENTS.md") == report.page(results, "experiments")
    assert {path.stem for path in FOLDER.glob("*.png")} == set(results)


def test_whole_replicas_at_1_000_nodes_agree_with_rumor_machines_alone() -> None:
    results = report.read_all(str(FOLDER))
    assert "no figure of the spread differs" in report.page(results, "experiments")
    assert results["whole-fanout-2"].rows[0].setting["nodes"] == 1_000
