"""Anti-entropy, the answering side: every request is answered from the committed rows of that moment.

What is kept of a session is the answer to its opening: the root and the clock, committed, that this node had
before the first comparison. An opening that comes twice gets the same answer, or the clock could be later
than the fingerprints that are compared. See ``protocol/exchange.py`` for the protocol and its argument.

Invariants: at most ``exchange_sessions_max`` sessions, idle ones ended after ``SESSION_IDLE_MS``; one answer
holds at most one batch of entries and ``DESCRIBED_MAX`` descriptions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvgossip.config import Tuning
from kvgossip.errors import RemoteError
from kvgossip.model.clock import NodeClock
from kvgossip.model.encoding import decode_clock, encode_clock
from kvgossip.model.ids import Address, Key
from kvgossip.protocol.exchange import CLOCK_PART_REPLICAS
from kvgossip.protocol.exchange_agenda import COMPARED_RANGES_MAX, FETCH_WEIGHT_MAX, Load
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.range_view import Beside, RangeView
from kvgossip.protocol.ranges import WHOLE, Range, checked_range, is_later, pack_ranges, unpack_pairs
from kvgossip.store.base import HashRow, Store
from kvgossip.wire.messages import (
    Carried,
    ClockShare,
    ClockShared,
    Compare,
    Compared,
    ExchangeOpen,
    ExchangeOpened,
    ExchangeOver,
    ExchangeRequest,
    Fetch,
    Fetched,
    Give,
    Given,
    Offer,
)

SESSION_IDLE_MS = 30_000
ACTIVE_MS = 3_000
"""A session that asked nothing for this long no longer keeps others away, and gives way if room is short."""
DESCRIBED_MAX = 128
OFFERS_MAX = 4
READ_FIRST = 4
"""Entries that are read before it is known how large they are."""

ReadClock = Callable[[], tuple[NodeClock, int]]
"""The committed node clock and its hash."""


@dataclass(slots=True)
class _Session:
    """What stands for one exchange of another node."""

    opened: ExchangeOpened
    view: RangeView
    clock: NodeClock
    idle_at_ms: int
    may_bring: bool
    """It may give entries to this node, as long as it is not over."""
    active_ms: int
    brought_count: int = 0


@dataclass(slots=True)
class _Parcel:
    """Entries of one answer, closed at the limits of a batch."""

    tuning: Tuning
    entries: list[Carried]
    offers: list[Offer]
    size: int = 0

    def add(self, item: Carried | Offer | None) -> None:
        if isinstance(item, Carried):
            self.entries.append(item)
            self.size += len(item.key) + len(item.data)
        elif item is not None:
            self.offers.append(item)

    def add_all(self, items: list[Carried | Offer | None]) -> bool:
        """False, and nothing is added, if they would not fit one batch together."""
        carried = [item for item in items if isinstance(item, Carried)]
        size = sum(len(item.key) + len(item.data) for item in carried)
        offers_count = sum(isinstance(item, Offer) for item in items)
        if self.size + size > self.tuning.batch_bytes_max or len(self.offers) + offers_count > OFFERS_MAX:
            return False
        for item in items:
            self.add(item)
        return True

    @property
    def is_full(self) -> bool:
        return (
            self.size >= self.tuning.batch_bytes_max
            or len(self.entries) >= self.tuning.batch_rows_max
            or len(self.offers) >= OFFERS_MAX
        )


class ExchangeAnswers:
    """The sessions that other nodes opened here."""

    def __init__(
        self, *, store: Store, load: Load, read_clock: ReadClock, tuning: Tuning, outbox: Outbox
    ) -> None:
        self._store = store
        self._load = load
        self._read_clock = read_clock
        self._tuning = tuning
        self._outbox = outbox
        self._sessions: dict[tuple[Address, int], _Session] = {}
        self._given_way: dict[tuple[Address, int], int] = {}
        """Sessions that were ended for want of room, and until when that is remembered."""

    # -- inputs

    def is_receiving(self, now_ms: int) -> bool:
        """True while a session is at work that may bring entries: there shall be no second one."""
        return any(s.may_bring and now_ms < s.active_ms + ACTIVE_MS for s in self._sessions.values())

    def handle_open(self, sender: Address, message: ExchangeOpen, now_ms: int, *, may_receive: bool) -> None:
        """Answer an opening; with "busy" if it may bring entries and others are on their way already.

        ``may_receive`` is False while an exchange of this node's own brings entries.
        """
        session = self._sessions.get((sender, message.session))
        if session is not None:
            self._outbox.send(sender, session.opened)
            return
        root = self._store.tree.root
        clock, clock_hash = self._read_clock()
        is_equal = (root.sum, root.row_count) == (message.root, message.row_count)
        view = RangeView(self._store, message.salt, rows_listed_max=self._tuning.rows_listed_max)
        fingerprints = b"" if is_equal else view.children(WHOLE)
        opened = ExchangeOpened(message.session, root.sum, root.row_count, clock_hash, fingerprints)
        if not is_equal or clock_hash != message.clock_hash:
            may_bring = not is_equal and message.row_count > 0
            self._end_bringing_of(sender)
            is_busy = may_bring and (not may_receive or self.is_receiving(now_ms))
            if is_busy or (sender, message.session) in self._given_way or not self._has_room(now_ms):
                self._outbox.send(sender, ExchangeOver(message.session, is_busy))
                return
            self._sessions[(sender, message.session)] = _Session(
                opened, view, clock, now_ms + SESSION_IDLE_MS, may_bring, now_ms
            )
        self._outbox.send(sender, opened)

    def handle_request(
        self, sender: Address, request: ExchangeRequest, now_ms: int
    ) -> Give | NodeClock | None:
        """Answer, or return what the replica is to merge: entries (then ``handle_merged``), or a clock.

        Raises ``RemoteError`` for a request that no node of ours sends; nothing was answered.
        """
        session = self._sessions.get((sender, request.session))
        if session is None:
            self._outbox.send(sender, ExchangeOver(request.session, is_busy=False))
            return None
        session.idle_at_ms = now_ms + SESSION_IDLE_MS
        session.active_ms = now_ms
        match request:
            case Compare():
                self._outbox.send(sender, self._compare(session.view, request))
            case Fetch():
                self._outbox.send(sender, self._fetch(request))
            case Give():
                return request
            case ClockShare():
                clock = decode_clock(request.clock) if request.clock else None
                session.may_bring = False  # every difference is settled
                self._outbox.send(sender, self._share_clock(session, request))
                return clock
        return None

    def handle_merged(
        self, sender: Address, session_id: int, sequence: int, *, news_count: int, refused_count: int
    ) -> int:
        """What a ``Give`` brought is durable. Returns how much this session has brought so far."""
        self._outbox.send(sender, Given(session_id, sequence, refused_count))
        session = self._sessions.get((sender, session_id))
        if session is None:
            return news_count
        session.brought_count += news_count
        return session.brought_count

    def handle_over(self, sender: Address, session_id: int) -> None:
        """The asking node has ended its session."""
        self._sessions.pop((sender, session_id), None)

    def forget_peer(self, sender: Address) -> None:
        """The peer has started anew: its sessions are gone."""
        for name in [name for name in self._sessions if name[0] == sender]:
            del self._sessions[name]

    def forget_all(self) -> None:
        """What the sessions have read here does not hold any more. Who asks on hears that it is over."""
        self._sessions.clear()

    def handle_timer(self, now_ms: int) -> None:
        for name in [n for n, s in self._sessions.items() if s.idle_at_ms <= now_ms]:
            del self._sessions[name]
        for name in [n for n, until_ms in self._given_way.items() if until_ms <= now_ms]:
            del self._given_way[name]

    def next_deadline_ms(self) -> int | None:
        return min((session.idle_at_ms for session in self._sessions.values()), default=None)

    def check_invariants(self) -> None:
        assert len(self._sessions) <= self._tuning.exchange_sessions_max

    def _has_room(self, now_ms: int) -> bool:
        """True if there is room for one more, made by ending one that asked nothing for long, or is finished.

        Its opening is not answered a second time, or its clock could be later than what was compared.
        """
        if len(self._sessions) < self._tuning.exchange_sessions_max:
            return True
        name, idle = min(self._sessions.items(), key=lambda item: (item[1].may_bring, item[1].active_ms))
        if now_ms < idle.active_ms + ACTIVE_MS:
            return False
        del self._sessions[name]
        self._given_way[name] = now_ms + SESSION_IDLE_MS
        return True

    def _end_bringing_of(self, sender: Address) -> None:
        """A peer asks for one exchange at a time, so its earlier ones are over, told or not."""
        for (opener, _), session in self._sessions.items():
            if opener == sender:
                session.may_bring = False

    # -- answers

    def _compare(self, view: RangeView, request: Compare) -> Compared:
        if len(request.children) + len(request.rows) > COMPARED_RANGES_MAX:
            raise RemoteError(f"more than {COMPARED_RANGES_MAX} ranges to compare")
        differing: list[Range] = []
        for described in request.children:
            r = checked_range(described.prefix, described.bits)
            differing += [child for child, _ in view.differing_children(r, described.fingerprints)]
        parcel = _Parcel(self._tuning, [], [])
        wanted: list[int] = []
        for beside in view.lay_beside(request.rows):
            self._settle_rows(beside, parcel, wanted, differing)
        children, rows = view.describe(differing[:DESCRIBED_MAX])
        return Compared(
            request.session,
            request.sequence,
            children,
            rows,
            tuple(parcel.entries),
            tuple(parcel.offers),
            b"".join(hashed.to_bytes(8, "big") for hashed in wanted),
            pack_ranges(differing[DESCRIBED_MAX:]),
        )

    def _settle_rows(
        self, beside: Beside, parcel: _Parcel, wanted: list[int], differing: list[Range]
    ) -> None:
        """Add what is later, other or more here to the parcel, and what lacks or is earlier to ``wanted``.

        If that is too much for one answer, the range is described instead and settled from the other side.
        """
        if parcel.is_full or beside.row_count > self._tuning.rows_listed_max:
            differing.append(beside.range)
            return
        theirs, mine = beside.theirs, beside.mine
        earlier = {h for h, there in theirs.items() if is_later(there, mine.get(h, {}))}
        lacking = {h for h, there in theirs.items() if len(mine.get(h, {})) < len(there)}
        items = self._load([row.key for row in beside.others if row.hash not in earlier])
        if not parcel.add_all(items):
            differing.append(beside.range)
            return
        wanted += sorted(earlier | lacking)

    def _fetch(self, request: Fetch) -> Fetched:
        parcel = _Parcel(self._tuning, [], [])
        after: Key | None = Key(request.after) if request.after else None
        ranges = unpack_pairs(request.ranges)
        if len(ranges) > FETCH_WEIGHT_MAX:
            raise RemoteError(f"more than {FETCH_WEIGHT_MAX} ranges to fetch")
        for index, (first, last) in enumerate(ranges):
            at = first
            while True:
                rows = self._store.scan_hashes(at, last, rows_max=self._tuning.batch_rows_max, after=after)
                added_count = self._fill(parcel, rows)
                if added_count:
                    at, after = rows[added_count - 1].hash, rows[added_count - 1].key
                if added_count < len(rows):
                    return self._fetched(request, parcel, index, at, after)
                if len(rows) < self._tuning.batch_rows_max:
                    break
            after = None
            if parcel.is_full and index + 1 < len(ranges):
                return self._fetched(request, parcel, index + 1, ranges[index + 1][0], None)
        return self._fetched(request, parcel, len(ranges), 0, None)

    def _fill(self, parcel: _Parcel, rows: Sequence[HashRow]) -> int:
        """Add the entries of ``rows`` until the parcel is full. Returns of how many.

        They are read together, each time twice as many as before: where few fit, few are read in vain.
        """
        added_count, together = 0, READ_FIRST
        while added_count < len(rows) and not parcel.is_full:
            for item in self._load([row.key for row in rows[added_count : added_count + together]]):
                if parcel.is_full:
                    break
                parcel.add(item)
                added_count += 1
            together *= 2
        return added_count

    def _fetched(self, request: Fetch, parcel: _Parcel, done: int, at: int, after: Key | None) -> Fetched:
        return Fetched(
            request.session,
            request.sequence,
            tuple(parcel.entries),
            tuple(parcel.offers),
            done,
            at,
            b"" if after is None else after,
        )

    def _share_clock(self, session: _Session, request: ClockShare) -> ClockShared:
        parts = session.clock.split(CLOCK_PART_REPLICAS)
        clock = encode_clock(parts[request.index]) if request.index < len(parts) else b""
        return ClockShared(request.session, request.sequence, len(parts), clock, self._store.tree.root.sum)
