"""One node without a world: the sans-I/O replica.

Inputs are plain calls with the time; effects are values, taken by ``take_effects``. The replica composes the
machines of ``protocol/`` (``node/parts.py``): what comes is handed to the machine concerned
(``node/dispatch.py``), entries are merged through ``Staging``, and whoever waits is told once they are
durable (``node/commits.py``). After every input the machines react to each other (``node/settling.py``).

The rule that makes the others simple: nothing leaves before it is durable. Whatever is sent is read from
committed rows and clocks; answers that were decided on staged rows wait for their batch.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import kvgossip
from kvgossip.errors import CorruptRowError, EncodingError, StoreError
from kvgossip.model.aggregate import Aggregate
from kvgossip.model.dot import VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address, Key, ReplicaId, StartNumber
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.value import Value
from kvgossip.node.counters import read_counters
from kvgossip.node.effects import (
    Commit,
    Condition,
    Done,
    Effect,
    Left,
    Now,
    Outcomes,
    Refused,
    Ticket,
    Written,
)
from kvgossip.node.identity import next_identity
from kvgossip.node.local_writes import NO_CONDITION, Write, format_etag, stage_write
from kvgossip.node.parts import join_machines, make_machines
from kvgossip.node.profile import NodeProfile
from kvgossip.node.rows import RowError
from kvgossip.node.staging import NOTHING_AHEAD
from kvgossip.node.status import Checked, MemberStatus, Status
from kvgossip.node.vital_signs import Vitals
from kvgossip.store.base import Batch, Store
from kvgossip.wire import messages as m

__all__ = ["NodeProfile", "Replica"]


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
        self._profile = profile
        self._store = store
        self._secret = secret
        self._next_ticket = 1
        identity = next_identity(store, rng, start_number, is_new_replica=is_new_replica)
        machines = make_machines(
            profile,
            identity,
            store=store,
            digest_seed=secret.digest_seed,
            rng=rng,
            load_hot=self._load_hot,
            now_ms=now.monotonic_ms,
        )
        self._machines = machines
        self._journal = machines.journal
        self._rows = machines.rows
        self._staging = machines.staging
        self._admission = machines.admission
        self._clock = machines.clock
        self._me = machines.me
        self._peers = machines.peers
        self._rumors = machines.rumors
        self._merging = machines.merging
        self._exchanges = machines.exchanges
        for event in self._peers.take_garbled():
            self._journal.notify(event)
        self._me.stage()
        self._joints = joints = join_machines(machines, rng, announces_visible=profile.announces_visible)
        self._copies = joints.copies
        self._meeting = joints.meeting
        self._commits = joints.commits
        self._meeting.set_seeds(profile.seeds)

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
        return self._write_alone(Write(key, value, context, condition), now)

    def delete(
        self,
        key: Key,
        now: Now,
        *,
        context: VersionVector | None = None,
        condition: Condition = NO_CONDITION,
    ) -> Ticket:
        """Write a tombstone; also for a ``kv`` key that is unknown here."""
        return self._write_alone(Write(key, None, context, condition), now)

    def write(self, writes: Sequence[Write], now: Now) -> Ticket:
        """Many writes in order, each for itself. ``Done`` carries their ``Outcomes`` once all are durable."""
        ticket = self._take_ticket()
        for write in writes:
            if write.context is not None:
                self._copies.look_at_context(write.context)
        refused = self._admission.refusal()
        if refused is not None:
            self._journal.add(Done(ticket, Outcomes.refused(refused, len(writes))))
            return ticket
        ahead = self._staging.read_ahead([write.key for write in writes])
        corrected, seed = self._clock.corrected(now), self._secret.digest_seed
        outcomes: list[Written | Refused | RowError] = []
        for write in writes:
            try:
                self._copies.prepare_write(write.key)
                outcomes.append(stage_write(self._staging, write, corrected, seed, ahead))
            except (CorruptRowError, EncodingError) as error:
                outcomes.append(error)
        self._staging.answer(ticket, Outcomes(tuple(outcomes)))
        self._settle(now)
        return ticket

    def check(self, now: Now) -> Ticket:
        """Ask all members for their roots; ``Done`` carries a ``Checked`` after 2 s at the latest.

        A node whose start is not durable asks nobody and answers for nobody.
        """
        ticket = self._take_ticket()
        if not self._admission.is_started:
            self._journal.add(Done(ticket, Checked(())))
            return ticket
        self._joints.checks.begin(ticket, now.monotonic_ms)
        self._settle(now)
        return ticket

    def leave(self, now: Now) -> Ticket:
        """Hand on what is hot, then announce that this node leaves.

        ``Done`` carries ``Left`` after 1 s at the latest. Writes are not refused here: stop them before.
        """
        ticket = self._take_ticket()
        if not self._admission.is_started:  # nobody has heard of this start
            self._journal.add(Done(ticket, Left(told_count=0, unshared_count=0)))
            return ticket
        self._joints.leaving.begin(ticket, now.monotonic_ms)
        self._settle(now)
        return ticket

    def set_tags(self, tags: tuple[tuple[str, str], ...], now: Now) -> None:
        """Tell the cluster other tags, sorted by key, until the next start.

        Raises ``EncodingError`` if there are too many, or one is too long or not printable; nothing changes.
        """
        table = self._peers.membership.table
        me = replace(table.me, tags=tags)
        me.check()
        table.set_me(me)
        self._settle(now)

    def forget(self, replica: ReplicaId, now: Now) -> bool:
        """Have the cluster forget a member that is down or has left. False if it is present, or unknown."""
        is_forgotten = self._peers.membership.forget(replica)
        self._settle(now)
        return is_forgotten

    # -- inputs: the world

    def receive(self, sender: Address, data: bytes, now: Now) -> None:
        """A frame from the peer at ``sender``. Never raises for what is in it: it is counted instead."""
        if self._admission.is_started:
            self._joints.dispatch.receive(sender, data, now)
            self._settle(now)

    def handle_late(self, now: Now) -> None:
        """What is due is late: told before what came meanwhile, and ``handle_timer`` after that."""
        if self._admission.is_started:
            self._meeting.handle_late(now.monotonic_ms)

    def handle_timer(self, now: Now) -> None:
        """Do what is due. Called early, late or twice, it is harmless."""
        now_ms = now.monotonic_ms
        self._commits.handle_timer(now_ms)
        if not self._admission.is_started:
            return
        self._meeting.handle_timer(now)
        if self._copies.is_reissuing:
            self._copies.step()
        else:
            can_ask = not self._admission.is_closed
            self._rumors.handle_timer(now_ms)
            self._exchanges.handle_timer(now_ms, can_ask=can_ask)
            self._machines.chunks.handle_timer(now_ms)
            self._machines.aggregation.handle_timer(now_ms)
            if can_ask:
                self._step_recount(now_ms)
            self._merging.handle_timer(self._clock.corrected(now))
        self._settle(now)

    def handle_connected(self, to: Address, now: Now) -> None:
        """There is a new connection with ``to``, whoever opened it."""
        if self._admission.is_started:
            self._meeting.greet(to)
            self._settle(now)

    def handle_send_failed(self, to: Address, now: Now) -> None:
        """Some frames for ``to`` were dropped. Anti-entropy mends what they carried."""
        self._journal.count("sends_failed")
        self._meeting.handle_send_failed(to, now.monotonic_ms)
        self._rumors.handle_send_failed(to, now.monotonic_ms)
        self._settle(now)

    def handle_seeds(self, seeds: Sequence[Address], now: Now) -> None:
        """The seeds, resolved anew."""
        self._meeting.set_seeds(seeds)

    def handle_vitals(self, vitals: Vitals, now: Now) -> None:
        """What the runtime has measured of its process and machine; every some seconds."""
        if self._admission.is_started:
            self._machines.vitals.handle_vitals(vitals, now)
            self._settle(now)

    def handle_committed(self, batch: Batch, now: Now) -> None:
        """The batch of the last ``Commit`` is durable."""
        self._commits.finish(batch, now)
        self._settle(now)

    def handle_commit_failed(self, batch: Batch, error: StoreError, now: Now) -> None:
        """The batch was not stored, or nobody knows. Everything staged on top of it is refused."""
        self._commits.fail(error, now.monotonic_ms)
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

    def read_many(self, keys: Sequence[Key]) -> list[tuple[Entry, str] | RowError | None]:
        """What ``read`` returns or raises for each of ``keys``, for half of what that costs."""
        return self._rows.read_many(keys)

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
            is_started=self._admission.is_started,
            read_only_because=self.read_only_because,
            clock_correction_ms=self._clock.correction_ms,
            hot_rumor_count=self._rumors.hot_count,
            census=self._machines.recount.census,
            counters=read_counters(self._machines),
        )

    @property
    def read_only_because(self) -> str | None:
        """Why this node takes no writes: a commit whose outcome is unknown, or a start on a full disk."""
        return self._admission.read_only_because

    @property
    def troubles(self) -> tuple[str, ...]:
        """Why the others do not choose this node to serve, as it last told them."""
        return self._peers.membership.table.me.troubles

    @property
    def clock_correction_ms(self) -> int:
        """What is added to this node's wall clock, because most others' differ from it; mostly 0."""
        return self._clock.correction_ms

    def wall_ms(self, now: Now) -> int:
        """The wall time that stamps and expiries go by: this node's clock, or most others' if it is wrong."""
        return self._clock.wall_ms(now)

    def clock_offset_ms(self, replica: ReplicaId) -> int | None:
        """How far the raw clock of a member is ahead of this node's; None if it never told."""
        return self._peers.offsets.offset_ms(replica)

    def members(self, now: Now) -> list[MemberStatus]:
        """This node first, then the others by name."""
        return self._peers.statuses(now)

    def aggregate(self, metric: str, now: Now) -> Aggregate | None:
        """A metric over the cluster, as this node estimated it last; None before the first estimate.

        Raises ``ValueError`` for an unknown metric: they are ``METRICS`` of ``model/aggregate.py``.
        """
        return self._machines.aggregation.aggregate(metric, now.monotonic_ms)

    def sample_member(self, now: Now) -> MemberStatus | None:
        """One random member that is live and fit, other than this node; None if there is none."""
        return self._peers.sample(now)

    # -- outputs

    def take_effects(self) -> list[Effect]:
        """Everything to be done since the last call, in order."""
        batch = None if self._admission.is_closed else self._staging.begin_commit()
        if batch is not None:
            self._journal.add(Commit(batch))
        return self._journal.take()

    def next_deadline_ms(self) -> int | None:
        """On the monotonic clock; None if nothing is due."""
        if not self._admission.is_started:
            return self._commits.next_deadline_ms()
        if self._copies.is_reissuing:
            return 0 if self._staging.is_idle else self._meeting.next_deadline_ms()
        can_ask = not self._admission.is_closed
        deadlines = (
            self._meeting.next_deadline_ms(),
            self._rumors.next_deadline_ms(),
            self._exchanges.next_deadline_ms(can_ask=can_ask),
            self._merging.next_deadline_ms(),
            self._machines.chunks.next_deadline_ms(),
            self._machines.aggregation.next_deadline_ms(),
            self._joints.checks.next_deadline_ms(),
            self._joints.leaving.next_deadline_ms(),
            self._machines.recount.next_deadline_ms() if can_ask else None,
            self._commits.next_deadline_ms(),
        )
        return min(deadline for deadline in deadlines if deadline is not None)

    def check_invariants(self) -> None:
        self._staging.check_invariants()
        self._meeting.check_invariants()
        self._rumors.check_invariants()
        self._merging.check_invariants()
        self._exchanges.check_invariants()
        self._machines.aggregation.check_invariants()

    # -- local writes

    def _write_alone(self, write: Write, now: Now) -> Ticket:
        ticket = self._take_ticket()
        self._copies.look_at_context(write.context)
        refused = self._admission.refusal()
        if refused is not None:
            self._journal.add(Done(ticket, refused))
            return ticket
        self._copies.prepare_write(write.key)
        corrected, seed = self._clock.corrected(now), self._secret.digest_seed
        result = stage_write(self._staging, write, corrected, seed, NOTHING_AHEAD)
        self._staging.answer(ticket, result)
        if isinstance(result, Refused):
            self._settle(now)
        return ticket

    def _take_ticket(self) -> Ticket:
        self._next_ticket += 1
        return Ticket(self._next_ticket - 1)

    # -- private

    def _settle(self, now: Now) -> None:
        self._joints.settling.settle(now)

    def _step_recount(self, now_ms: int) -> None:
        """Compare a part of the tree with its rows; a difference is mended and told."""
        for found in self._machines.recount.handle_timer(now_ms):
            if isinstance(found, CorruptRowError):
                self._journal.tell_corrupt_row(found)
            else:
                self._journal.tell("tree-mended", range=found.range, rows=found.row_delta)

    def _load_hot(self, key: Key) -> m.Carried | m.Offer | None:
        """What a rumor carries. It is over if its row cannot be read: exchanges repair the row."""
        try:
            return self._rows.load(key, self._profile.tuning.rumor_inline_bytes_max)
        except CorruptRowError as error:
            self._journal.tell_corrupt_row(error)
            return None
