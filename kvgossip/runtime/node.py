"""One running node: the replica, fed by the real world, and its effects performed.

Everything but ``store.write`` happens on one event loop. Inputs only note that a *pump* is due; it runs once
in the next turn of the loop, takes all effects, performs them, and sets the one timer. So the writes of one
turn share a commit.

A failure inside one input never ends the loop: it is written to the log and counted, and the next one is
served.
"""

import asyncio
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from os import urandom
from random import Random
from typing import ParamSpec

from kvgossip.errors import StoreError
from kvgossip.model.dot import VersionVector
from kvgossip.model.ids import Address, Key, StartNumber
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.value import Value
from kvgossip.node.effects import (
    Commit,
    Done,
    Effect,
    Event,
    Notify,
    Now,
    Refusal,
    Refused,
    Result,
    Send,
    Ticket,
    Visible,
)
from kvgossip.node.replica import NodeProfile, Replica
from kvgossip.node.status import Checked
from kvgossip.runtime.clock import read_now
from kvgossip.runtime.endpoint import Endpoint
from kvgossip.runtime.faults import Faults
from kvgossip.runtime.handshake import INSTANCE_BYTES, Hello
from kvgossip.runtime.log import Log
from kvgossip.runtime.seeds import Seeds
from kvgossip.runtime.settings import Settings, SettingsError
from kvgossip.runtime.trace import Trace
from kvgossip.runtime.transport import Handlers, Transport
from kvgossip.runtime.websocket import bind
from kvgossip.runtime.writer import StoreWriter
from kvgossip.store.base import Batch
from kvgossip.store.memory import MemoryStore
from kvgossip.store.rocks import RocksStore

COMMIT_RETRY_S = 0.2
"""After a commit that failed, the next one waits this long: a full disk is no reason to spin."""
SETTLE_TIMEOUT_S = 3.0
"""What a stop leaves to writes in flight."""
FAREWELL_TIMEOUT_S = 1.0
"""What a stop leaves to hot rumors, so that a peer has what only this node has."""
WRITER_TIMEOUT_S = 2.0
_POLL_S = 0.01
_TIMER_S_MIN = 0.001
_TRACE_FLUSH_S = 1.0

P = ParamSpec("P")


class Node:
    """See the module. One start and one stop a node.

    ``replica`` is there once ``start`` has returned, for its queries; its inputs are this class's business.
    """

    replica: Replica

    def __init__(self, settings: Settings, *, log: Log | None = None) -> None:
        """Raises ``SettingsError`` if the secret cannot be read. Opens nothing."""
        self.settings = settings
        self.secret = ClusterSecret.derive(settings.cluster, settings.read_secret())
        self.faults = Faults() if settings.allow_faults else None
        self.internal_errors = 0
        """Inputs that failed in an unforeseen way; each is in the log."""
        self._owns_log = log is None
        self._log = log or Log(node=settings.node, cluster=settings.cluster)
        self._rng = Random(urandom(32))
        self._seeds = Seeds(settings.seeds, self._log.write)
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: dict[Ticket, asyncio.Future[Result]] = {}
        self._is_pump_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ms = 0
        self._commits_in_flight = 0
        self._has_commit_failed = False
        self._told_failure: str | int | None = None
        self._is_started = False
        self._is_stopping = False
        self._is_closed = False

    # -- what the API uses

    @property
    def is_ready(self) -> bool:
        """True from the durable start to the stop; whether peers are there does not matter."""
        return self._is_started and not self._is_stopping

    def now(self) -> Now:
        return read_now()

    async def put(self, key: Key, value: Value, context: VersionVector | None = None) -> Result:
        """``Written`` once it is durable, or ``Refused``. Raises ``CorruptRowError``."""
        if self._is_stopping:
            return _STOPPING
        return await self._answer(self.replica.put(key, value, read_now(), context=context))

    async def delete(self, key: Key, context: VersionVector | None = None) -> Result:
        """Like ``put``."""
        if self._is_stopping:
            return _STOPPING
        return await self._answer(self.replica.delete(key, read_now(), context=context))

    async def check(self) -> Checked:
        """The roots of all members, as they answer within two seconds."""
        result = await self._answer(self.replica.check(read_now()))
        assert isinstance(result, Checked)
        return result

    def counters(self) -> dict[str, int]:
        """Totals since the start by stable names: the replica's, the transport's and the node's own."""
        return {
            **self.replica.status().counters,
            **self._transport.counters(),
            "internal_errors": self.internal_errors,
        }

    # -- start and stop

    async def start(self) -> None:
        """Open everything and wait until this start is durable, or its first commit has failed.

        Waits for no peer. Raises ``SettingsError`` or ``StoreError``; then nothing is left open.
        """
        self._loop = asyncio.get_running_loop()
        self._first_commit = self._loop.create_future()
        with ExitStack() as undo:
            sock = self._bind()
            undo.callback(sock.close)
            self._trace = self._open_trace()
            if self._trace is not None:
                undo.callback(self._trace.close)
            self._store = await self._open_store()
            undo.callback(self._store.close)
            self._compose(self.settings.peer_address(sock.getsockname()[1]))
            undo.pop_all()
        await self._transport.start(sock)
        self._tasks.append(asyncio.create_task(self._resolve_seeds()))
        if self._trace is not None:
            self._tasks.append(asyncio.create_task(self._flush_trace(self._trace)))
        self._want_pump()
        await self._first_commit

    async def stop(self) -> None:
        """Take no more writes, finish what was begun, close everything. Ends within ten seconds."""
        self._is_stopping = True
        await self._until(lambda: not self._waiting and not self._commits_in_flight, SETTLE_TIMEOUT_S)
        await self._until(self._has_said_farewell, FAREWELL_TIMEOUT_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._transport.stop()
        if self._timer is not None:
            self._timer.cancel()
        has_ended = await self._writer.stop(WRITER_TIMEOUT_S)
        self._is_closed = True
        if has_ended:
            self._store.close()
        else:
            self._tell("stop-hung", reason="the disk does not answer: the store was not closed")
        for future in self._waiting.values():
            if not future.done():
                future.set_result(
                    Refused(Refusal.OUTCOME_UNKNOWN, "the node stopped before the disk answered")
                )
        if self._trace is not None:
            self._trace.close()
        self._tell("node-stopped")
        if self._owns_log:
            self._log.close()

    def _bind(self) -> socket.socket:
        place = self.settings.peer_listen
        try:
            return bind(Endpoint.parse(place))
        except OSError as error:
            raise SettingsError(f"peer-listen {place} cannot be used: {error.strerror or error}") from None

    def _open_trace(self) -> Trace | None:
        path = self.settings.trace
        try:
            return Trace(path) if path is not None else None
        except OSError as error:
            raise SettingsError(f"trace {path} cannot be written: {error.strerror}") from None

    async def _open_store(self) -> MemoryStore | RocksStore:
        data_dir = self.settings.data_dir
        if data_dir is None:
            self._tell("data-not-kept", reason="without --data-dir a restart begins empty, as a new replica")
            return MemoryStore(self.secret.digest_seed)
        store = await asyncio.to_thread(RocksStore, data_dir, self.secret.digest_seed)
        if store.lost_log is not None:
            self._tell("log-lost", reason=f"{store.lost_log}: this node goes on as a new replica")
        return store

    def _compose(self, peer_address: Address) -> None:
        """Make the replica and what carries its effects."""
        settings = self.settings
        profile = NodeProfile(
            name=settings.node,
            peer=peer_address,
            api=settings.api_address(),
            seeds=tuple(seed for seed in self._seeds.addresses() if seed != peer_address),
            tuning=settings.tuning,
            announces_visible=self._trace is not None,
        )
        self.replica = Replica(
            profile,
            store=self._store,
            secret=self.secret,
            rng=self._rng,
            start_number=StartNumber(self._rng.getrandbits(64) or 1),
            now=read_now(),
            is_new_replica=isinstance(self._store, RocksStore) and self._store.lost_log is not None,
        )
        if settings.secret_file is None:
            self._tell("secret-is-default", reason="without --secret-file anybody can join: loopback only")
        self._writer = StoreWriter(self._store, self._handle_write_ended)
        hello = Hello(
            cluster=settings.cluster, address=peer_address, instance=urandom(INSTANCE_BYTES), nonce=b""
        )
        handlers = Handlers(
            receive=self._receive,
            handle_connected=self._handle_connected,
            handle_send_failed=self._handle_send_failed,
            handle_event=self._log.write,
        )
        self._transport = Transport(
            hello, self.secret.handshake_key, handlers, rng=self._rng, faults=self.faults
        )

    def _has_said_farewell(self) -> bool:
        return not self.replica.status().hot_rumor_count or not self._transport.linked()

    async def _until(self, claim: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not claim() and time.monotonic() < deadline_s:
            await asyncio.sleep(_POLL_S)

    # -- inputs

    def _answer(self, ticket: Ticket) -> asyncio.Future[Result]:
        future = self._waiting[ticket] = self._loop.create_future()
        self._want_pump()
        return future

    def _receive(self, sender: Address, data: bytes) -> None:
        self._feed(self.replica.receive, sender, data, read_now())

    def _handle_connected(self, to: Address) -> None:
        self._feed(self.replica.handle_connected, to, read_now())

    def _handle_send_failed(self, to: Address) -> None:
        self._feed(self.replica.handle_send_failed, to, read_now())

    def _handle_timer(self) -> None:
        self._timer = None
        self._feed(self.replica.handle_timer, read_now())

    def _handle_write_ended(self, batch: Batch, error: StoreError | None) -> None:
        self._commits_in_flight -= 1
        if error is None:
            if self._has_commit_failed:
                self._tell("commits-again")
            self._is_started, self._has_commit_failed, self._told_failure = True, False, None
            self._feed(self.replica.handle_committed, batch, read_now())
        else:
            self._feed(self.replica.handle_commit_failed, batch, error, read_now())
            self._has_commit_failed = True
        if not self._first_commit.done():
            self._first_commit.set_result(None)
            self._tell("node-started", **self._identity())

    def _feed(self, take: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """One input of the replica; whatever fails in it ends there."""
        try:
            take(*args, **kwargs)
        except Exception:
            self._note_internal_error()
        self._want_pump()

    # -- effects

    def _want_pump(self) -> None:
        if not self._is_pump_due:
            self._is_pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_pump_due = False
        if self._is_closed:
            return
        try:
            effects = self.replica.take_effects()
            self._set_timer()
        except Exception:
            self._note_internal_error()
            return
        for effect in effects:
            try:
                self._perform(effect)
            except Exception:
                self._note_internal_error()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(to, data, is_bulk):
                self._transport.send(to, data, is_bulk=is_bulk)
            case Done(ticket, result):
                future = self._waiting.pop(ticket, None)
                if future is not None and not future.done():  # its client may have hung up
                    future.set_result(result)
            case Commit(batch):
                self._commits_in_flight += 1
                if self._has_commit_failed:
                    self._loop.call_later(COMMIT_RETRY_S, self._writer.submit, batch)
                else:
                    self._writer.submit(batch)
            case Notify(Visible(dots=dots)):
                if self._trace is not None:
                    self._trace.note_visible(dots)
            case Notify(Event() as event):
                self._write_event(event)

    def _write_event(self, event: Event) -> None:
        # A disk that stays full fails every commit: that is one change of state.
        if event.name == "commit-failed":
            if event.fields.get("final") == self._told_failure:
                return
            self._told_failure = event.fields.get("final")
        self._log.write(event)

    def _set_timer(self) -> None:
        """Wake up at the replica's next deadline. A timer that fires too early does no harm and may stay."""
        due_ms = self.replica.next_deadline_ms()
        if due_ms is None or (self._timer is not None and self._timer_due_ms <= due_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_s = due_ms / 1_000 - time.monotonic()
        self._timer = self._loop.call_later(max(delay_s, _TIMER_S_MIN), self._handle_timer)
        self._timer_due_ms = due_ms

    # -- beside the replica

    async def _resolve_seeds(self) -> None:
        """Again and again, for as long as the node runs."""
        while True:
            await self._seeds.resolve()
            seeds = [seed for seed in self._seeds.addresses() if not self._transport.is_own(seed)]
            self._feed(self.replica.handle_seeds, seeds, read_now())
            await asyncio.sleep(self.settings.tuning.seed_interval_ms / 1_000)

    async def _flush_trace(self, trace: Trace) -> None:
        while True:
            await asyncio.sleep(_TRACE_FLUSH_S)
            with suppress(OSError):
                trace.flush()

    def _identity(self) -> dict[str, str | int]:
        status = self.replica.status()
        return {"entries": status.entry_count, "generation": status.generation, "root": status.root}

    def _tell(self, name: str, **fields: str | int) -> None:
        self._log.write(Event(name, fields))

    def _note_internal_error(self) -> None:
        self.internal_errors += 1
        self._tell("internal-error", trace=traceback.format_exc())


_STOPPING = Refused(Refusal.OVERLOADED, "the node is stopping: ask another one")
