"""How long a suspect has: Lifeguard's formula, row by row, and what makes it shorter or longer."""

from math import log, log10

import pytest

from kvgossip.model.ids import ReplicaId
from kvgossip.protocol.suspicion import Suspicion
from tests.protocol.members import with_tuning

TUNING = with_tuning(probe_interval_ms=1_000, probe_helpers=3, suspicion_mult=2, suspicion_max_mult=4)


def suspicion(member_count: int, confirmations: int = 0, now_ms: int = 0) -> Suspicion:
    begun = Suspicion(ReplicaId(1), member_count=member_count, tuning=TUNING, now_ms=now_ms)
    for by in range(2, 2 + confirmations):
        assert begun.confirm(ReplicaId(by))
    return begun


@pytest.mark.parametrize(
    ("member_count", "least_ms"), [(1, 2_000), (3, 2_000), (10, 2_000), (100, 4_000), (1_000, 6_000)]
)
@pytest.mark.parametrize("confirmations", [0, 1, 2, 3])
def test_the_time_is_lifeguards_formula(member_count: int, least_ms: int, confirmations: int) -> None:
    """timeout = max - (max - min) * log(confirmations + 1) / log(expected + 1)."""
    expected = min(3, max(member_count - 2, 0))
    if confirmations > expected:
        return
    most_ms = 4 * least_ms
    share = log(confirmations + 1) / log(expected + 1) if expected else 1.0
    wanted_ms = most_ms - (most_ms - least_ms) * share
    assert suspicion(member_count, confirmations).deadline_ms == pytest.approx(wanted_ms, abs=1)
    assert least_ms == pytest.approx(2_000 * max(1, log10(member_count)))


def test_as_many_confirmations_as_helpers_end_it_soonest_and_more_are_not_passed_on() -> None:
    hurried = suspicion(100, 3)
    assert hurried.deadline_ms == 4_000
    assert not hurried.confirm(ReplicaId(99))
    assert hurried.deadline_ms == 4_000


def test_one_that_confirms_twice_counts_once() -> None:
    begun = suspicion(100)
    assert not begun.confirm(ReplicaId(1)), "who began it"
    assert begun.confirm(ReplicaId(2))
    after_one_ms = begun.deadline_ms
    assert not begun.confirm(ReplicaId(2))
    assert begun.deadline_ms == after_one_ms


def test_who_does_not_say_who_suspects_confirms_nothing() -> None:
    """As a digest does: the same suspicion may come from all sides."""
    begun = suspicion(100)
    before_ms = begun.deadline_ms
    assert not begun.confirm(ReplicaId(0))
    assert begun.deadline_ms == before_ms


def test_a_claim_that_it_is_down_makes_the_time_the_least() -> None:
    begun = suspicion(100)
    begun.hasten()
    assert begun.deadline_ms == 4_000


def test_with_nobody_to_confirm_the_time_is_the_least() -> None:
    assert suspicion(2).deadline_ms == 2_000


def test_an_own_stall_is_added() -> None:
    begun = suspicion(100, 1, now_ms=500)
    before_ms = begun.deadline_ms
    begun.excuse(60_000)
    assert begun.deadline_ms == before_ms + 60_000
