"""A seed that fails becomes a small part of it that fails in the same way, with the command that shows it."""

from dataclasses import replace

from kvgossip.sim.checkers.base import Violation
from kvgossip.sim.run import Case, Report, run_case
from kvgossip.sim.shrink import command, shrink


def test_what_does_not_matter_is_left_out() -> None:
    """Fails if fault 2 is there, client 1 too, and it writes at least five times."""
    whole = run_case(Case(3, windows=(0, 1, 2, 3, 4), clients=(0, 1, 2), writes_each=20))
    runs = 0

    def run(case: Case) -> Report:
        nonlocal runs
        runs += 1
        assert case.windows is not None
        assert case.clients is not None
        assert case.writes_each is not None
        fails = 2 in case.windows and 1 in case.clients and case.writes_each >= 5
        return replace(
            whole,
            case=case,
            writes_each=case.writes_each,
            violation=Violation("Convergence", "x") if fails else None,
        )

    small = shrink(run(whole.case), run)
    assert small.case == Case(3, windows=(2,), clients=(1,), writes_each=5)
    assert runs < 30
    assert command(small.case) == (
        "kvgossip sim check --first 3 --seeds 1 --windows 2 --clients 1 --writes 5 --trace"
    )


def test_another_promise_is_another_failure() -> None:
    whole = replace(run_case(Case(3, windows=(), clients=(0,), writes_each=5)), violation=Violation("A", ""))
    small = shrink(whole, lambda case: replace(whole, case=case, violation=Violation("B", "")))
    assert small is whole
