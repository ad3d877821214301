"""Shrinking: from a seed that breaks a promise to a small part of it that breaks the same one.

Delta debugging (Zeller, Hildebrandt 2002), greedy: leave out faults, then clients, then writes, in halves and
then one by one, and keep what still fails with the same promise. Windows and clients have luck of their own,
so what is kept stays much as it was. Bounded in runs, because one may take seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from kvgossip.sim.run import Case, Report, run_case

RUNS_MAX = 60


class _Hunt:
    """Tries cases, and remembers the smallest that failed."""

    def __init__(self, report: Report, run: Callable[[Case], Report], runs_max: int) -> None:
        assert report.violation is not None
        self.best = report
        self._promise = report.violation.promise
        self._run = run
        self._runs_left = runs_max

    def fails(self, case: Case) -> bool:
        if self._runs_left == 0:
            return False
        self._runs_left -= 1
        report = self._run(case)
        if report.violation is None or report.violation.promise != self._promise:
            return False
        self.best = report
        return True

    def thin_out(self, numbers: Sequence[int], make: Callable[[Case, tuple[int, ...]], Case]) -> None:
        """Leave out as many of ``numbers`` as can be."""
        kept, size = tuple(numbers), (len(numbers) + 1) // 2
        while size:
            at = 0
            while at < len(kept):
                fewer = kept[:at] + kept[at + size :]
                if self.fails(make(self.best.case, fewer)):
                    kept = fewer
                else:
                    at += size
            size = 0 if size == 1 else (size + 1) // 2


def shrink(report: Report, run: Callable[[Case], Report] = run_case, runs_max: int = RUNS_MAX) -> Report:
    """The report of a smaller case that breaks the same promise; the same if none was found."""
    hunt = _Hunt(report, run, runs_max)
    windows = [window.number for window in report.windows]
    hunt.thin_out(windows, lambda case, kept: replace(case, windows=kept))
    hunt.thin_out(range(report.client_count), lambda case, kept: replace(case, clients=kept or (0,)))
    writes = hunt.best.writes_each
    while writes > 1 and hunt.fails(replace(hunt.best.case, writes_each=writes // 2)):
        writes //= 2
    return hunt.best


def command(case: Case) -> str:
    """What a person types to see this case again, event by event."""
    parts = [f"kvgossip sim check --first {case.seed} --seeds 1"]
    if case.windows is not None:
        parts.append(f"--windows {_numbers(case.windows)}")
    if case.clients is not None:
        parts.append(f"--clients {_numbers(case.clients)}")
    if case.writes_each is not None:
        parts.append(f"--writes {case.writes_each}")
    return " ".join([*parts, "--trace"])


def _numbers(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers)) or "none"
