"""Results as Markdown tables: a line for each row, with the mean of each figure and its band."""

from collections.abc import Sequence

from kvgossip.sim.experiments.result import Result, Row, Sample


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    shown = [header, ["---" for _ in header], *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in shown)


def result_table(result: Result) -> str:
    first = result.rows[0]
    header = [*first.setting, "seeds", *first.figures]
    return table(header, [_cells(row) for row in result.rows])


def number(value: float) -> str:
    """Three digits, and no exponent where a person can do without."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"


def with_band(sample: Sample) -> str:
    if sample.low == sample.high:
        return number(sample.mean)
    return f"{number(sample.mean)} ({number(sample.low)}–{number(sample.high)})"


def _cells(row: Row) -> list[str]:
    setting = [f"{value:,}" if isinstance(value, int) else str(value) for value in row.setting.values()]
    return [*setting, str(row.seed_count), *map(with_band, row.figures.values())]
