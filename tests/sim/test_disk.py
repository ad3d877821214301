"""The simulated disk: which batches a crash and a power loss leave behind."""

from random import Random

import pytest

from kvgossip.errors import CommitRefusedError, OutcomeUnknownError, StoreError, StoreFullError
from kvgossip.sim.disk import SimDisk
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.scheduler import SECOND, Scheduler
from kvgossip.store.base import Batch
from kvgossip.store.memory import MemoryStore


class Machine:
    """A disk, and what became of its commits."""

    def __init__(self, seed: int = 1) -> None:
        self.scheduler = Scheduler()
        self.injected = Injected()
        self.durable: list[Batch] = []
        self.reports: list[StoreError | None] = []
        self.disk = SimDisk(
            MemoryStore(1), self.scheduler, Random(seed), self.injected, on_durable=self.durable.append
        )
        self.disk.sync_us = (1_000, 1_001)

    def commit(self, name: str) -> None:
        """Begin a commit; it is cached by 200 µs, durable at 1,020 to 1,200, reported by 1,700."""
        batch = Batch(meta={name: b"1"})
        self.disk.store.prepare(batch)

        def report(error: StoreError | None) -> None:
            self.reports.append(error)
            if error is None:
                self.disk.store.publish(batch)

        self.disk.commit(batch, report)

    def pass_us(self, us: int) -> None:
        self.scheduler.run_until(self.scheduler.now_us + us)

    def holds(self, name: str) -> bool:
        return self.disk.store.get_meta(name) is not None


def test_a_commit_is_shown_once_it_is_reported() -> None:
    machine = Machine()
    machine.commit("a")
    machine.pass_us(SECOND)
    assert machine.reports == [None]
    assert machine.holds("a")
    assert len(machine.durable) == 1


@pytest.mark.parametrize("is_power_loss", [False, True])
def test_what_was_reported_survives_everything(is_power_loss: bool) -> None:
    machine = Machine()
    machine.commit("a")
    machine.pass_us(SECOND)
    machine.commit("b")
    machine.disk.crash(is_power_loss=is_power_loss)
    assert machine.holds("a")
    assert not machine.holds("b"), "it was only staged"
    machine.pass_us(SECOND)
    assert machine.reports == [None], "nobody is there to be told"


def test_a_kill_keeps_what_the_system_has_cached() -> None:
    machine = Machine()
    machine.commit("a")
    machine.pass_us(500)
    assert not machine.durable
    machine.disk.crash(is_power_loss=False)
    assert machine.holds("a")
    assert len(machine.durable) == 1


def test_a_power_loss_may_keep_or_lose_what_was_cached() -> None:
    kept = set()
    for seed in range(20):
        machine = Machine(seed)
        machine.commit("a")
        machine.pass_us(500)
        machine.disk.crash(is_power_loss=True)
        assert machine.holds("a") == bool(machine.durable)
        kept.add(machine.holds("a"))
    assert kept == {False, True}


def test_what_is_durable_and_not_reported_survives_a_power_loss() -> None:
    machine = Machine()
    machine.commit("a")
    while not machine.durable:
        machine.pass_us(1)
    assert machine.reports == []
    machine.disk.crash(is_power_loss=True)
    assert machine.holds("a")


def test_a_refused_commit_leaves_nothing_and_the_next_one_works() -> None:
    machine = Machine()
    machine.disk.refusal_rate = 1.0
    machine.commit("a")
    machine.pass_us(SECOND)
    machine.disk.refusal_rate = 0.0
    machine.disk.is_full = True
    machine.commit("b")
    machine.pass_us(SECOND)
    machine.disk.is_full = False
    machine.commit("c")
    machine.pass_us(SECOND)
    assert [type(report) for report in machine.reports] == [CommitRefusedError, StoreFullError, type(None)]
    assert [machine.holds(name) for name in "abc"] == [False, False, True]
    assert machine.injected == {Fault.COMMIT_REFUSED: 1, Fault.DISK_FULL: 1}


def test_a_failed_sync_is_decided_by_the_next_start() -> None:
    kept = set()
    for seed in range(20):
        machine = Machine(seed)
        machine.disk.fails_next_sync = True
        machine.commit("a")
        machine.pass_us(SECOND)
        assert [type(report) for report in machine.reports] == [OutcomeUnknownError]
        assert machine.disk.is_doubtful
        assert not machine.durable
        machine.disk.crash(is_power_loss=False)
        assert machine.holds("a") == bool(machine.durable)
        kept.add(machine.holds("a"))
    assert kept == {False, True}
