"""The simulated disk of one node: commits take time, can fail, and a crash decides what was kept.

A commit goes through the states of a write-ahead log: *staged* in the process, *cached* by the operating
system, *durable* once its sync has ended, and only later *reported*. So there are moments at which a batch
is safe and nobody knows yet, and moments at which a killed process loses nothing and a power loss may:

    state       kill                power loss
    staged      lost                lost
    cached      kept                the seed decides
    durable     kept                kept
    doubtful    the seed decides    the seed decides      (its sync failed: outcome unknown)

There is one batch at a time, so what survives is always a prefix of the batches written, with all
acknowledged ones in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from random import Random

from kvgossip.errors import CommitRefusedError, OutcomeUnknownError, StoreError, StoreFullError
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.scheduler import MS, Scheduler
from kvgossip.store.base import Batch
from kvgossip.store.memory import MemoryStore

Report = Callable[[StoreError | None], None]
"""Told how a commit ended."""

_ERRORS: dict[Fault, StoreError] = {
    Fault.COMMIT_REFUSED: CommitRefusedError("simulated: the batch was not stored"),
    Fault.DISK_FULL: StoreFullError("simulated: no space is left"),
    Fault.OUTCOME_UNKNOWN: OutcomeUnknownError("simulated: the sync failed"),
}


SYNC_US = (100, 3 * MS)
"""How long a healthy disk takes."""


class _State(Enum):
    STAGED = 1
    CACHED = 2
    DURABLE = 3
    DOUBTFUL = 4
    REFUSED = 5


@dataclass(slots=True)
class _Flight:
    """A batch between ``commit`` and its report."""

    batch: Batch
    report: Report
    state: _State = _State.STAGED
    error: StoreError | None = None


class SimDisk:
    """Around a ``MemoryStore``. ``on_durable`` is told each batch once nothing can undo it any more."""

    def __init__(
        self,
        store: MemoryStore,
        scheduler: Scheduler,
        rng: Random,
        injected: Injected,
        on_durable: Callable[[Batch], None],
    ) -> None:
        self.store = store
        self.sync_us = SYNC_US
        self.is_full = False
        self.refusal_rate = 0.0
        """The share of commits that fail for certain."""
        self.fails_next_sync = False
        """True if the outcome of the next commit will be unknown."""
        self._scheduler = scheduler
        self._rng = rng
        self._injected = injected
        self._on_durable = on_durable
        self._flight: _Flight | None = None

    @property
    def is_slow(self) -> bool:
        return self.sync_us[0] > SYNC_US[1]

    @property
    def is_doubtful(self) -> bool:
        """True if the outcome of a commit is unknown: nothing more can be stored before a restart."""
        return self._flight is not None and self._flight.state is _State.DOUBTFUL

    def commit(self, batch: Batch, report: Report) -> None:
        """Begin to store ``batch``. ``report`` is called when that is done or has failed, but for a crash."""
        assert self._flight is None, "a second commit before the first was answered"
        flight = self._flight = _Flight(batch, report)
        cached_us = self._rng.randrange(20, 200)
        durable_us = cached_us + self._rng.randrange(*self.sync_us)
        reported_us = durable_us + self._rng.randrange(20, 500)
        if self.is_slow:
            self._injected[Fault.SLOW_DISK] += 1
        self._scheduler.after(cached_us, partial(self._cache, flight))
        self._scheduler.after(durable_us, partial(self._sync, flight))
        self._scheduler.after(reported_us, partial(self._report, flight))

    def crash(self, *, is_power_loss: bool) -> None:
        """The process ends, or the machine does. From now on ``store`` holds what a restart finds."""
        flight, self._flight = self._flight, None
        if flight is not None:
            survives = flight.state is _State.CACHED and not is_power_loss
            if flight.state is _State.DOUBTFUL or (flight.state is _State.CACHED and is_power_loss):
                survives = self._rng.random() < 0.5
            if survives:
                self._keep(flight)
            flight.state = _State.REFUSED  # its events mean nothing any more
        self.store = self.store.reopen()

    def _cache(self, flight: _Flight) -> None:
        if flight is not self._flight:
            return
        if self.is_full:
            self._fail(flight, Fault.DISK_FULL, _State.REFUSED)
        elif self.refusal_rate and self._rng.random() < self.refusal_rate:
            self._fail(flight, Fault.COMMIT_REFUSED, _State.REFUSED)
        else:
            flight.state = _State.CACHED

    def _sync(self, flight: _Flight) -> None:
        if flight is not self._flight or flight.state is not _State.CACHED:
            return
        if self.fails_next_sync:
            self.fails_next_sync = False
            self._fail(flight, Fault.OUTCOME_UNKNOWN, _State.DOUBTFUL)
        else:
            self._keep(flight)

    def _report(self, flight: _Flight) -> None:
        if flight is not self._flight:
            return
        if (
            flight.state is not _State.DOUBTFUL
        ):  # that one stays: only the next start shows whether it was kept
            self._flight = None
        flight.report(flight.error)

    def _fail(self, flight: _Flight, fault: Fault, state: _State) -> None:
        self._injected[fault] += 1
        flight.state = state
        flight.error = _ERRORS[fault]

    def _keep(self, flight: _Flight) -> None:
        flight.state = _State.DURABLE
        self.store.write(flight.batch)
        self._on_durable(flight.batch)
