"""One node without a world: the sans-I/O replica.

Inputs are plain calls with the time; effects are values, taken by ``take_effects``. The replica composes the
machines of ``protocol/``: it decodes what comes, hands it to the machine concerned, merges entries through
``Staging``, and tells whoever waits once they are durable.

The rule that makes the others simple: nothing leaves before it is durable. Whatever is sent is read from
committed rows and clocks; answers that were decided on staged rows wait for their batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

import kvgossip
from kvgossip.config import STAMP_MS_MAX, Tuning
from kvgossip.errors import CorruptRowError, RemoteError, StoreError
from kvgossip.model.dot import VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address, Key, ReplicaId, StartNumber, format_id
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.stamp import stamp_ms
from kvgossip.model.value import Value
from kvgossip.node.commits import explain_failure
from kvgossip.node.convergence import ConvergenceChecks
from kvgossip.node.copies import META_REISSUE, OldDots, Reissue
from kvgossip.node.effects import (
    Commit,
    Condition,
    Done,
    Effect,
    Event,
    Left,
    Notify,
    Now,
    Refusal,
    Refused,
    Replicated,
    Send,
    Ticket,
    Visible,
)
from kvgossip.node.exchanges import Exchanges
from kvgossip.node.identity import next_identity
from kvgossip.node.leaving import Leaving
from kvgossip.node.local_writes import NO_CONDITION, format_etag, stage_write
from kvgossip.node.merging import Merging
from kvgossip.node.myself import Myself
from kvgossip.node.peers import WITHOUT_WORD, Peers
from kvgossip.node.recount import Recount
from kvgossip.node.rows import Rows
from kvgossip.node.staging import Staged, Staging
from kvgossip.node.status import Checked, MemberRoot, MemberStatus, Status
from kvgossip.node.traffic import Traffic
from kvgossip.node.waiters import FetchOrigin, GiveOrigin, MergeJob, RumorOrigin
from kvgossip.protocol.membership import MemberChange
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.rumor import RumorMonger
from kvgossip.protocol.transfer import ChunkServer, Transfers
from kvgossip.store.base import Batch, Store
from kvgossip.wire import codec
from kvgossip.wire import messages as m

RESTAGE_MS = 1_000
_BULK = (m.RumorPush, m.Compared, m.Fetched, m.Give, m.Chunk)


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """What a node is told about itself at its start."""

    name: str
    peer: Address
    api: str
    seeds: tuple[Address, ...] = ()
    tuning: Tuning = field(default_factory=Tuning)
    announces_visible: bool = False
    """Notify ``Visible`` for every row that a commit shows; for traces."""


class Replica:
    """See the module. Not for more than one thread."""

    def __init__(
        self,
        profile: NodeProfile,
        *,
        store: Store,
        secret: ClusterSecret,
        rng: Random,
        start_number: StartNumber,
        now: Now,
        is_new_replica: bool = False,
    ) -> None:
        """Adopt what ``store`` holds. The first effect is a ``Commit`` of the new generation.

        ``is_new_replica``: the store lost committed records, so take a new replica id. Raises ``StoreError``
        or ``EncodingError`` if the store's own records cannot be read.
        """
        tuning = profile.tuning
        self._profile = profile
        self._tuning = tuning
        self._store = store
        self._secret = secret
        self._rng = rng
        identity = next_identity(store, rng, start_number, is_new_replica=is_new_replica)
        self._is_started = False
        self._read_only_because: str | None = None
        self._start_refused: Refused | None = None
        """What writes are answered while the identity of this start cannot be made durable."""
        self._restage_ms: int | None = None
        """When to write identity and members again, which a commit that failed took along."""
        self._next_ticket = 1
        self._effects: list[Effect] = []
        self._counters: dict[str, int] = {}
        self._traffic = Traffic()
        seed = secret.digest_seed
        self._outbox = outbox = Outbox()
        self._rows = Rows(store, digest_seed=seed, inline_bytes_max=tuning.inline_bytes_max)
        self._staging = Staging(store, replica=identity.replica, digest_seed=seed, tuning=tuning)
        self._me = Myself(identity, self._staging, name=profile.name, peer=profile.peer, api=profile.api)
        self._reissue: Reissue | None = None
        self._peers = Peers(
            self._me.record(),
            store,
            self._staging,
            tuning=tuning,
            rng=rng,
            outbox=outbox,
            now_ms=now.monotonic_ms,
        )
        self._effects += [Notify(event) for event in self._peers.take_garbled()]
        self._peers.membership.set_seeds(profile.seeds)
        self._rumors = RumorMonger(tuning, rng, outbox, self._load_hot)
        self._transfers = Transfers(tuning, seed, outbox)
        self._chunks = ChunkServer(seed, outbox)
        self._merging = Merging(self._staging, self._transfers, self._rumors, seed)
        self._merging.counter_at_start = self._me.counter_at_start
        self._exchanges = Exchanges(
            store,
            self._staging,
            self._merging,
            me=profile.peer,
            load=self._rows.load,
            tuning=tuning,
            rng=rng,
            outbox=outbox,
            now_ms=now.monotonic_ms,
        )
        self._recount = Recount(store, self._staging, tuning, now.monotonic_ms)
        self._leaving = Leaving(self._peers.membership, self._rumors)
        self._checks = ConvergenceChecks(self._peers.membership, self._peers.acquaintances.replica_at, outbox)
        self._me.stage()
        unfinished = store.get_meta(META_REISSUE)
        if unfinished is not None:
            self._reissue = Reissue(store, self._staging, OldDots.decode(unfinished))

    # -- inputs: clients

    def put(
        self,
        key: Key,
        value: Value,
        now: Now,
        *,
        context: VersionVector | None = None,
        condition: Condition = NO_CONDITION,
    ) -> Ticket:
        """Write. Raises ``CorruptRowError`` if the row that it would replace cannot be read."""
        return self._write(key, value, context, condition, now)

    def delete(
        self,
        key: Key,
        now: Now,
        *,
        context: VersionVector | None = None,
        condition: Condition = NO_CONDITION,
    ) -> Ticket:
        """Write a tombstone; also for a ``kv`` key that is unknown here."""
        return self._write(key, None, context, condition, now)

    def check(self, now: Now) -> Ticket:
        """Ask all members for their roots; ``Done`` carries a ``Checked`` after 2 s at the latest.

        A node whose start is not durable asks nobody and answers for nobody.
        """
        ticket = self._take_ticket()
        if not self._is_started:
            self._effects.append(Done(ticket, Checked(())))
            return ticket
        self._checks.begin(ticket, now.monotonic_ms)
        self._settle(now)
        return ticket

    def leave(self, now: Now) -> Ticket:
        """Hand on what is hot, then announce that this node leaves.

        ``Done`` carries ``Left`` after 1 s at the latest. Writes are not refused here: stop them before.
        """
        ticket = self._take_ticket()
        if not self._is_started:  # nobody has heard of this start
            self._effects.append(Done(ticket, Left(told_count=0, unshared_count=0)))
            return ticket
        self._leaving.begin(ticket, now.monotonic_ms)
        self._settle(now)
        return ticket

    # -- inputs: the world

    def receive(self, sender: Address, data: bytes, now: Now) -> None:
        """A frame from the peer at ``sender``. Never raises for what is in it: it is counted instead."""
        if not self._is_started:
            return
        try:
            message = codec.decode(data)
            self._traffic.count_received(message, len(data))
            self._receive(sender, message, now)
        except RemoteError as error:
            self._count("frames_refused")
            self._notify("frame-refused", peer=sender, reason=str(error))
        except CorruptRowError as error:
            self._note_corrupt_row(error, peer=sender)
        self._settle(now)

    def handle_timer(self, now: Now) -> None:
        """Do what is due. Called early, late or twice, it is harmless."""
        now_ms = now.monotonic_ms
        if self._restage_ms is not None and now_ms >= self._restage_ms:
            self._restage_ms = None
            self._me.stage()
            self._peers.stage_all()
        if not self._is_started:
            return
        self._peers.membership.handle_timer(now_ms)
        voted = self._peers.vote_on_clock()
        if voted is not None:
            self._effects.append(Notify(voted))
        if self._reissue is not None:
            self._step_reissue(self._reissue)
        else:
            self._rumors.handle_timer(now_ms)
            self._exchanges.handle_timer(now_ms, can_ask=self._read_only_because is None)
            self._chunks.handle_timer(now_ms)
            if self._read_only_because is None:
                self._step_recount(now_ms)
            for outcome in self._transfers.handle_timer(now_ms):
                self._merging.take_outcome(outcome, self._corrected(now))
        self._settle(now)

    def handle_connected(self, to: Address, now: Now) -> None:
        """There is a new connection with ``to``, whoever opened it."""
        if self._is_started:
            self._peers.acquaintances.greet(to, self._me.known())
            self._settle(now)

    def handle_send_failed(self, to: Address, now: Now) -> None:
        """Some frames for ``to`` were dropped. Anti-entropy mends what they carried."""
        self._count("sends_failed")
        self._peers.handle_send_failed(to)
        self._rumors.handle_send_failed(to, now.monotonic_ms)
        self._settle(now)

    def handle_seeds(self, seeds: Sequence[Address], now: Now) -> None:
        """The seeds, resolved anew."""
        self._peers.membership.set_seeds(seeds)

    def handle_committed(self, batch: Batch, now: Now) -> None:
        """The batch of the last ``Commit`` is durable."""
        staged = self._staging.finish_commit(batch)
        self._is_started, self._start_refused = True, None
        lags_ms = [
            max(self.wall_ms(now) - stamp_ms(row.entry.stamp), 0)
            for row in staged.rows.values()
            if row.source is not None
        ]
        if lags_ms:
            self._effects.append(Notify(Replicated(tuple(lags_ms))))
        for key, row in staged.rows.items():
            if row.becomes_hot:
                self._rumors.make_hot(key, row.digest, row.source, now.monotonic_ms)
            if self._profile.announces_visible:
                self._effects.append(Notify(Visible(key, row.entry.dots())))
        self._answer(staged, now)
        self._settle(now)

    def handle_commit_failed(self, batch: Batch, error: StoreError, now: Now) -> None:
        """The batch was not stored, or nobody knows. Everything staged on top of it is refused."""
        failure = explain_failure(error)
        if failure.is_final and self._read_only_because is None:
            self._read_only_because = failure.detail
        if not self._is_started:
            detail = f"{failure.detail}. Until then this node serves reads and does not talk to its peers"
            self._start_refused = Refused(failure.refusals[0], detail)
        self._notify("commit-failed", reason=failure.detail, final=int(failure.is_final))
        dropped_jobs = self._merging.take_unstaged()
        for staged, reason in zip(self._staging.discard(), failure.refusals, strict=False):
            for ticket, _ in staged.results:
                self._effects.append(Done(ticket, Refused(reason, failure.detail)))
            dropped_jobs += staged.waiters
        for job in dropped_jobs:
            if isinstance(job.origin, FetchOrigin):
                self._exchanges.break_off()
            elif isinstance(job.origin, GiveOrigin):
                self._exchanges.refuse_give(job.sender, job.origin.session)
        if self._reissue is not None:
            self._reissue = Reissue(self._store, self._staging, self._reissue.old)
        if not failure.is_final:
            self._restage_ms = now.monotonic_ms + RESTAGE_MS
        self._settle(now)

    # -- queries, of committed rows only

    def get(self, key: Key) -> Entry | None:
        """Raises ``CorruptRowError``."""
        return self._rows.get(key)

    def read(self, key: Key) -> tuple[Entry, str] | None:
        """An entry and its version, which is the same on every node that holds the same.

        Raises ``CorruptRowError``.
        """
        return self._rows.read(key)

    def scan(
        self, start: Key, end: Key | None, *, rows_max: int, bytes_max: int, reverse: bool = False
    ) -> list[tuple[Key, Entry, str]]:
        """Keys in order with their entries and versions, as ``Store.scan`` finds them; tombstones included.

        Raises ``CorruptRowError``.
        """
        return self._rows.scan(start, end, rows_max=rows_max, bytes_max=bytes_max, reverse=reverse)

    def status(self) -> Status:
        root = self._store.tree.root
        return Status(
            name=self._profile.name,
            cluster=self._secret.cluster,
            software=kvgossip.__version__,
            replica=self._me.identity.replica,
            generation=self._me.identity.generation,
            start_number=self._me.identity.start_number,
            root=format_etag(root.sum),
            entry_count=root.row_count,
            clock=self._staging.committed_clock,
            is_started=self._is_started,
            read_only_because=self.read_only_because,
            clock_correction_ms=self._peers.offsets.correction_ms,
            hot_rumor_count=self._rumors.hot_count,
            census=self._recount.census,
            counters=self._read_counters(),
        )

    @property
    def read_only_because(self) -> str | None:
        """Why this node takes no writes: a commit whose outcome is unknown, or a start on a full disk."""
        if self._read_only_because is not None or self._start_refused is None:
            return self._read_only_because
        return self._start_refused.detail

    @property
    def clock_correction_ms(self) -> int:
        """What is added to this node's wall clock, because most others' differ from it; mostly 0."""
        return self._peers.offsets.correction_ms

    def wall_ms(self, now: Now) -> int:
        """The wall time that stamps and expiries go by: this node's clock, or most others' if it is wrong."""
        return now.wall_ms + self._peers.offsets.correction_ms

    def clock_offset_ms(self, replica: ReplicaId) -> int | None:
        """How far the raw clock of a member is ahead of this node's; None if it never told."""
        return self._peers.offsets.offset_ms(replica)

    def members(self, now: Now) -> list[MemberStatus]:
        """This node first, then the others by name."""
        return self._peers.statuses(now)

    # -- outputs

    def take_effects(self) -> list[Effect]:
        """Everything to be done since the last call, in order."""
        batch = self._staging.begin_commit() if self._read_only_because is None else None
        if batch is not None:
            self._effects.append(Commit(batch))
        taken, self._effects = self._effects, []
        return taken

    def next_deadline_ms(self) -> int | None:
        """On the monotonic clock; None if nothing is due."""
        if not self._is_started:
            return self._restage_ms
        if self._reissue is not None and self._staging.is_idle:
            return 0
        if self._reissue is not None:
            return self._peers.membership.next_deadline_ms()
        deadlines = [
            self._peers.membership.next_deadline_ms(),
            self._rumors.next_deadline_ms(),
            self._exchanges.next_deadline_ms(can_ask=self._read_only_because is None),
            self._transfers.next_deadline_ms(),
            self._chunks.next_deadline_ms(),
            self._checks.next_deadline_ms(),
            self._leaving.next_deadline_ms(),
            self._recount.next_deadline_ms() if self._read_only_because is None else None,
        ]
        if self._restage_ms is not None:
            deadlines.append(self._restage_ms)
        return min(deadline for deadline in deadlines if deadline is not None)

    def check_invariants(self) -> None:
        self._staging.check_invariants()
        self._peers.membership.check_invariants()
        self._rumors.check_invariants()
        self._transfers.check_invariants()
        self._exchanges.check_invariants()

    # -- local writes

    def _write(
        self,
        key: Key,
        value: Value | None,
        context: VersionVector | None,
        condition: Condition,
        now: Now,
    ) -> Ticket:
        ticket = self._take_ticket()
        refused = self._refusal(context)
        if refused is not None:
            self._effects.append(Done(ticket, refused))
            return ticket
        result = stage_write(
            self._staging, key, value, context, condition, self._corrected(now), self._secret.digest_seed
        )
        self._staging.answer(ticket, result)
        if isinstance(result, Refused):
            self._settle(now)
        return ticket

    def _refusal(self, context: VersionVector | None) -> Refused | None:
        me = self._me.identity.replica
        if context is not None and context.counter(me) > self._staging.own_counter:
            self._found_copy("a client's context names writes of this replica that it does not hold")
        if self._read_only_because is not None:
            return Refused(Refusal.READ_ONLY, self._read_only_because)
        if self._start_refused is not None:
            return self._start_refused
        if self._staging.bytes_staged > self._tuning.staged_bytes_max:
            limit = self._tuning.staged_bytes_max
            return Refused(Refusal.OVERLOADED, f"{limit} bytes wait for the disk already: try again")
        return None

    def _take_ticket(self) -> Ticket:
        self._next_ticket += 1
        return Ticket(self._next_ticket - 1)

    # -- messages

    def _receive(self, sender: Address, message: m.Message, now: Now) -> None:
        now_ms = now.monotonic_ms
        if isinstance(message, m.Hello):
            self._take_hello(sender, message, now)
            return
        if not self._peers.accepts(sender, message):
            self._count("frames_before_hello")
            self._peers.acquaintances.greet(sender, self._me.known())
            return
        if self._rumors.handle_heard(sender):
            self._exchanges.schedule.want(sender, now_ms)
        self._exchanges.handle_heard(sender, now_ms)
        self._dispatch(sender, message, now)
        self._peers.handle_heard(sender, now_ms)

    def _dispatch(self, sender: Address, message: m.Message, now: Now) -> None:
        now_ms = now.monotonic_ms
        match message:
            case m.MemberSyn() | m.MemberAck() | m.MemberAck2():
                self._peers.receive(sender, message, now)
            case _ if self._reissue is not None:
                pass  # no data until this node is sure of its dots; the sender tries again
            case m.RumorPush():
                if self._can_merge():
                    origin = RumorOrigin(message.sequence)
                    self._merging.begin(sender, origin, message.entries, message.offers, self._corrected(now))
            case m.RumorAnswer():
                self._rumors.handle_answer(sender, message, now_ms)
            case m.RumorPull():
                self._rumors.handle_pull(sender, now_ms)
            case m.ChunkAsk():
                self._chunks.answer(sender, message, self._store.get, now_ms)
            case m.Chunk():
                outcome = self._transfers.handle_chunk(sender, message, now_ms)
                if outcome is not None:
                    self._merging.take_outcome(outcome, self._corrected(now))
            case m.RootAsk():
                self._answer_root_ask(sender, message)
            case m.RootAnswer():
                self._checks.handle_answer(sender, message)
            case m.Hello():
                raise AssertionError("taken before")
            case _:
                self._exchanges.receive(sender, message, self._corrected(now), can_merge=self._can_merge())

    def _take_hello(self, sender: Address, hello: m.Hello, now: Now) -> None:
        is_new, copied = self._peers.receive_hello(
            sender, hello, self._me.known(), counter_told=self._me.counter_told
        )
        if copied is not None:
            self._found_copy(copied)
            self._peers.acquaintances.greet(sender, self._me.known())
        if is_new:
            self._exchanges.handle_new_start(sender)
        self._peers.handle_heard(sender, now.monotonic_ms)

    def _answer_root_ask(self, sender: Address, ask: m.RootAsk) -> None:
        root = self._store.tree.root
        clock_hash = self._staging.committed_clock_hash
        self._outbox.send(sender, m.RootAnswer(ask.sequence, root.sum, root.row_count, clock_hash))

    def _can_merge(self) -> bool:
        """False while nothing can be staged; what came is dropped, and its sender tries again."""
        return self._read_only_because is None and self._staging.bytes_staged <= self._tuning.staged_bytes_max

    # -- after every input

    def _settle(self, now: Now) -> None:
        """Let the machines react to each other until nothing is left to do, then collect what is sent."""
        now_ms = now.monotonic_ms
        for event in self._merging.take_events():
            self._effects.append(Notify(event))
        if self._merging.found_copy:
            self._merging.found_copy = False
            self._found_copy("a peer holds writes of this replica that it did not issue")
        if self._peers.membership.found_copy:
            self._peers.membership.found_copy = False
            self._found_copy("a later start of the same replica is a member")
        for change, event in self._peers.take_changes():
            self._effects.append(Notify(event))
            if change.kind in ("alive", "down"):
                self._take_target_change(change, now_ms)
        if self._rumors.was_dropped:
            self._rumors.was_dropped = False
            self._exchanges.schedule.want_any(now_ms)
        self._exchanges.schedule.handle_progress(now_ms)
        self._effects += self._checks.take_ended(now_ms, self._my_root)
        self._effects += self._leaving.take_ended(now_ms)
        answered = self._staging.take_answers()
        if answered is not None:
            self._answer(answered, now)
            self._exchanges.schedule.handle_progress(now_ms)
        for to, message in self._outbox.take():
            for ready in self._peers.outgoing(to, message, self._me.known()):
                if not isinstance(ready, WITHOUT_WORD):
                    self._me.note_told()
                if isinstance(ready, m.MemberSyn | m.MemberAck):
                    ready = replace(ready, wall_ms=min(now.wall_ms, STAMP_MS_MAX))
                data = codec.encode(ready)
                self._traffic.count_sent(ready, len(data))
                self._effects.append(Send(to, data, isinstance(ready, _BULK)))

    def _answer(self, staged: Staged, now: Now) -> None:
        """What ``staged`` held is durable: tell whoever waits."""
        for ticket, result in staged.results:
            self._effects.append(Done(ticket, result))
        for job in staged.waiters:
            self._end_job(job, now)

    def _end_job(self, job: MergeJob, now: Now) -> None:
        now_ms = now.monotonic_ms
        if isinstance(job.origin, RumorOrigin):
            self._count("entries_by_rumor", job.news_count)
        else:
            self._count("entries_by_exchange", job.news_count)
        becomes_hot = True
        match job.origin:
            case RumorOrigin(sequence):
                self._outbox.send(job.sender, m.RumorAnswer(sequence, bytes(job.was_news)))
            case FetchOrigin() as origin:
                try:
                    becomes_hot = self._exchanges.end_fetch(job, origin, now_ms)
                except CorruptRowError as error:  # the exchange is broken; others wait for this batch, too
                    self._note_corrupt_row(error, peer=job.sender)
            case GiveOrigin() as origin:
                becomes_hot = self._exchanges.end_give(job, origin)
        if becomes_hot:
            for key, digest in job.news:
                self._rumors.make_hot(key, digest, job.sender, now_ms)

    def _take_target_change(self, change: MemberChange, now_ms: int) -> None:
        """A member came to life or fell silent: it is, or is no longer, somebody to talk to."""
        live = self._peers.membership.live_addresses()
        self._rumors.set_targets(live)
        self._exchanges.schedule.set_targets(live)
        if change.kind == "alive":
            self._exchanges.meet(change.member.peer, now_ms)

    # -- state of this node

    def _corrected(self, now: Now) -> Now:
        correction_ms = self._peers.offsets.correction_ms
        return now if correction_ms == 0 else Now(now.monotonic_ms, now.wall_ms + correction_ms)

    def _my_root(self) -> MemberRoot:
        root = self._store.tree.root
        clock_hash = format_etag(self._staging.committed_clock_hash)
        replica, name = self._me.identity.replica, self._profile.name
        return MemberRoot(replica, name, "alive", format_etag(root.sum), root.row_count, clock_hash)

    def _found_copy(self, how: str) -> None:
        """This data directory is a copy of another: go on as a new replica (see ``node/copies.py``)."""
        if self._read_only_because is not None or self._reissue is not None:
            return
        old = self._me.renew(self._rng)
        self._notify("copy-found", reason=how, replica=format_id(self._me.identity.replica))
        self._merging.counter_at_start = 0
        self._peers.handle_new_identity(self._me.record())
        self._exchanges.break_off()
        self._reissue = Reissue(self._store, self._staging, old)

    def _step_reissue(self, reissue: Reissue) -> None:
        if not reissue.is_walked:
            try:
                reissue.step()
            except CorruptRowError as error:
                self._note_corrupt_row(error)
        elif self._staging.is_idle and reissue.finish():
            self._notify("writes-reissued", entries=reissue.reissued_count)
            self._reissue = None

    def _step_recount(self, now_ms: int) -> None:
        """Compare a part of the tree with its rows; a difference is mended and told."""
        for found in self._recount.handle_timer(now_ms):
            if isinstance(found, CorruptRowError):
                self._note_corrupt_row(found)
            else:
                self._notify("tree-mended", range=found.range, rows=found.row_delta)

    def _load_hot(self, key: Key) -> m.Carried | m.Offer | None:
        """The same for a rumor, which is over if its row cannot be read: exchanges repair the row."""
        try:
            return self._rows.load(key)
        except CorruptRowError as error:
            self._note_corrupt_row(error)
            return None

    def _note_corrupt_row(self, error: CorruptRowError, **fields: str) -> None:
        self._count("corrupt_rows")
        self._notify("row-corrupt", reason=str(error), **fields)

    def _count(self, name: str, by: int = 1) -> None:
        self._counters[name] = self._counters.get(name, 0) + by

    def _notify(self, name: str, **fields: str | int) -> None:
        self._effects.append(Notify(Event(name, fields)))

    def _read_counters(self) -> dict[str, int]:
        return {
            **self._counters,
            **self._traffic.counters(),
            "rumors_sent": self._rumors.sent_count,
            "rumors_useful": self._rumors.useful_count,
            "rumors_removed": self._rumors.removed_count,
            "exchanges_completed": self._exchanges.schedule.completed_count,
            "exchanges_broken": self._exchanges.schedule.broken_count,
            "exchanges_put_off": self._exchanges.schedule.put_off_count,
            "entries_refused": self._merging.refused_count,
            "recounts": self._recount.completed_count,
            "recount_differences": self._recount.difference_count,
            "stamps_ahead": self._staging.stamps_ahead,
            "stamps_given_up": self._staging.stamps_given_up,
        }
