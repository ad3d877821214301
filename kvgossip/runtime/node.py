"""One running node: opens what a node needs, ties it together, and closes it in order.

The core is the replica; ``engine.py`` drives it and ``transport.py`` carries its frames. What is here is the
start, the stop, the seeds, and what the API asks of a node.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from os import urandom
from random import SystemRandom

from kvgossip.errors import EncodingError, KvGossipError
from kvgossip.model.dot import VersionVector
from kvgossip.model.ids import Address, Key, ReplicaId, StartNumber
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.value import Value
from kvgossip.node.effects import Condition, Event, Left, Now, Refusal, Refused, Result
from kvgossip.node.local_writes import NO_CONDITION, Write
from kvgossip.node.replica import NodeProfile, Replica
from kvgossip.node.status import Checked, MemberStatus
from kvgossip.runtime.clock import read_now
from kvgossip.runtime.endpoint import Endpoint
from kvgossip.runtime.engine import Engine, Tell
from kvgossip.runtime.faults import Faults
from kvgossip.runtime.handshake import INSTANCE_BYTES, Hello
from kvgossip.runtime.log import Log
from kvgossip.runtime.measures import Measures
from kvgossip.runtime.member_feed import Hook, MemberEventKind, MemberFeed
from kvgossip.runtime.seeds import Seeds
from kvgossip.runtime.settings import Settings, SettingsError
from kvgossip.runtime.trace import Trace
from kvgossip.runtime.transport import Handlers, Transport
from kvgossip.runtime.vitals import VitalsMeter
from kvgossip.runtime.watchdog import Watchdog
from kvgossip.runtime.websocket import bind
from kvgossip.store.memory import MemoryStore
from kvgossip.store.rocks import RocksStore

SETTLE_TIMEOUT_S = 3.0
"""What a stop leaves to writes in flight."""
LEAVE_TIMEOUT_S = 1.5
"""More than the replica takes at most to hand on its news and to announce that it leaves."""
FAREWELL_TIMEOUT_S = 0.5
"""What a stop leaves to the announcement, on its way to the peers."""
WRITER_TIMEOUT_S = 2.0
_POLL_S = 0.01
_TRACE_FLUSH_S = 1.0
_STOPPING = Refused(Refusal.OVERLOADED, "the node is stopping: ask another one")


class Node:
    """See the module. One start and one stop a node.

    ``replica`` is there once ``start`` has returned, for its queries; its inputs are the engine's business.
    """

    replica: Replica
    members_at_start: list[MemberStatus]
    """Whom the data directory knew when this start began, this node first."""

    def __init__(
        self, settings: Settings, *, log: Log | None = None, asked_to_stop: asyncio.Event | None = None
    ) -> None:
        """Opens nothing. ``asked_to_stop`` is set when an operator wants the node to leave: then stop it.

        Raises ``SettingsError`` if the secret cannot be read.
        """
        self.settings = settings
        self.secret = ClusterSecret.derive(settings.cluster, settings.read_secret())
        self.faults = Faults() if settings.allow_faults else None
        self._owns_log = log is None
        self._log = log or Log(node=settings.node, cluster=settings.cluster)
        self._rng = SystemRandom()  # whom a node talks to next nobody can foresee
        self._asked_to_stop = asked_to_stop or asyncio.Event()
        self.measures = Measures()
        self.member_feed = MemberFeed(self._log.write)
        self._watchdog = Watchdog(self._log.write, self.measures.loop_lag)
        self._vitals = VitalsMeter(settings.data_dir, lambda: self._watchdog.stall_count)
        self._seeds = Seeds(settings.seeds, self._log.write)
        self._tasks: list[asyncio.Task[None]] = []
        self._engine: Engine | None = None
        self._is_stopping = False

    # -- what the API asks

    @property
    def is_ready(self) -> bool:
        """True from the start to the stop, if only for reads; whether peers are there does not matter."""
        return self._engine is not None and self._engine.is_started and not self._is_stopping

    def now(self) -> Now:
        return read_now()

    async def put(
        self,
        key: Key,
        value: Value,
        context: VersionVector | None = None,
        condition: Condition = NO_CONDITION,
    ) -> Result:
        """``Written`` once it is durable, or ``Refused``. Raises ``CorruptRowError``."""
        return await _told(lambda tell: self.begin_put(key, value, tell, context, condition))

    def begin_put(
        self,
        key: Key,
        value: Value,
        tell: Tell,
        context: VersionVector | None = None,
        condition: Condition = NO_CONDITION,
    ) -> None:
        """``put`` for who has no task to wait in: ``tell`` is called once, now or later."""
        if self._is_stopping:
            tell(_STOPPING)
        else:
            self._running().put(key, value, context, condition, tell)

    async def delete(
        self, key: Key, context: VersionVector | None = None, condition: Condition = NO_CONDITION
    ) -> Result:
        """Like ``put``."""
        return await _told(lambda tell: self.begin_delete(key, tell, context, condition))

    def begin_delete(
        self,
        key: Key,
        tell: Tell,
        context: VersionVector | None = None,
        condition: Condition = NO_CONDITION,
    ) -> None:
        """Like ``begin_put``."""
        if self._is_stopping:
            tell(_STOPPING)
        else:
            self._running().delete(key, context, condition, tell)

    def begin_writes(self, writes: Sequence[Write], tell: Tell) -> None:
        """Many writes; ``tell`` is called once with their ``Outcomes``, or a ``Refused`` for all of them."""
        if self._is_stopping:
            tell(_STOPPING)
        else:
            self._running().write(writes, tell)

    async def check(self) -> Checked:
        """The roots of all members, as they answer within two seconds; of none while the node stops."""
        result = await _told(self._running().check)
        return result if isinstance(result, Checked) else Checked(())

    def on_member(self, kind: MemberEventKind, hook: Hook) -> None:
        """Call ``hook`` on the event loop whenever ``kind`` happens to a member. It must be quick.

        A hook that raises is written to the log and stays.
        """
        self.member_feed.add_hook(kind, hook)

    def set_tags(self, tags: tuple[tuple[str, str], ...]) -> None:
        """Tell the cluster other tags, sorted by key, until the next start. Raises ``EncodingError``."""
        self._running().set_tags(tags)

    def forget(self, replica: ReplicaId) -> bool:
        """Have the cluster forget a member that is gone. False if it is present, or unknown."""
        return self._running().forget(replica)

    def ask_to_stop(self) -> None:
        """What whoever runs this node does on SIGTERM shall happen now."""
        self._asked_to_stop.set()

    def counters(self) -> dict[str, int]:
        """Totals since the start by stable names: the replica's, the transport's and the engine's."""
        return {
            **self.replica.status().counters,
            **self._transport.counters(),
            "internal_errors": self._running().internal_errors,
            "loop_stalls": self._watchdog.stall_count,
        }

    def round_trips_s(self) -> dict[Address, float]:
        """To each peer with an open link."""
        return self._transport.round_trips_s()

    @property
    def silent_s(self) -> float:
        """For how long the event loop has done nothing that was due: next to 0 on a healthy node."""
        return self._watchdog.silent_s

    # -- start and stop

    async def start(self) -> None:
        """Open everything and wait until this start is durable, or its first commit has failed.

        Waits for no peer. Raises ``SettingsError`` or ``StoreError``; then nothing is left open.
        """
        with ExitStack() as undo:
            sock = self._bind()
            undo.callback(sock.close)
            self._trace = self._open_trace()
            if self._trace is not None:
                undo.callback(self._trace.close)
            self._store = await self._open_store()
            undo.callback(self._store.close)
            address = self.settings.peer_address(Endpoint.of(sock))
            self.replica = self._make_replica(address)
            self._check_record()
            undo.pop_all()
        self.members_at_start = self.replica.members(read_now())
        engine = self._engine = Engine(
            self.replica,
            self._store,
            self._log,
            self._trace,
            self.measures,
            self.member_feed.publish,
            gathered_bytes_max=self.settings.tuning.staged_bytes_max,
        )
        self._transport = self._make_transport(address, engine)
        engine.attach(self._transport)
        self._watchdog.start()
        await self._transport.start(sock)
        self._tasks.append(asyncio.create_task(self._resolve_seeds(engine)))
        if self._trace is not None:
            self._tasks.append(asyncio.create_task(self._flush_trace(self._trace)))
        await engine.start()
        self._tasks.append(asyncio.create_task(self._measure_vitals(engine)))
        status = self.replica.status()
        self._tell("node-started", peer=address, entries=status.entry_count, generation=status.generation)

    async def drain(self) -> None:
        """Take no more writes, finish those in flight, hand on news, and announce that this node leaves.

        Ends within five seconds. Reads and the health checks go on until ``stop``.
        """
        if self._is_stopping:
            return
        self._is_stopping = self._vitals.is_stopping = True
        engine = self._running()
        engine.handle_vitals(self._vitals.read())
        self.member_feed.close()
        await self._until(lambda: engine.is_quiet, SETTLE_TIMEOUT_S)
        left = None
        with suppress(TimeoutError):
            left = await asyncio.wait_for(_told(engine.leave), LEAVE_TIMEOUT_S)
        await self._until(lambda: not self._transport.has_queued, FAREWELL_TIMEOUT_S)
        if isinstance(left, Left):
            self._tell("node-left", peers=left.told_count, unshared=left.unshared_count)

    async def stop(self) -> None:
        """Drain, unless that is done, and close everything. Ends within ten seconds."""
        engine = self._running()
        await self.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._watchdog.stop()
        await self._transport.stop()
        if await engine.stop(WRITER_TIMEOUT_S):
            self._store.close()
        else:
            self._tell("stop-hung", reason="the disk does not answer: the store was not closed")
        if self._trace is not None:
            self._trace.close()
        self._tell("node-stopped")
        if self._owns_log:
            self._log.close()

    def _running(self) -> Engine:
        assert self._engine is not None, "the node was not started"
        return self._engine

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

    def _make_replica(self, peer_address: Address) -> Replica:
        settings = self.settings
        if settings.secret_file is None:
            self._tell("secret-is-default", reason="without --secret-file anybody can join: loopback only")
        profile = NodeProfile(
            name=settings.node,
            peer=peer_address,
            api=settings.api_address(),
            seeds=tuple(seed for seed in self._seeds.addresses() if seed != peer_address),
            tuning=settings.tuning,
            zone=settings.zone,
            tags=settings.tags,
            announces_visible=self._trace is not None,
        )
        return Replica(
            profile,
            store=self._store,
            secret=self.secret,
            rng=self._rng,
            start_number=StartNumber(self._rng.getrandbits(64) or 1),
            now=read_now(),
            is_new_replica=isinstance(self._store, RocksStore) and self._store.lost_log is not None,
        )

    def _check_record(self) -> None:
        """Peers refuse a record that is beyond its bounds: better no start than a node that nobody knows."""
        try:
            self.replica.members(read_now())[0].member.check()
        except EncodingError as error:
            raise SettingsError(f"{error}: shorten the tags, the zone, the name or the addresses") from None

    def _make_transport(self, peer_address: Address, engine: Engine) -> Transport:
        hello = Hello(
            cluster=self.settings.cluster,
            address=peer_address,
            instance=urandom(INSTANCE_BYTES),
            nonce=b"",
        )
        handlers = Handlers(
            receive=engine.receive,
            handle_connected=engine.handle_connected,
            handle_send_failed=engine.handle_send_failed,
            handle_event=self._log.write,
        )
        return Transport(hello, self.secret.handshake_key, handlers, rng=self._rng, faults=self.faults)

    async def _until(self, claim: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not claim() and time.monotonic() < deadline_s:
            await asyncio.sleep(_POLL_S)

    async def _resolve_seeds(self, engine: Engine) -> None:
        """Again and again, for as long as the node runs."""
        while True:
            await self._seeds.resolve()
            engine.handle_seeds([s for s in self._seeds.addresses() if not self._transport.is_own(s)])
            await asyncio.sleep(self.settings.tuning.seed_interval_ms / 1_000)

    async def _measure_vitals(self, engine: Engine) -> None:
        while True:
            engine.handle_vitals(self._vitals.read())
            await asyncio.sleep(self.settings.tuning.vitals_interval_ms / 1_000)

    async def _flush_trace(self, trace: Trace) -> None:
        while True:
            await asyncio.sleep(_TRACE_FLUSH_S)
            with suppress(OSError):
                trace.flush()

    def _tell(self, name: str, **fields: str | int) -> None:
        self._log.write(Event(name, fields))


async def _told(begin: Callable[[Tell], None]) -> Result:
    """What ``begin`` tells, awaited."""
    future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def tell(result: Result | KvGossipError) -> None:
        if future.done():
            return  # nobody is waiting any more
        if isinstance(result, KvGossipError):
            future.set_exception(result)
        else:
            future.set_result(result)

    begin(tell)
    return await future
