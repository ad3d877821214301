"""Anti-entropy, the asking side: one session that finds and settles every difference with one peer.

Source: Demers et al. 1987, section 1.3 (anti-entropy); Merkle 1987 (hash trees). The asking node opens with
its root and drives everything after; each request has exactly one answer, is sent again when none comes, and
may be answered twice without harm, so the answering side (``protocol/exchange_answers.py``) keeps next to no
state, a lost frame costs that frame, and a broken connection is resumed where it was.

    open           roots equal? then done
    compare        descend where fingerprints differ, many ranges and several levels in flight
    fetch, give    entries that the peer has other or more; entries that it lacks
    share clocks   when every difference is settled

A peer's entry is merged first; ours is given back only if the merge is not what the peer holds already, so an
entry crosses the wire once. Where one side has nothing, rows are streamed instead of walked.

**Clock take-over.** The clocks that are shared are those that both nodes had, committed, at the *opening*.
Whatever their entries did since, every comparison was with a later state, so a settled difference settles
the opening state too. A clock that is read any later speaks for entries that were never compared. It is taken
over only if this side merged, durably, all that it fetched, and shared only if the peer did so with all that
it was given.

Invariants: at most ``exchange_requests_max`` requests are unanswered or wait for their merge; a session that
is not over always has a request in flight, a merge under way or is about to be opened.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from kvgossip.config import Tuning
from kvgossip.errors import CorruptRowError, RemoteError
from kvgossip.model.clock import NodeClock
from kvgossip.model.encoding import decode_clock, encode_clock
from kvgossip.model.ids import Address, Key
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.ranges import (
    WHOLE,
    Listed,
    Range,
    RangeView,
    checked_range,
    is_later,
    unpack_ranges,
    unpack_rows,
)
from kvgossip.store.base import HASH_MAX, Store
from kvgossip.wire.messages import (
    Carried,
    ClockShare,
    ClockShared,
    Compare,
    Compared,
    ExchangeAnswer,
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

TIMEOUT_MS_MAX = 16_000
"""Twice what a batch takes at 256 kbit/s."""
COMPARED_RANGES_MAX = 128
"""A request compares no more ranges than this, to bound the time that either side spends on it."""
FETCH_WEIGHT_MAX = 512
PATIENCE_TIMEOUTS = 5
"""A request is sent again after this many time-outs although the peer talks: lost, not queued."""
GIVES_HELD_MAX = 64
"""Keys or ranges to give that wait for the comparisons to end."""
_STREAM_PARTS = 8
CLOCK_PART_REPLICAS = 128
"""Of ``CLOCK_RANGES_MAX`` ranges each they make half a frame."""
CLOCK_PARTS_MAX = 1_024
"""No clock has more: a peer that says so would keep the session open for ever."""

Load = Callable[[Key], Carried | Offer | None]


class Phase(Enum):
    OPENING = "opening"
    SETTLING = "settling"
    SHARING = "sharing"
    COMPLETE = "complete"
    BROKEN = "broken"
    PUT_OFF = "put off"


@dataclass(frozen=True, slots=True)
class Opening:
    """This node's committed state, read in one moment before the first comparison."""

    session: int
    salt: int
    root: int
    row_count: int
    clock: NodeClock
    clock_hash: int


@dataclass(slots=True)
class _Request:
    """One request that is unanswered or, ``is_merging``, whose answer is on its way to the disk."""

    message: ExchangeOpen | ExchangeRequest
    patience_ms: int
    """For how long it may stay unanswered although the peer talks; doubled each time, for slow links."""
    patience_ends_ms: int
    sent_ms: int
    tries: int = 1
    is_merging: bool = False


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A range to fetch, from behind ``after`` if it was begun. Some share a request, by weight."""

    first: int
    last: int
    weight: int
    after: bytes = b""


@dataclass(slots=True)
class _Give:
    """Rows to give: those of a range ``but`` at some hashes. ``after`` is the position."""

    first: int
    last: int
    but: set[int] = field(default_factory=set)
    after: Key | None = None


class Exchange:
    """One session, from opening to COMPLETE, BROKEN or PUT_OFF (one side is busy with another)."""

    def __init__(
        self,
        peer: Address,
        opening: Opening,
        *,
        store: Store,
        load: Load,
        tuning: Tuning,
        outbox: Outbox,
        now_ms: int,
    ) -> None:
        self.peer = peer
        self.session = opening.session
        self.phase = Phase.OPENING
        self.found_difference = False
        self.brought_count = 0
        self.roots_differ_at_end = False
        self._opening = opening
        self._store = store
        self._load = load
        self._tuning = tuning
        self._outbox = outbox
        self._view = RangeView(store, opening.salt, rows_listed_max=tuning.rows_listed_max)
        self._requests: dict[int, _Request] = {}
        self._next_sequence = 1
        self._deadline_ms = now_ms
        self._timeout_ms = tuning.exchange_timeout_ms
        self._to_compare: list[Range] = []
        """A stack: depth first, and what is found is fetched before more is looked for, so it stays short."""
        self._to_fetch: deque[_Fetch] = deque()
        self._to_give: deque[_Give] = deque()
        self._keys_to_give: deque[Key] = deque()
        self._may_take_clock = True
        self._may_give_clock = True
        self._clock_parts = [encode_clock(part) for part in opening.clock.split(CLOCK_PART_REPLICAS)]
        self._clocks_differ = True
        self._part_index = 0
        self._request(
            ExchangeOpen(opening.session, opening.salt, opening.root, opening.row_count, opening.clock_hash),
            now_ms,
        )

    @property
    def has_begun(self) -> bool:
        """True once the peer has answered the opening."""
        return self.phase is not Phase.OPENING

    @property
    def is_over(self) -> bool:
        return self.phase in (Phase.COMPLETE, Phase.BROKEN, Phase.PUT_OFF)

    @property
    def may_bring(self) -> bool:
        """True while it fetches, or may come to fetch, entries."""
        return self.phase is Phase.SETTLING and self.found_difference

    # -- inputs

    def handle_opened(self, opened: ExchangeOpened, now_ms: int, *, may_bring: bool = True) -> None:
        """The peer's root, and where they differ its first level.

        With ``may_bring`` False (another exchange brings entries just now) a difference puts this one off.
        Raises ``RemoteError`` or ``CorruptRowError``; the session is then broken.
        """
        if self.phase is not Phase.OPENING:
            return
        self.found_difference = (opened.root, opened.row_count) != (
            self._opening.root,
            self._opening.row_count,
        )
        if self.found_difference and not may_bring:
            self._end(Phase.PUT_OFF)
            return
        with self._broken_by_errors():
            self._take_opened(opened)
            self._advance(now_ms)

    def handle_answer(
        self, answer: ExchangeAnswer, now_ms: int
    ) -> tuple[tuple[Carried, ...], tuple[Offer, ...]] | NodeClock | None:
        """What the replica is to merge: entries (then it calls ``handle_merged``), or a clock; None: nothing.

        Raises ``RemoteError`` for an answer that does not fit its request, or ``CorruptRowError``: the
        session is then broken.
        """
        request = self._requests.get(answer.sequence)
        if request is None or request.is_merging or self.is_over or self.phase is Phase.OPENING:
            return None  # late or doubled
        self._learn_timeout(request, now_ms)
        self._deadline_ms = now_ms + self._timeout_ms
        with self._broken_by_errors():
            return self._take_answer(request, answer, now_ms)

    def handle_merged(
        self, sequence: int, *, news_count: int, refused_count: int, lagging: list[Key], now_ms: int
    ) -> None:
        """What an answer brought is durable. The peer lacks what the merge made of the ``lagging`` keys.

        Raises ``CorruptRowError``; the session is then broken.
        """
        if self._requests.pop(sequence, None) is None or self.is_over:
            return
        self.brought_count += news_count
        if refused_count:
            self._may_take_clock = self._may_give_clock = False
        self._keys_to_give.extend(lagging)
        with self._broken_by_errors():
            self._advance(now_ms)

    def break_off(self) -> None:
        """Give the session up; what was merged stays merged, and no clock is taken over.

        For instance because the peer does not know the session: it restarted, or answers too many already.
        """
        if not self.is_over:
            self._end(Phase.BROKEN)

    def handle_over(self, *, is_busy: bool) -> None:
        """The peer holds no such session."""
        if not self.is_over:
            self.phase = Phase.PUT_OFF if is_busy else Phase.BROKEN

    def handle_heard(self, now_ms: int) -> None:
        """Any frame from the peer: it is alive and busy, so time-outs begin anew."""
        self._deadline_ms = now_ms + self._timeout_ms

    def handle_timer(self, now_ms: int) -> None:
        """Send again what was not answered; give up after ``exchange_tries_max`` sends into silence."""
        if self.is_over:
            return
        is_silent = now_ms >= self._deadline_ms
        if is_silent:
            self._deadline_ms = now_ms + self._timeout_ms
            if self.phase is not Phase.OPENING:  # an opening and its answer are small
                self._timeout_ms = min(2 * self._timeout_ms, TIMEOUT_MS_MAX)
        for request in self._requests.values():
            if request.is_merging or not (is_silent or now_ms >= request.patience_ends_ms):
                continue
            if is_silent:
                request.tries += 1
            else:
                request.patience_ms *= 2
            if request.tries > self._tuning.exchange_tries_max:
                self._end(Phase.BROKEN)
                return
            request.patience_ends_ms = now_ms + request.patience_ms
            self._outbox.send(self.peer, request.message)

    def next_deadline_ms(self) -> int | None:
        if self.is_over:
            return None
        patience = [r.patience_ends_ms for r in self._requests.values() if not r.is_merging]
        return min([self._deadline_ms, *patience])

    def check_invariants(self) -> None:
        assert len(self._requests) <= self._tuning.exchange_requests_max
        assert self.is_over or self._requests, "a session that nothing will move again"

    def _learn_timeout(self, request: _Request, now_ms: int) -> None:
        """A narrow link needs more time for a batch than the least: or it is filled with copies of answers.

        As TCP does it (Karn, Partridge 1987), only what was sent once tells how long an answer takes.
        """
        least_ms = self._tuning.exchange_timeout_ms
        learnt_ms = 2 * (now_ms - request.sent_ms) if request.tries == 1 else self._timeout_ms // 2
        self._timeout_ms = max(least_ms, min(learnt_ms, TIMEOUT_MS_MAX))

    # -- answers

    def _take_opened(self, opened: ExchangeOpened) -> None:
        del self._requests[0]
        self._clocks_differ = opened.clock_hash != self._opening.clock_hash
        self.phase = Phase.SETTLING
        if not self.found_difference:
            return
        if opened.row_count == 0:
            self._to_give.append(_Give(0, HASH_MAX))
        elif self._opening.row_count == 0:
            step = (HASH_MAX + 1) // _STREAM_PARTS
            for at in range(0, HASH_MAX, step):
                self._to_fetch.append(_Fetch(at, at + step - 1, FETCH_WEIGHT_MAX))
        else:
            self._descend(WHOLE, opened.fingerprints)

    def _take_answer(
        self, request: _Request, answer: ExchangeAnswer, now_ms: int
    ) -> tuple[tuple[Carried, ...], tuple[Offer, ...]] | NodeClock | None:
        if type(answer) is not _ANSWERS[type(request.message)]:
            raise RemoteError(f"{type(answer).__name__} is no answer to {type(request.message).__name__}")
        match answer:
            case Compared():
                self._take_compared(answer)
            case Fetched():
                self._take_fetched(request, answer)
            case Given():
                self._may_give_clock &= answer.refused_count == 0
            case ClockShared():
                del self._requests[answer.sequence]
                return self._take_clock(answer, now_ms)
        if isinstance(answer, Compared | Fetched) and (answer.entries or answer.offers):
            request.is_merging = True
            self._advance(now_ms)
            return answer.entries, answer.offers
        del self._requests[answer.sequence]
        self._advance(now_ms)
        return None

    def _take_compared(self, answer: Compared) -> None:
        for described in answer.children:
            r = checked_range(described.prefix, described.bits)
            if self._view.row_count(r) == 0:
                self._to_fetch.append(_Fetch(r.first, r.last, _weight(r.first, r.last)))
            else:
                self._descend(r, described.fingerprints)
        for listed in answer.rows:
            r = checked_range(listed.prefix, listed.bits)
            self._settle_rows(r, unpack_rows(r, listed.rows))
        self._to_compare.extend(unpack_ranges(answer.undescribed))
        for hashed in unpack_hashes(answer.wanted):
            self._to_give.append(_Give(hashed, hashed))

    def _descend(self, r: Range, theirs: bytes) -> None:
        for child, is_empty_there in self._view.differing_children(r, theirs):
            if is_empty_there:
                self._to_give.append(_Give(child.first, child.last))
            else:
                self._to_compare.append(child)

    def _settle_rows(self, r: Range, theirs: Listed) -> None:
        """The peer listed a whole range: fetch what is other or more there, give what is later here."""
        rows = self._view.rows(r)
        mine = self._view.listed(rows)
        for hashed, there in sorted(theirs.items()):
            here = mine.get(hashed, {})
            if is_later(here, there):
                self._to_give.append(_Give(hashed, hashed))
            elif not there.keys() <= here.keys():
                self._to_fetch.append(_Fetch(hashed, hashed, 1))  # the merge tells if the peer lags
            if len(here) > len(there):  # two keys with one hash, of which the peer has fewer
                self._to_give.append(_Give(hashed, hashed))
        if len(rows) > self._tuning.rows_listed_max or not mine.keys() <= theirs.keys():
            self._to_give.append(_Give(r.first, r.last, set(theirs)))

    def _take_fetched(self, request: _Request, answer: Fetched) -> None:
        assert isinstance(request.message, Fetch)
        rest = unpack_pairs(request.message.ranges)[answer.done_count :]
        if not rest:
            return
        first, last = rest[0]
        if not first <= answer.next_hash <= last:
            raise RemoteError("the answer to a fetch was cut outside of what was asked for")
        asked_from = (first, request.message.after)
        if answer.done_count == 0 and (answer.next_hash, answer.next_after) <= asked_from:
            raise RemoteError("the answer to a fetch does not go on from where it was asked")
        for low, high in reversed(rest[1:]):
            self._to_fetch.appendleft(_Fetch(low, high, _weight(low, high)))
        self._to_fetch.appendleft(_Fetch(answer.next_hash, last, _weight(first, last), answer.next_after))

    def _take_clock(self, answer: ClockShared, now_ms: int) -> NodeClock | None:
        if answer.part_count > CLOCK_PARTS_MAX:
            raise RemoteError(f"a clock of {answer.part_count} parts: at most {CLOCK_PARTS_MAX} are taken")
        self.roots_differ_at_end = answer.root != self._store.tree.root.sum
        self._part_index += 1
        if self._part_index < max(answer.part_count, len(self._clock_parts)):
            self._share_clock(now_ms)
        else:
            self.phase = Phase.COMPLETE
        return decode_clock(answer.clock) if answer.clock and self._may_take_clock else None

    @contextmanager
    def _broken_by_errors(self) -> Iterator[None]:
        """A session whose peer breaks the protocol, or whose rows cannot be read, ends; it never hangs."""
        try:
            yield
        except (RemoteError, CorruptRowError):
            self._end(Phase.BROKEN)
            raise

    def _end(self, phase: Phase) -> None:
        """The session is over; the peer is told, so that it is free for others."""
        was_open = self.phase is not Phase.OPENING or phase is Phase.PUT_OFF
        self.phase = phase
        if was_open and (self.found_difference or phase is not Phase.COMPLETE):
            self._outbox.send(self.peer, ExchangeOver(self.session, is_busy=False))

    # -- requests

    def _advance(self, now_ms: int) -> None:
        """Keep requests in flight while there is work; share clocks when there is none."""
        while len(self._requests) < self._tuning.exchange_requests_max:
            message = self._next_request()
            if message is None:
                break
            self._request(message, now_ms)
        if self._requests or self.is_over or self.phase is Phase.SHARING:
            return
        if not self._clocks_differ:
            self._end(Phase.COMPLETE)
        elif self._may_take_clock or self._may_give_clock:
            self.phase = Phase.SHARING
            self._share_clock(now_ms)
        else:
            self._end(Phase.BROKEN)

    def _next_request(self) -> ExchangeRequest | None:
        if (self._keys_to_give or self._to_give) and not self._may_find_more_to_give():
            give = self._build_give()
            if give is not None:
                return give
        if self._to_compare and sum(fetch.weight for fetch in self._to_fetch) < FETCH_WEIGHT_MAX:
            return self._build_compare()
        if self._to_fetch:
            return self._build_fetch()
        return None

    def _may_find_more_to_give(self) -> bool:
        """True while comparisons go on that may fill up a small give: it would cost two messages more."""
        if len(self._keys_to_give) + len(self._to_give) >= GIVES_HELD_MAX:
            return False
        is_comparing = any(isinstance(request.message, Compare) for request in self._requests.values())
        return is_comparing or bool(self._to_compare)

    def _build_give(self) -> Give | None:
        entries: list[Carried] = []
        offers: list[Offer] = []
        size = 0
        for key in self._take_keys_to_give():
            item = self._load(key)
            if isinstance(item, Carried):
                entries.append(item)
                size += len(key) + len(item.data)
            elif item is not None:
                offers.append(item)
            if size >= self._tuning.batch_bytes_max or len(entries) >= self._tuning.batch_rows_max or offers:
                break
        if not entries and not offers:
            return None
        return Give(self.session, self._take_sequence(), tuple(entries), tuple(offers))

    def _take_keys_to_give(self) -> Iterator[Key]:
        """Keys to give, one by one, so that the caller can stop at any; nothing is taken ahead."""
        while self._keys_to_give or self._to_give:
            while self._keys_to_give:
                yield self._keys_to_give.popleft()
            if not self._to_give:
                return
            give = self._to_give[0]
            rows = self._store.scan_hashes(give.first, give.last, rows_max=256, after=give.after)
            for row in rows:
                if row.hash not in give.but:
                    self._keys_to_give.append(row.key)
            if len(rows) < 256:
                self._to_give.popleft()
            else:
                give.first, give.after = rows[-1].hash, rows[-1].key

    def _build_compare(self) -> Compare:
        ranges = self._to_compare[-COMPARED_RANGES_MAX:]
        del self._to_compare[-COMPARED_RANGES_MAX:]
        children, rows = self._view.describe(ranges)
        return Compare(self.session, self._take_sequence(), children, rows)

    def _build_fetch(self) -> Fetch:
        head = self._to_fetch.popleft()
        ranges = [(head.first, head.last)]
        weight = head.weight
        while self._to_fetch and not self._to_fetch[0].after:
            weight += self._to_fetch[0].weight
            if weight > FETCH_WEIGHT_MAX:
                break
            fetch = self._to_fetch.popleft()
            ranges.append((fetch.first, fetch.last))
        return Fetch(self.session, self._take_sequence(), pack_pairs(ranges), head.after)

    def _share_clock(self, now_ms: int) -> None:
        parts = self._clock_parts
        is_given = self._may_give_clock and self._part_index < len(parts)
        clock = parts[self._part_index] if is_given else b""
        root = self._store.tree.root.sum
        self._request(ClockShare(self.session, self._take_sequence(), self._part_index, clock, root), now_ms)

    def _take_sequence(self) -> int:
        self._next_sequence += 1
        return self._next_sequence - 1

    def _request(self, message: ExchangeOpen | ExchangeRequest, now_ms: int) -> None:
        sequence = 0 if isinstance(message, ExchangeOpen) else message.sequence
        # Small answers overtake bulk, so who talks and does not give them has not been asked.
        timeouts = 1 if isinstance(message, ExchangeOpen | ClockShare) else PATIENCE_TIMEOUTS
        patience_ms = timeouts * self._tuning.exchange_timeout_ms
        self._requests[sequence] = _Request(message, patience_ms, now_ms + patience_ms, now_ms)
        self._deadline_ms = now_ms + self._timeout_ms
        self._outbox.send(self.peer, message)


_ANSWERS: dict[type, type] = {Compare: Compared, Fetch: Fetched, Give: Given, ClockShare: ClockShared}


def unpack_hashes(packed: bytes) -> list[int]:
    return [int.from_bytes(packed[at : at + 8], "big") for at in range(0, len(packed), 8)]


def unpack_pairs(packed: bytes) -> list[tuple[int, int]]:
    hashes = unpack_hashes(packed)
    return list(zip(hashes[::2], hashes[1::2], strict=True))


def pack_pairs(pairs: list[tuple[int, int]]) -> bytes:
    return b"".join(bound.to_bytes(8, "big") for pair in pairs for bound in pair)


def _weight(first: int, last: int) -> int:
    """What a range counts against ``FETCH_WEIGHT_MAX``: a single hash little, more than that some rows."""
    return 1 if first == last else FETCH_WEIGHT_MAX // 16
