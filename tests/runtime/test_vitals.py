"""What a node measures of itself: processor, memory, disk and stalls."""

import time
from pathlib import Path

import pytest

from kvgossip.runtime import vitals
from kvgossip.runtime.vitals import VitalsMeter
from kvgossip.store.rocks_open import RESERVE_BYTES


def test_a_busy_processor_shows_and_an_idle_one_does_not() -> None:
    meter, started_s = VitalsMeter(None, lambda: 0), time.monotonic()
    until_s = time.process_time() + 0.2
    while time.process_time() < until_s:
        pass
    got_permille = 200 / (time.monotonic() - started_s)  # on a busy machine it is not all that it asked for
    assert meter.read().cpu_permille == pytest.approx(got_permille, rel=0.3)
    assert 10 << 20 < meter.read().memory_bytes < 8 << 30


def test_the_disk_is_told_and_is_full_below_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = VitalsMeter(tmp_path, lambda: 0)
    assert meter.read().disk_free_bytes > 0
    assert meter.read().troubles == ()
    monkeypatch.setattr(vitals, "free_bytes", lambda path: RESERVE_BYTES - 1)
    assert meter.read().troubles == ("disk-full",)
    assert VitalsMeter(None, lambda: 0).read().disk_free_bytes == 0


def test_a_stall_is_told_for_a_while_and_a_stop_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    stalls = 0
    meter = VitalsMeter(None, lambda: stalls)
    assert meter.read().troubles == ()
    stalls = 2
    assert meter.read().troubles == ("loop-stalled",)
    now_s += vitals.STALL_TOLD_S - 1
    assert meter.read().troubles == ("loop-stalled",)
    now_s += 2
    assert meter.read().troubles == ()
    meter.is_stopping = True
    stalls = 3
    assert meter.read().troubles == ("loop-stalled", "stopping")
    now_s += vitals.STALL_TOLD_S + 1
    assert meter.read().troubles == ("stopping",)
