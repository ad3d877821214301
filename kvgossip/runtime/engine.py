"""Feeds a replica from the real world and performs its effects.

Everything but ``store.write`` happens on one event loop. Inputs only note that a *pump* is due; it runs once
in the next turn of the loop, takes all effects, performs them, and sets the one timer. So the writes of one
turn share a commit. They are also staged together, when the turn is over, which costs a third less. Of very
many at once some wait here, because what shares a commit ends in one step.

A failure inside one input or effect ends there: it is written to the log and counted, and the next is served.
"""

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import ParamSpec

from kvgossip.errors import KvGossipError, StoreError
from kvgossip.model.dot import VersionVector
from kvgossip.model.ids import Address, Key, ReplicaId
from kvgossip.model.value import Value
from kvgossip.node.effects import (
    Commit,
    Condition,
    Done,
    Effect,
    Event,
    MemberEvent,
    Notify,
    Outcomes,
    Refusal,
    Refused,
    Replicated,
    Result,
    Send,
    Ticket,
    Visible,
    Written,
)
from kvgossip.node.local_writes import Write
from kvgossip.node.replica import Replica
from kvgossip.node.vital_signs import Vitals
from kvgossip.runtime.clock import read_now
from kvgossip.runtime.log import Log
from kvgossip.runtime.measures import Measures
from kvgossip.runtime.trace import Trace
from kvgossip.runtime.transport import Transport
from kvgossip.runtime.writer import StoreWriter
from kvgossip.store.base import Batch, Store

WRITES_WAITING_MAX = 256
"""Staged and not yet durable: half of them in flight and half in the next commit, mostly. What is above that
waits to be staged, or the end of one commit would hold the loop for as long as all of them take."""
WRITE_BYTES = 512
"""What a write takes besides its value while it waits, or little less."""
COMMIT_RETRY_S = 0.2
"""After a commit that failed, the next one waits this long: a full disk is no reason to spin."""
HELD_S = 0.05
"""A timer that comes so late shows that the loop was held, and its sockets may be full."""
_READ_TURNS = 8
"""Turns of the loop in which they are read."""
_TIMER_S_MIN = 0.001

P = ParamSpec("P")
Tell = Callable[[Result | KvGossipError], None]
"""Is called once with what became of a request, on the loop; with an error, nothing was done."""


class Engine:
    """See the module. ``attach`` a transport before ``start``."""

    def __init__(
        self,
        replica: Replica,
        store: Store,
        log: Log,
        trace: Trace | None,
        measures: Measures,
        publish: Callable[[MemberEvent], None],
        *,
        gathered_bytes_max: int,
    ) -> None:
        """``publish`` is told of changes among the members, and never raises.

        ``gathered_bytes_max``: of writes that wait to be staged, behind those that wait for the disk.
        """
        self.is_started = False
        """True once the first commit has ended: this start is durable, or reads alone are served."""
        self.internal_errors = 0
        """Inputs and effects that failed in an unforeseen way; each is in the log."""
        self._replica = replica
        self._log = log
        self._trace = trace
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._writer = StoreWriter(store, self._handle_write_ended, measures.commit_duration)
        self._replication_lag = measures.replication_lag
        self._writes = measures.writes
        self._transport: Transport | None = None
        self._first_commit: asyncio.Future[None] = self._loop.create_future()
        self._gathered: deque[tuple[Write | Sequence[Write], int | None, Tell, int]] = deque()
        """What was not staged yet, of this turn of the loop or because too many wait, and its bytes."""
        self._gathered_bytes = 0
        self._gathered_bytes_max = gathered_bytes_max
        self._waiting: dict[Ticket, Tell] = {}
        self._writes_waiting = 0
        self._commits_in_flight = 0
        self._has_commit_failed = False
        self._told_failure: str | int | None = None
        self._is_pump_due = False
        self._is_stopped = False
        self._timer: asyncio.Handle | None = None
        self._timer_planned_s = 0.0
        self._timer_due_ms = 0

    @property
    def is_quiet(self) -> bool:
        """True if nobody waits for a write."""
        return not self._gathered and not self._waiting and not self._commits_in_flight

    def attach(self, transport: Transport) -> None:
        """What frames are sent through."""
        self._transport = transport

    async def start(self) -> None:
        """Begin, and wait until this start is durable or its first commit has failed."""
        self._want_pump()
        await self._first_commit

    async def stop(self, timeout_s: float) -> bool:
        """End the writer after what it has been given. False if it still hangs in the disk."""
        if self._timer is not None:
            self._timer.cancel()
        has_ended = await self._writer.stop(timeout_s)
        self._is_stopped = True
        waiting, gathered = list(self._waiting.values()), list(self._gathered)
        self._waiting.clear()
        self._gathered.clear()
        for tell in waiting:
            tell(Refused(Refusal.OUTCOME_UNKNOWN, "the node stopped before the disk answered"))
        for _, _, tell, _ in gathered:
            tell(Refused(Refusal.OVERLOADED, "the node stopped before it took the write: ask another one"))
        return has_ended

    # -- inputs: clients

    def put(
        self, key: Key, value: Value, context: VersionVector | None, condition: Condition, tell: Tell
    ) -> None:
        self._gather(Write(key, value, context, condition), None, tell, len(value.body))

    def delete(self, key: Key, context: VersionVector | None, condition: Condition, tell: Tell) -> None:
        self._gather(Write(key, None, context, condition), None, tell, 0)

    def write(self, writes: Sequence[Write], tell: Tell) -> None:
        """Many writes, which are staged together; ``tell`` is called with their ``Outcomes``."""
        size = sum(len(write.value.body) for write in writes if write.value is not None)
        self._gather(writes, len(writes), tell, size)

    def check(self, tell: Tell) -> None:
        self._answer(self._replica.check(read_now()), tell)

    def leave(self, tell: Tell) -> None:
        self._answer(self._replica.leave(read_now()), tell)

    def set_tags(self, tags: tuple[tuple[str, str], ...]) -> None:
        """Raises ``EncodingError``; then nothing has changed."""
        self._replica.set_tags(tags, read_now())
        self._want_pump()

    def forget(self, replica: ReplicaId) -> bool:
        is_forgotten = self._replica.forget(replica, read_now())
        self._want_pump()
        return is_forgotten

    # -- inputs: the world. None of them raises.

    def receive(self, sender: Address, data: bytes) -> None:
        self._feed(self._replica.receive, sender, data, read_now())

    def handle_connected(self, to: Address) -> None:
        self._feed(self._replica.handle_connected, to, read_now())

    def handle_send_failed(self, to: Address) -> None:
        self._feed(self._replica.handle_send_failed, to, read_now())

    def handle_seeds(self, seeds: Sequence[Address]) -> None:
        self._feed(self._replica.handle_seeds, seeds, read_now())

    def handle_vitals(self, vitals: Vitals) -> None:
        self._feed(self._replica.handle_vitals, vitals, read_now())

    def _handle_timer(self) -> None:
        """What came while the loop was held is read first, before anybody is blamed for his silence."""
        if time.monotonic() - self._timer_planned_s < HELD_S:
            self._wake_replica()
        else:
            self._feed(self._replica.handle_late, read_now())
            self._read_on(_READ_TURNS)

    def _read_on(self, turns: int) -> None:
        if turns:
            self._timer = self._loop.call_soon(self._read_on, turns - 1)
        else:
            self._wake_replica()

    def _wake_replica(self) -> None:
        self._timer = None
        self._feed(self._replica.handle_timer, read_now())

    def _handle_write_ended(self, batch: Batch, error: StoreError | None) -> None:
        self._commits_in_flight -= 1
        if error is None:
            if self._has_commit_failed:
                self._log.write(Event("commits-again", {}))
            self._has_commit_failed, self._told_failure = False, None
            self._feed(self._replica.handle_committed, batch, read_now())
        else:
            self._has_commit_failed = True
            self._feed(self._replica.handle_commit_failed, batch, error, read_now())
        self.is_started = True
        if not self._first_commit.done():
            self._first_commit.set_result(None)

    def _answer(self, ticket: Ticket, tell: Tell) -> None:
        self._waiting[ticket] = tell
        self._want_pump()

    def _feed(self, take: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """One input of the replica; whatever fails in it ends there."""
        try:
            take(*args, **kwargs)
        except Exception:
            self._note_internal_error()
        self._want_pump()

    def _gather(self, asked: Write | Sequence[Write], count: int | None, tell: Tell, size: int) -> None:
        """``count`` is None for one write; ``size`` that of its values."""
        size += WRITE_BYTES if count is None else count * WRITE_BYTES
        if self._gathered and self._gathered_bytes + size > self._gathered_bytes_max:
            detail = f"{self._gathered_bytes_max} bytes wait to be staged already: try again"
            tell(Refused(Refusal.OVERLOADED, detail))
            return
        self._gathered.append((asked, count, tell, size))
        self._gathered_bytes += size
        if not self._is_pump_due:
            self._want_pump()

    def _stage_gathered(self) -> None:
        """Stage what was asked for, together, as far as there is room."""
        writes: list[Write] = []
        tells: list[tuple[int | None, Tell]] = []
        while self._gathered and self._writes_waiting + len(writes) < WRITES_WAITING_MAX:
            asked, count, tell, size = self._gathered.popleft()
            self._gathered_bytes -= size
            if isinstance(asked, Write):
                writes.append(asked)
            else:
                writes += asked
            tells.append((count, tell))
        if not tells:
            return

        def tell_each(result: Result | KvGossipError) -> None:
            self._writes_waiting -= len(writes)
            of_each = result.of_each if isinstance(result, Outcomes) else None
            start = 0
            for count, tell in tells:
                outcome: Result | KvGossipError
                if of_each is None:
                    outcome = result
                elif count is None:
                    outcome = of_each[start]
                else:
                    outcome = Outcomes(of_each[start : start + count])
                start += 1 if count is None else count
                try:
                    tell(outcome)
                except Exception:
                    self._note_internal_error()

        self._writes_waiting += len(writes)
        try:
            ticket = self._replica.write(writes, read_now())
        except Exception as error:
            self._note_internal_error()
            detail = f"a write failed in an unforeseen way, and others begun with it may be stored: {error!r}"
            tell_each(Refused(Refusal.OUTCOME_UNKNOWN, detail))
        else:
            self._waiting[ticket] = tell_each

    # -- effects

    def _want_pump(self) -> None:
        if not self._is_pump_due:
            self._is_pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_pump_due = False
        if self._is_stopped:
            return
        if self._gathered:
            self._stage_gathered()
        try:
            effects = self._replica.take_effects()
            self._set_timer()
        except Exception:
            self._note_internal_error()
            return
        for effect in effects:
            try:
                self._perform(effect)
            except Exception:
                self._note_internal_error()
        if self._gathered and self._writes_waiting < WRITES_WAITING_MAX:
            self._want_pump()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(to, data, is_bulk):
                assert self._transport is not None
                self._transport.send(to, data, is_bulk=is_bulk)
            case Done(ticket, result):
                self._count(result)
                tell = self._waiting.pop(ticket, None)
                if tell is not None:
                    tell(result)
            case Commit(batch):
                self._commits_in_flight += 1
                if self._has_commit_failed:
                    self._loop.call_later(COMMIT_RETRY_S, self._writer.submit, batch)
                else:
                    self._writer.submit(batch)
            case Notify(Visible(dots=dots)):
                if self._trace is not None:
                    self._trace.note_visible(dots)
            case Notify(Replicated(lags_ms)):
                for lag_ms in lags_ms:
                    self._replication_lag.observe(lag_ms / 1_000)
            case Notify(MemberEvent() as event):
                self._write_event(event)
                self._publish(event)
            case Notify(Event() as event):
                self._write_event(event)

    def _count(self, result: Result) -> None:
        for outcome in result.of_each if isinstance(result, Outcomes) else (result,):
            if isinstance(outcome, Written):
                self._writes["written"] += 1
            elif isinstance(outcome, Refused):
                self._writes[outcome.reason.value] += 1

    def _write_event(self, event: Event) -> None:
        # A disk that stays full fails every commit: that is one change of state.
        if event.name == "commit-failed":
            if event.fields.get("final") == self._told_failure:
                return
            self._told_failure = event.fields.get("final")
        self._log.write(event)

    def _set_timer(self) -> None:
        """Wake up at the replica's next deadline. A timer that fires too early does no harm and may stay."""
        due_ms = self._replica.next_deadline_ms()
        if due_ms is None or (self._timer is not None and self._timer_due_ms <= due_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        now_s = time.monotonic()
        delay_s = max(due_ms / 1_000 - now_s, _TIMER_S_MIN)
        self._timer = self._loop.call_later(delay_s, self._handle_timer)
        self._timer_planned_s = now_s + delay_s
        self._timer_due_ms = due_ms

    def _note_internal_error(self) -> None:
        self.internal_errors += 1
        self._log.write(Event("internal-error", {"trace": traceback.format_exc()}))
