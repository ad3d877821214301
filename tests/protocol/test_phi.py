"""Phi accrual: the formula, and the traps of histories that are short, broken or the observer's own fault."""

from math import log10
from random import Random
from statistics import NormalDist

import pytest

from kvgossip.config import Tuning
from kvgossip.protocol.phi import JUDGED_MIN, PAUSE_FACTOR, PHI_MAX, PhiHistory

TUNING = Tuning()
PROBE_MS = TUNING.probe_interval_ms
THRESHOLD = TUNING.phi_threshold


def heard_at(*moments_ms: int) -> PhiHistory:
    history = PhiHistory()
    for moment_ms in moments_ms:
        history.note(moment_ms, TUNING)
    return history


def regular(count: int = 100, interval_ms: int = PROBE_MS) -> tuple[PhiHistory, int]:
    """(a history, when its last heartbeat came)."""
    moments_ms = [i * interval_ms for i in range(count)]
    return heard_at(*moments_ms), moments_ms[-1]


def test_two_heartbeats_at_once_do_not_make_phi_infinite() -> None:
    history = heard_at(0, 0)
    assert history.phi(1, TUNING) < 1
    assert history.phi(PROBE_MS, TUNING) < 1
    assert history.phi(2 * PROBE_MS, TUNING) < THRESHOLD


def test_a_node_that_sent_one_heartbeat_is_late_in_the_end() -> None:
    history = heard_at(0)
    assert history.phi(PROBE_MS, TUNING) < 1
    assert history.phi(10 * PROBE_MS, TUNING) >= THRESHOLD


def test_a_node_that_was_never_heard_is_not_late() -> None:
    assert PhiHistory().phi(1 << 40, TUNING) == 0


@pytest.mark.parametrize("silence_ms", [0, 500, 1_000, 1_500, 1_900, 60_000])
def test_phi_is_the_formula_of_the_paper_over_window_and_prior(silence_ms: int) -> None:
    """-log10 of the chance that a normally distributed interval is longer than the silence."""
    history, last_ms = regular(count=200, interval_ms=1_200)
    count, prior = TUNING.phi_window, 2
    mean_ms = (prior * PROBE_MS + count * 1_200) / (prior + count)
    deviation_ms = max((prior * (PROBE_MS / 2) ** 2 / (prior + count)) ** 0.5, PROBE_MS / 10)
    later = NormalDist(-mean_ms, deviation_ms).cdf(-silence_ms)
    expected = min(-log10(later), PHI_MAX) if later else PHI_MAX
    assert history.phi(last_ms + silence_ms, TUNING) == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_phi_grows_with_silence_and_is_bounded() -> None:
    history, last_ms = regular()
    values = [history.phi(last_ms + ms, TUNING) for ms in range(0, 100_000, 100)]
    assert values == sorted(values)
    assert values[-1] == PHI_MAX


def test_an_irregular_peer_is_given_more_time_than_a_regular_one() -> None:
    rng, now_ms = Random(1), 0
    irregular = PhiHistory()
    for _ in range(100):
        irregular.note(now_ms, TUNING)
        last_ms, now_ms = now_ms, now_ms + rng.randrange(300, 2_500)
    steady, steady_ms = regular()
    silence_ms = 3 * PROBE_MS
    assert (
        irregular.phi(last_ms + silence_ms, TUNING) < THRESHOLD <= steady.phi(steady_ms + silence_ms, TUNING)
    )


def test_a_long_pause_does_not_enter_the_window() -> None:
    """It would teach that silence is normal."""
    history, last_ms = regular()
    before = history.phi(last_ms + 2_500, TUNING)
    back_ms = last_ms + 60_000
    history.note(back_ms, TUNING)
    assert history.phi(back_ms + 2_500, TUNING) == pytest.approx(before)
    longest_ms = PAUSE_FACTOR * PROBE_MS
    history.note(back_ms + longest_ms, TUNING)
    assert history.phi(back_ms + longest_ms + 2_500, TUNING) < before, "just not a pause: it counts"


def test_a_burst_is_one_heartbeat() -> None:
    """A peer that answers a hundred messages at once does not promise to send a hundred every second."""
    steady, last_ms = regular()
    bursty = PhiHistory()
    for beat in range(100):
        for frame in range(20):
            bursty.note(beat * PROBE_MS + frame * 10, TUNING)
    assert bursty.phi(last_ms + 190 + 1_500, TUNING) <= steady.phi(last_ms + 1_500, TUNING)


def test_the_observers_own_stall_is_discounted() -> None:
    history, last_ms = regular()
    before = history.phi(last_ms + 900, TUNING)
    history.excuse(60_000)
    assert history.phi(last_ms + 60_900, TUNING) == before
    history.note(last_ms + 61_000, TUNING)
    assert history.phi(last_ms + 61_900, TUNING) == pytest.approx(before, rel=0.05), "nor in the window"


def test_the_window_forgets() -> None:
    """A peer that was slow yesterday and is steady today is judged by today."""
    now_ms = 0
    history = PhiHistory()
    for interval_ms in [4_000] * 100 + [1_000] * 10 * TUNING.phi_window:
        history.note(now_ms, TUNING)
        last_ms, now_ms = now_ms, now_ms + interval_ms
    steady, steady_ms = regular(1_000)
    now = history.phi(last_ms + 2_500, TUNING)
    assert now == pytest.approx(steady.phi(steady_ms + 2_500, TUNING), rel=0.1)


def test_only_a_history_long_and_dense_enough_is_telling() -> None:
    history = PhiHistory()
    for beat in range(JUDGED_MIN):
        history.note(beat * PROBE_MS, TUNING)
        assert not history.is_telling(TUNING), "so many intervals need one more heartbeat"
    history.note(JUDGED_MIN * PROBE_MS, TUNING)
    assert history.is_telling(TUNING)
    sparse, _ = regular(interval_ms=2 * PROBE_MS + 1)
    assert not sparse.is_telling(TUNING)
    dense, _ = regular(interval_ms=2 * PROBE_MS)
    assert dense.is_telling(TUNING)
