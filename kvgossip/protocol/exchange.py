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

This file is the session itself, from its opening to its end, and its clocks. Beside it: what an answer says
of the differences (``protocol/exchange_findings.py``), what is to be done about them and the requests that do
it (``protocol/exchange_agenda.py``), and the requests in flight (``protocol/exchange_flight.py``).

Invariant: a session that is not over always has a request in flight, a merge under way or is about to be
opened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from kvgossip.config import Tuning
from kvgossip.errors import CorruptRowError, RemoteError
from kvgossip.model.clock import NodeClock
from kvgossip.model.encoding import decode_clock, encode_clock
from kvgossip.model.ids import Address, Key
from kvgossip.protocol.exchange_agenda import Agenda, Load
from kvgossip.protocol.exchange_findings import Findings
from kvgossip.protocol.exchange_flight import OPENING_SEQUENCE, Flight, Request
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.range_view import RangeView
from kvgossip.store.base import Store
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
    Fetch,
    Fetched,
    Give,
    Given,
    Offer,
)

CLOCK_PART_REPLICAS = 128
"""Of ``CLOCK_RANGES_MAX`` ranges each they make half a frame."""
CLOCK_PARTS_MAX = 1_024
"""No clock has more: a peer that says so would keep the session open for ever."""


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
        self._outbox = outbox
        view = RangeView(store, opening.salt, rows_listed_max=tuning.rows_listed_max)
        self._agenda = Agenda(opening.session, store=store, load=load, view=view, tuning=tuning)
        self._findings = Findings(view, self._agenda, tuning)
        self._flight = Flight(peer, tuning=tuning, outbox=outbox, now_ms=now_ms)
        self._may_take_clock = True
        self._may_give_clock = True
        self._clock_parts = [encode_clock(part) for part in opening.clock.split(CLOCK_PART_REPLICAS)]
        self._clocks_differ = True
        self._part_index = 0
        self._flight.send(
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
        if self.is_over or self.phase is Phase.OPENING:
            return None
        request = self._flight.take_answered(answer.sequence, now_ms)
        if request is None:
            return None
        with self._broken_by_errors():
            return self._take_answer(request, answer, now_ms)

    def handle_merged(
        self, sequence: int, *, news_count: int, refused_count: int, lagging: list[Key], now_ms: int
    ) -> None:
        """What an answer brought is durable. The peer lacks what the merge made of the ``lagging`` keys.

        Raises ``CorruptRowError``; the session is then broken.
        """
        if not self._flight.end(sequence) or self.is_over:
            return
        self.brought_count += news_count
        if refused_count:
            self._may_take_clock = self._may_give_clock = False
        self._agenda.give_keys(lagging)
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
        self._flight.handle_heard(now_ms)

    def handle_timer(self, now_ms: int) -> None:
        """Send again what was not answered; give up after ``exchange_tries_max`` sends into silence."""
        if self.is_over:
            return
        if not self._flight.handle_timer(now_ms, is_opening=self.phase is Phase.OPENING):
            self._end(Phase.BROKEN)

    def next_deadline_ms(self) -> int | None:
        return None if self.is_over else self._flight.next_deadline_ms()

    def check_invariants(self) -> None:
        self._flight.check_invariants()
        assert self.is_over or not self._flight.is_empty, "a session that nothing will move again"

    # -- answers

    def _take_opened(self, opened: ExchangeOpened) -> None:
        self._flight.end(OPENING_SEQUENCE)
        self._clocks_differ = opened.clock_hash != self._opening.clock_hash
        self.phase = Phase.SETTLING
        if self.found_difference:
            self._findings.take_opened(opened, row_count=self._opening.row_count)

    def _take_answer(
        self, request: Request, answer: ExchangeAnswer, now_ms: int
    ) -> tuple[tuple[Carried, ...], tuple[Offer, ...]] | NodeClock | None:
        if type(answer) is not _ANSWERS[type(request.message)]:
            raise RemoteError(f"{type(answer).__name__} is no answer to {type(request.message).__name__}")
        match answer:
            case Compared():
                self._findings.take_compared(answer)
            case Fetched():
                assert isinstance(request.message, Fetch)
                self._findings.take_fetched(request.message, answer)
            case Given():
                self._may_give_clock &= answer.refused_count == 0
            case ClockShared():
                self._flight.end(answer.sequence)
                return self._take_clock(answer, now_ms)
        if isinstance(answer, Compared | Fetched) and (answer.entries or answer.offers):
            request.is_merging = True
            self._advance(now_ms)
            return answer.entries, answer.offers
        self._flight.end(answer.sequence)
        self._advance(now_ms)
        return None

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
        while not self._flight.is_full:
            message = self._agenda.next_request(
                self._flight.next_sequence, is_comparing=self._flight.is_comparing
            )
            if message is None:
                break
            self._flight.send(message, now_ms)
        if not self._flight.is_empty or self.is_over or self.phase is Phase.SHARING:
            return
        if not self._clocks_differ:
            self._end(Phase.COMPLETE)
        elif self._may_take_clock or self._may_give_clock:
            self.phase = Phase.SHARING
            self._share_clock(now_ms)
        else:
            self._end(Phase.BROKEN)

    def _share_clock(self, now_ms: int) -> None:
        parts = self._clock_parts
        is_given = self._may_give_clock and self._part_index < len(parts)
        clock = parts[self._part_index] if is_given else b""
        root = self._store.tree.root.sum
        sequence = self._flight.next_sequence
        self._flight.send(ClockShare(self.session, sequence, self._part_index, clock, root), now_ms)


_ANSWERS: dict[type, type] = {Compare: Compared, Fetch: Fetched, Give: Given, ClockShare: ClockShared}
