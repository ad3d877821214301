"""Staging: group commit, and the state that a writing path sees.

Writes gather while a batch is in flight; then one batch goes out with all of them, the node clock and the
last stamp in it. A path that writes sees the rows staged before it; readers see committed rows only. What was
decided on staged rows is answered when their batch is durable, even if it was a refusal.

If a commit fails for certain, everything staged is discarded, because later rows were built on it, and the
clock goes back to the committed one. If its outcome is unknown, the node takes no more writes.

Invariants: at most one batch is in flight. ``committed_clock`` speaks for committed rows only; ``clock`` for
the staged ones as well. The counters of this replica's own dots have no holes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kvgossip.config import Tuning
from kvgossip.errors import CorruptRowError
from kvgossip.model.clock import NodeClock
from kvgossip.model.digest import bytes_digest, entry_digest, key_hash
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import decode_clock, encode_clock, peek_stamp
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address, Key, ReplicaId
from kvgossip.model.stamp import STAMP_ZERO, Stamp, next_stamp, observe_stamp, stamp_ms
from kvgossip.node.effects import Now, Result, Ticket
from kvgossip.node.waiters import Waiter
from kvgossip.store.base import Batch, Change, Mark, Place, Store
from kvgossip.store.merkle import Mend

META_CLOCK = "clock"
META_STAMP = "stamp"

Ahead = Mapping[Key, bytes | None]
"""Committed rows that were read together; None where there is none."""
NOTHING_AHEAD: Ahead = {}
Marks = Mapping[Key, Mark | None]
"""Their marks."""


@dataclass(slots=True)
class StagedRow:
    """An entry that waits for the disk. ``source``: the peer it came from, None for a client."""

    entry: Entry
    data: bytes
    digest: int
    old_digest: int | None
    source: Address | None
    becomes_hot: bool


@dataclass(slots=True)
class Staged:
    """What becomes durable together, and who waits for it."""

    clock: NodeClock
    stamp: Stamp
    dots: set[Dot] = field(default_factory=set)
    """Dots that are to enter the clock: all at once when the batch goes out, which is much cheaper."""
    rows: dict[Key, StagedRow] = field(default_factory=dict)
    meta: dict[str, bytes | None] = field(default_factory=dict)
    mends: list[Mend] = field(default_factory=list)
    results: list[tuple[Ticket, Result]] = field(default_factory=list)
    waiters: list[Waiter] = field(default_factory=list)
    bytes_count: int = 0

    @property
    def has_answers(self) -> bool:
        return bool(self.results or self.waiters)


class Staging:
    """The committed state of a store with up to two batches on top: one in flight, one gathering."""

    def __init__(self, store: Store, *, replica: ReplicaId, digest_seed: int, tuning: Tuning) -> None:
        self._store = store
        self.replica = replica
        self._seed = digest_seed
        self._tuning = tuning
        clock = store.get_meta(META_CLOCK)
        stamp = store.get_meta(META_STAMP)
        self.committed_clock = NodeClock() if clock is None else decode_clock(clock)
        self.committed_clock_hash = self._hash_of(self.committed_clock)
        self._committed_stamp = STAMP_ZERO if stamp is None else Stamp(int.from_bytes(stamp, "big"))
        self._in_flight: Staged | None = None
        self._gathering = Staged(self.committed_clock, self._committed_stamp)
        self._own_counter = self.committed_clock.greatest(replica)
        self.stamps_given_up = 0
        self.stamps_ahead = 0

    # -- what a writing path sees

    @property
    def clock(self) -> NodeClock:
        """The clock with all dots staged so far; see ``holds`` for the cheap question."""
        staged = self._gathering
        if staged.dots:
            staged.clock = staged.clock.with_dots(staged.dots)
            staged.dots = set()
        return staged.clock

    @property
    def own_counter(self) -> int:
        """The greatest counter that this replica has issued, staged writes included."""
        return self._own_counter

    def holds(self, dots: Iterable[Dot]) -> bool:
        """True if the effect of every dot is staged or committed."""
        staged = self._gathering
        return not [dot for dot in dots if dot not in staged.dots and not staged.clock.covers(dot)]

    @property
    def bytes_staged(self) -> int:
        return self._gathering.bytes_count + (self._in_flight.bytes_count if self._in_flight else 0)

    def find(self, key: Key, ahead: Ahead = NOTHING_AHEAD) -> bytes | None:
        """The entry as the staged rows leave it; it may have been read ``ahead``.

        Raises ``CorruptRowError``.
        """
        row = self._staged_row(key)
        if row is not None:
            return row.data
        return ahead[key] if key in ahead else self._store.get(key)

    def find_mark(self, key: Key, ahead: Marks) -> Mark | None:
        """What tells whether another version is later than that. Raises ``CorruptRowError``."""
        row = self._staged_row(key)
        if row is not None:
            return Mark(row.digest, peek_stamp(key, row.data))
        return ahead[key] if key in ahead else self._store.get_marks([self._place(key)])[0]

    def read_ahead(self, keys: Sequence[Key]) -> Ahead:
        """The committed rows of those ``keys`` that nothing staged replaces: cheaper than one by one.

        They hold until the next batch is published. None of them if one cannot be read: who looks for it is
        told why.
        """
        unstaged = [key for key in keys if self._staged_row(key) is None]
        try:
            return dict(zip(unstaged, self._store.get_many(unstaged), strict=True))
        except CorruptRowError:
            return NOTHING_AHEAD

    def read_marks(self, keys: Sequence[Key]) -> Marks:
        """The marks of the same rows: cheaper still."""
        unstaged = [key for key in keys if self._staged_row(key) is None]
        try:
            marks = self._store.get_marks([self._place(key) for key in unstaged])
        except CorruptRowError:
            return {}
        return dict(zip(unstaged, marks, strict=True))

    def digest_of(self, key: Key, data: bytes) -> int:
        return entry_digest(self._seed, key, data)

    def next_dot(self) -> Dot:
        """A dot that was never issued: it is committed with its entry, or nobody has seen it."""
        return Dot(self.replica, self._own_counter + 1)

    def next_stamp(self, now: Now, *, above: Stamp) -> Stamp:
        """A stamp for a local write. Gives up a mark that is beyond the drift limit."""
        staged = self._gathering
        if stamp_ms(staged.stamp) > now.wall_ms + self._tuning.clock_drift_ms_max:
            staged.stamp = STAMP_ZERO
            self.stamps_given_up += 1
        return next_stamp(staged.stamp, wall_ms=now.wall_ms, above=above)

    def observe_stamp(self, seen: Stamp, now: Now) -> None:
        """A stamp came from elsewhere."""
        staged = self._gathering
        limit = self._tuning.clock_drift_ms_max
        if stamp_ms(seen) > now.wall_ms + limit:
            self.stamps_ahead += 1
        elif seen > staged.stamp:
            staged.stamp = observe_stamp(staged.stamp, seen, wall_ms=now.wall_ms, drift_ms_max=limit)

    # -- staging

    def stage_entry(
        self,
        key: Key,
        entry: Entry,
        data: bytes,
        *,
        replaced: int | None,
        source: Address | None,
        becomes_hot: bool,
    ) -> int:
        """Replace the entry of ``key`` by one that includes it. Its dots are staged by ``stage_dots``.

        ``replaced`` is the digest of what ``find`` answered. Returns that of the new entry.
        """
        staged = self._gathering
        before = staged.rows.get(key)
        if before is not None:
            replaced = before.old_digest
            becomes_hot = becomes_hot or before.becomes_hot
            staged.bytes_count -= len(before.data)
        digest = entry_digest(self._seed, key, data)
        staged.rows[key] = StagedRow(entry, data, digest, replaced, source, becomes_hot)
        staged.bytes_count += len(data)
        return digest

    def stage_stamp(self, stamp: Stamp) -> None:
        """The stamp of a local write was used."""
        self._gathering.stamp = max(stamp, self._gathering.stamp)

    def stage_dots(self, dots: tuple[Dot, ...]) -> None:
        """The effect of ``dots`` is held once this batch is durable."""
        staged = self._gathering
        for dot in dots:
            if not staged.clock.covers(dot):
                staged.dots.add(dot)
                if dot.replica == self.replica:
                    self._own_counter = max(self._own_counter, dot.counter)

    def stage_clock(self, clock: NodeClock) -> None:
        """Take over a peer's clock as a whole: the exchange with it is complete."""
        self._gathering.clock = self.clock.join(clock)
        self._own_counter = self._gathering.clock.greatest(self.replica)

    def renew_replica(self, replica: ReplicaId) -> None:
        """Issue dots as another replica."""
        self.replica = replica
        self._own_counter = self.clock.greatest(replica)

    def give_up_dots(self, replica: ReplicaId, *, above: int) -> None:
        """Dots of another replica id, above a counter, no longer count as held."""
        self._gathering.clock = self.clock.without(replica, above=above)

    def staged_keys(self) -> list[Key]:
        """Keys of rows that are not committed yet."""
        in_flight = {} if self._in_flight is None else self._in_flight.rows
        return list({**in_flight, **self._gathering.rows})

    @property
    def is_idle(self) -> bool:
        """True if nothing waits for the disk."""
        return self._in_flight is None and not self._is_write(self._gathering)

    def stage_meta(self, name: str, data: bytes | None) -> None:
        self._gathering.meta[name] = data

    def stage_mend(self, mend: Mend) -> None:
        """Correct the tree, which differs from the rows."""
        self._gathering.mends.append(mend)

    @property
    def is_mending(self) -> bool:
        """True while a correction of the tree waits for the disk."""
        return bool(self._gathering.mends or (self._in_flight is not None and self._in_flight.mends))

    def answer(self, ticket: Ticket, result: Result) -> None:
        """Answer with the gathering batch: the result was decided on what is staged."""
        self._gathering.results.append((ticket, result))

    def wait(self, waiter: Waiter) -> None:
        """Tell a machine when everything staged so far is durable."""
        self._gathering.waiters.append(waiter)

    # -- the commit

    def begin_commit(self) -> Batch | None:
        """The next batch for the disk, if one has gathered and none is in flight."""
        staged = self._gathering
        if self._in_flight is not None or not self._is_write(staged):
            return None
        clock = self.clock
        batch = Batch(meta=staged.meta, mends=staged.mends)
        for key, row in staged.rows.items():
            hashed = key_hash(self._seed, key)
            batch.changes.append(Change(key, hashed, row.digest, row.data, row.old_digest))
        if clock is not self.committed_clock:
            batch.meta[META_CLOCK] = encode_clock(clock)
        if staged.stamp != self._committed_stamp:
            batch.meta[META_STAMP] = staged.stamp.to_bytes(8, "big")
        self._store.prepare(batch)
        self._in_flight = staged
        self._gathering = Staged(clock, staged.stamp)
        return batch

    def finish_commit(self, batch: Batch) -> Staged:
        """The batch in flight is durable: show it to readers. Returns what it held."""
        staged = self._in_flight
        assert staged is not None
        self._store.publish(batch)
        self._in_flight = None
        if staged.clock is not self.committed_clock:
            self.committed_clock = staged.clock
            self.committed_clock_hash = self._hash_of(staged.clock)
        self._committed_stamp = staged.stamp
        return staged

    def take_answers(self) -> Staged | None:
        """Answers that need no commit: all that they were decided on is durable already."""
        staged = self._gathering
        if self._in_flight is not None or self._is_write(staged) or not staged.has_answers:
            return None
        self._gathering = Staged(staged.clock, staged.stamp)
        return staged

    def discard(self) -> list[Staged]:
        """Forget everything staged; the clock goes back to the committed one. Returns what was dropped."""
        dropped = [staged for staged in (self._in_flight, self._gathering) if staged is not None]
        self._in_flight = None
        self._gathering = Staged(self.committed_clock, self._committed_stamp)
        self._own_counter = self.committed_clock.greatest(self.replica)
        return dropped

    def check_invariants(self) -> None:
        self.committed_clock.check_invariants()
        self.clock.check_invariants()
        ranges = self.clock.ranges.get(self.replica, ())
        assert self._own_counter == self.clock.greatest(self.replica)
        assert not ranges or (len(ranges) == 1 and ranges[0][0] == 1), "a hole in our own dots"

    # -- private

    def _is_write(self, staged: Staged) -> bool:
        return bool(
            staged.rows
            or staged.meta
            or staged.mends
            or staged.dots
            or staged.clock is not self.committed_clock
        )

    def _staged_row(self, key: Key) -> StagedRow | None:
        row = self._gathering.rows.get(key)
        if row is None and self._in_flight is not None:
            row = self._in_flight.rows.get(key)
        return row

    def _place(self, key: Key) -> Place:
        return key_hash(self._seed, key), key

    def _hash_of(self, clock: NodeClock) -> int:
        return bytes_digest(self._seed, encode_clock(clock))
