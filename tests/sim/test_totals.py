"""What a sweep has tried: its figures, and the page that is made from them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kvgossip.cli.main import main
from kvgossip.sim.checkers.base import Violation
from kvgossip.sim.fault import Fault
from kvgossip.sim.run import Case, run_case
from kvgossip.sim.totals import Totals, page

ROOT = Path(__file__).parents[2]


def test_a_broken_seed_is_counted_and_named_on_the_page() -> None:
    report = run_case(Case(3, windows=(), clients=(0,), writes_each=5, nodes=3))
    totals = Totals()
    totals.add(replace(report, injected={Fault.LOSS: 7}))
    totals.add(
        replace(report, case=Case(4), violation=Violation("Convergence", "x"), injected={Fault.LOSS: 1})
    )
    figures = totals.figures("kvgossip sim check", {"commit": "abc"}, real_s=10.0)
    text = page(json.loads(json.dumps(figures)))
    assert "**1 of 2 seeds kept every promise**; these did not: 4." in text
    assert "| loss | 8 | 2 |" in text
    assert "commit abc" in text
    assert f"{2 * report.simulated_s / 10.0:.0f} in one." in text


def test_a_report_is_written_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    part = ["--windows", "none", "--clients", "0", "--writes", "5"]
    assert main(["sim", "check", "--first", "3", "--seeds", "2", *part, "--report"]) == 0
    figures = json.loads((tmp_path / "bench/results/seeds.json").read_text())
    assert figures["seeds"] == 2
    assert (tmp_path / "docs/SIMULATION.md").read_text() == page(figures)


def test_the_page_of_the_repository_is_made_from_its_figures() -> None:
    figures = json.loads((ROOT / "bench/results/seeds.json").read_text())
    assert (ROOT / "docs/SIMULATION.md").read_text() == page(figures)
    assert figures["broken"] == []
