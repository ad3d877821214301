"""Tries to reach peers: so many a second, and fewer on a node that comes late itself."""

import pytest

from kvgossip.runtime.lateness import Lateness
from kvgossip.runtime.peer import DIALS_PER_S_MAX, HALVED_LATE_S, DialBudget


def tries(budget: DialBudget, lateness: Lateness, *, from_s: float, late_s: float, seconds: int = 10) -> int:
    """How many of many more are granted, while the node looks after its links ten times a second."""
    granted = 0
    for tick in range(seconds * 10):
        lateness.note(late_s)
        now_s = from_s + (tick + 1) / 10
        while budget.take(now_s):
            granted += 1
    return granted


@pytest.mark.parametrize("from_s", [0.0, 100.0])
def test_a_second_of_tries_at_once_and_then_so_many_a_second(from_s: float) -> None:
    """However long none was made: a second's worth is kept, no more."""
    lateness = Lateness()
    most = DIALS_PER_S_MAX * 11
    assert most - 7 <= tries(DialBudget(0.0, lateness), lateness, from_s=from_s, late_s=0.0) <= most


def test_a_late_node_tries_seldom_and_soon_again_when_it_is_not_late() -> None:
    lateness = Lateness()
    budget = DialBudget(0.0, lateness)
    while budget.take(0.0):
        pass
    assert tries(budget, lateness, from_s=0.0, late_s=HALVED_LATE_S) in range(310, 321), "half"
    assert tries(budget, lateness, from_s=10.0, late_s=0.5) in range(11, 14), "one or two a second"
    tries(budget, lateness, from_s=20.0, late_s=0.0, seconds=5)
    assert tries(budget, lateness, from_s=25.0, late_s=0.0) in range(600, 641)
