"""Simulated time: events in order, and clocks that are wrong in their own ways."""

from functools import partial

from kvgossip.sim.clock import EPOCH_MS, SimClock
from kvgossip.sim.scheduler import MS, SECOND, Scheduler


def test_events_of_one_moment_happen_in_the_order_of_their_scheduling() -> None:
    scheduler = Scheduler()
    seen: list[str] = []
    for name in "cab":
        scheduler.at(5, partial(seen.append, name))
    scheduler.at(3, lambda: seen.append("first"))
    scheduler.run_until(10)
    assert seen == ["first", "c", "a", "b"]
    assert scheduler.now_us == 10


def test_an_event_may_schedule_another_for_the_same_moment() -> None:
    scheduler = Scheduler()
    seen: list[int] = []
    scheduler.at(5, lambda: scheduler.after(0, lambda: seen.append(scheduler.now_us)))
    scheduler.run_until(5)
    assert seen == [5]


def test_an_event_in_the_past_happens_now() -> None:
    scheduler = Scheduler()
    seen: list[int] = []
    scheduler.run_until(7)
    scheduler.at(3, lambda: seen.append(scheduler.now_us))
    scheduler.run_until(7)
    assert seen == [7]


def test_a_deadline_on_a_skewed_clock_is_never_rung_early() -> None:
    for skew_ppm in (-200, 0, 137):
        clock = SimClock(skew_ppm=skew_ppm)
        clock.restart(3 * SECOND, 12_345)
        for deadline_ms in (12_345, 12_346, 99_999):
            moment_us = clock.moment_us(deadline_ms)
            assert clock.read(moment_us).monotonic_ms >= deadline_ms
            assert moment_us <= 3 * SECOND or clock.read(moment_us - 2).monotonic_ms < deadline_ms


def test_the_wall_shows_whole_ticks_and_jumps_while_the_monotonic_clock_does_not() -> None:
    clock = SimClock(wall_tick_ms=1_000)
    clock.restart(0, 0)
    assert clock.read(1_700 * MS) == (1_700, EPOCH_MS + 1_000)
    clock.wall_offset_ms -= 3_600_000
    assert clock.read(1_800 * MS) == (1_800, EPOCH_MS + 1_000 - 3_600_000)
