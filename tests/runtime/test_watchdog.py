"""A loop that stands still is reported with the place where it stands, once a stall."""

import time

import pytest

from kvgossip.node.effects import Event
from kvgossip.runtime import watchdog as watchdog_module
from kvgossip.runtime.histogram import DURATION_BOUNDS_S, Histogram
from kvgossip.runtime.loop import run
from kvgossip.runtime.watchdog import Watchdog
from tests.runtime.peers import until


def hold_the_loop_until_noticed(watchdog: Watchdog, stalls: int) -> None:
    deadline_s = time.monotonic() + 10
    while watchdog.stall_count < stalls:
        assert time.monotonic() < deadline_s, "nobody noticed"


def test_a_stalled_loop_is_told_once_a_stall_with_its_stack_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog_module, "STALL_S", 0.3)
    monkeypatch.setattr(watchdog_module, "BEAT_S", 0.1)
    monkeypatch.setattr(watchdog_module, "CHECK_S", 0.05)
    events: list[Event] = []
    lag = Histogram(DURATION_BOUNDS_S)

    async def main() -> None:
        watchdog = Watchdog(events.append, lag)
        watchdog.start()
        await until(lambda: lag.cumulated()[-1][1] > 1)
        for stalls in (1, 2):
            hold_the_loop_until_noticed(watchdog, stalls)
            await until(lambda: len(events) == 2 * stalls)  # noqa: B023
        watchdog.stop()

    run(main())
    assert [event.name for event in events] == ["loop-stalled", "loop-resumed"] * 2
    assert "hold_the_loop_until_noticed" in str(events[0].fields["stack"])
    assert lag.sum > 0.3


def test_a_histogram_counts_a_bound_itself_among_its_values() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert histogram.cumulated() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.sum == 12.0
