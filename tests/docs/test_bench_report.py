"""The tables of README and docs/ are what ``bench/results`` says."""

from pathlib import Path

import pytest

from bench.report import PAGES, label, read_results, render_page, show

WHERE = {
    "load_average": [1.0],
    "date": "2026-11-21",
    "cores": 2,
    "cpu": "some",
    "kernel": "6.1-x",
    "python": "3.11.7",
}
RESULT = {
    "command": "python -m bench x",
    "environment": WHERE,
    "runs": [{"lag_ms": 2.0, "sent_bytes": 5.0}, {"lag_ms": 4.0, "sent_bytes": 5.0}],
    "median": {"lag_ms": 3.0, "sent_bytes": 5.0},
    "target_max": {"lag_ms": 10.0},
}
ORIGIN = "`python -m bench x`, 2 runs, 2026-11-21, 2 cores of some, Linux 6.1, Python 3.11.7, load average 1."


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_shows_what_the_results_say(page: Path) -> None:
    text = page.read_text()
    assert render_page(text, read_results()) == text, "run: python -m bench report"


def test_a_table_has_the_figures_that_are_asked_for_and_where_they_come_from() -> None:
    text = "a\n<!-- bench x: lag_ms -->\nold\n<!-- end -->\nb"
    assert render_page(text, {"x": RESULT}) == (
        "a\n<!-- bench x: lag_ms -->\n"
        "| figure | median | least to greatest | target |\n|---|---|---|---|\n"
        f"| lag | 3 ms | 2 ms to 4 ms | at most 10 ms |\n\n{ORIGIN}\n<!-- end -->\nb"
    )


def test_a_table_without_a_result_is_an_error() -> None:
    with pytest.raises(KeyError):
        render_page("<!-- bench y -->\n<!-- end -->", {"x": RESULT})


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [("p99_ms", 7.004, "7 ms"), ("peak_mib", 120.26, "120 MiB"), ("writes", 12_000.0, "12,000")],
)
def test_a_figure_is_shown_with_its_unit_and_three_digits(key: str, value: float, shown: str) -> None:
    assert show(key, value) == shown


def test_a_label_is_the_key_without_its_unit() -> None:
    assert [label(key) for key in ("p99_ms", "payload_ratio", "lost")] == ["p99", "payload ratio", "lost"]
