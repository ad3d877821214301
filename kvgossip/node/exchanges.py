"""Exchanges of one node: those it asks for and those it answers, and what they bring into the staging.

A node that can take no more writes goes on answering from what is committed, and asks for nothing.
"""

from random import Random

from kvgossip.config import Tuning
from kvgossip.errors import CorruptRowError
from kvgossip.model.clock import NodeClock
from kvgossip.model.ids import Address
from kvgossip.node.effects import Now
from kvgossip.node.merging import Merging
from kvgossip.node.staging import Staging
from kvgossip.node.waiters import FetchOrigin, GiveOrigin, MergeJob
from kvgossip.protocol.anti_entropy import AntiEntropy
from kvgossip.protocol.exchange import Exchange, Opening
from kvgossip.protocol.exchange_agenda import Load
from kvgossip.protocol.exchange_answers import ExchangeAnswers
from kvgossip.protocol.outbox import Outbox
from kvgossip.store.base import Store
from kvgossip.wire import messages as m

MET_AT_ONCE_MAX = 16
"""A node that came to life exchanges with about so many at once, and as many with it. Hundreds would overrun
it, and suspect it for the time that it needs for them."""


class Exchanges:
    """Both sides of anti-entropy, joined to the staging by the merge jobs."""

    def __init__(
        self,
        store: Store,
        staging: Staging,
        merging: Merging,
        *,
        me: Address,
        load: Load,
        tuning: Tuning,
        rng: Random,
        outbox: Outbox,
        now_ms: int,
    ) -> None:
        self._store = store
        self._staging = staging
        self._merging = merging
        self._me = me
        self._load = load
        self._tuning = tuning
        self._rng = rng
        self._outbox = outbox
        self._answers = ExchangeAnswers(
            store=store, load=load, read_clock=self._read_clock, tuning=tuning, outbox=outbox
        )
        self.schedule = AntiEntropy(tuning, rng, self._begin, self._answers.is_receiving, now_ms)

    def meet(self, peer: Address, now_ms: int) -> None:
        """A peer came to life here, and mostly this node there: the lesser address opens.

        In a large cluster some few see to that for all.
        """
        live_count = self.schedule.target_count
        if live_count > MET_AT_ONCE_MAX and self._rng.random() >= MET_AT_ONCE_MAX / live_count:
            return
        if self._me < peer:
            self.schedule.want(peer, now_ms)
        else:
            self.schedule.want_soon(peer, now_ms)

    # -- messages

    def receive(self, sender: Address, message: m.ExchangeMessage, now: Now, *, can_merge: bool) -> None:
        """Raises ``RemoteError`` (the session is broken) or ``CorruptRowError`` (likewise)."""
        match message:
            case m.ExchangeOpen():
                may_receive = self._may_receive_from(sender)
                self._answers.handle_open(sender, message, now.monotonic_ms, may_receive=may_receive)
            case m.Compare() | m.Fetch() | m.Give() | m.ClockShare():
                self._answer(sender, message, now, can_merge=can_merge)
            case m.ExchangeOpened():
                exchange = self._current(sender, message.session)
                if exchange is not None:
                    is_receiving = self._answers.is_receiving(now.monotonic_ms)
                    exchange.handle_opened(message, now.monotonic_ms, may_bring=not is_receiving)
            case m.ExchangeOver():
                exchange = self._current(sender, message.session)
                if exchange is not None:
                    exchange.handle_over(is_busy=message.is_busy)
                else:
                    self._answers.handle_over(sender, message.session)
            case m.Compared() | m.Fetched() | m.Given() | m.ClockShared():
                self._take_answer(sender, message, now, can_merge=can_merge)

    def handle_heard(self, sender: Address, now_ms: int) -> None:
        """Any frame came from ``sender``."""
        exchange = self.schedule.current
        if exchange is not None and exchange.peer == sender:
            exchange.handle_heard(now_ms)

    def handle_new_start(self, sender: Address) -> None:
        """Another start, or another replica, is at ``sender``: what was under way with it is over."""
        self._answers.forget_peer(sender)
        exchange = self.schedule.current
        if exchange is not None and exchange.peer == sender and exchange.has_begun:
            exchange.break_off()

    def pause(self) -> None:
        """This node gives dots up: clocks that were read before must not be told, and none is read now."""
        self.break_off()
        self._answers.forget_all()
        self.schedule.is_paused = True

    def resume(self) -> None:
        """The dots are given up for good."""
        self.schedule.is_paused = False

    def break_off(self) -> None:
        """What the exchange under way brought could not be committed."""
        if self.schedule.current is not None:
            self.schedule.current.break_off()

    def refuse_give(self, sender: Address, session: int) -> None:
        """What ``sender`` gives cannot be committed: end its session, or it waits and others with it."""
        self._answers.handle_over(sender, session)
        self._outbox.send(sender, m.ExchangeOver(session, is_busy=False))

    def handle_timer(self, now_ms: int, *, can_ask: bool) -> None:
        self._answers.handle_timer(now_ms)
        if can_ask:
            self.schedule.handle_timer(now_ms)

    def next_deadline_ms(self, *, can_ask: bool) -> int | None:
        deadlines = [self._answers.next_deadline_ms()]
        if can_ask:
            deadlines.append(self.schedule.next_deadline_ms())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def check_invariants(self) -> None:
        self._answers.check_invariants()
        if self.schedule.current is not None:
            self.schedule.current.check_invariants()

    # -- merge jobs that are durable

    def end_fetch(self, job: MergeJob, origin: FetchOrigin, now_ms: int) -> bool:
        """What our exchange fetched is durable. True if it brought little enough to become hot."""
        exchange = self._current(job.sender, origin.session)
        if exchange is None:
            return job.news_count <= self._tuning.hot_after_exchange_max
        exchange.handle_merged(
            origin.sequence,
            news_count=job.news_count,
            refused_count=job.refused_count,
            lagging=job.lagging,
            now_ms=now_ms,
        )
        return exchange.brought_count <= self._tuning.hot_after_exchange_max

    def end_give(self, job: MergeJob, origin: GiveOrigin) -> bool:
        """What a peer gave is durable. True if its exchange brought little enough to become hot."""
        brought = self._answers.handle_merged(
            job.sender,
            origin.session,
            origin.sequence,
            news_count=job.news_count,
            refused_count=job.refused_count,
        )
        return brought <= self._tuning.hot_after_exchange_max

    # -- private

    def _begin(self, peer: Address, now_ms: int) -> Exchange:
        root = self._store.tree.root
        clock, clock_hash = self._read_clock()
        session, salt = self._rng.getrandbits(64), self._rng.getrandbits(64)
        return Exchange(
            peer,
            Opening(session, salt, root.sum, root.row_count, clock, clock_hash),
            store=self._store,
            load=self._load,
            tuning=self._tuning,
            outbox=self._outbox,
            now_ms=now_ms,
        )

    def _may_receive_from(self, sender: Address) -> bool:
        """Entries shall come from one exchange at a time, whoever asked for it, or they come many times.

        Two nodes that open at once both answer; the opening of the lesser address wins.
        """
        exchange = self.schedule.current
        if exchange is None or exchange.is_over:
            return True
        if exchange.has_begun:
            return not exchange.may_bring
        return exchange.peer != sender or sender < self._me

    def _current(self, sender: Address, session: int) -> Exchange | None:
        exchange = self.schedule.current
        if exchange is None or exchange.peer != sender or exchange.session != session:
            return None
        return exchange

    def _take_answer(self, sender: Address, answer: m.ExchangeAnswer, now: Now, *, can_merge: bool) -> None:
        exchange = self._current(sender, answer.session)
        if exchange is None:
            return
        if not can_merge:
            exchange.break_off()
            return
        taken = exchange.handle_answer(answer, now.monotonic_ms)
        if isinstance(taken, NodeClock):
            self._take_over(taken)
        elif taken is not None:
            entries, offers = taken
            self._merging.begin(sender, FetchOrigin(answer.session, answer.sequence), entries, offers, now)

    def _answer(self, sender: Address, request: m.ExchangeRequest, now: Now, *, can_merge: bool) -> None:
        try:
            taken = self._answers.handle_request(sender, request, now.monotonic_ms)
        except CorruptRowError:
            self._outbox.send(sender, m.ExchangeOver(request.session, is_busy=False))
            raise
        if taken is None:
            return
        if not can_merge:
            self.refuse_give(sender, request.session)
        elif isinstance(taken, NodeClock):
            self._take_over(taken)
            self.schedule.handle_settled(sender)
        else:
            origin = GiveOrigin(taken.session, taken.sequence)
            self._merging.begin(sender, origin, taken.entries, taken.offers, now)

    def _take_over(self, clock: NodeClock) -> None:
        """Every difference with a peer is settled: hold what its clock says."""
        if clock.greatest(self._staging.replica) > self._staging.own_counter:
            self._merging.found_copy = True
            return
        self._staging.stage_clock(clock)

    def _read_clock(self) -> tuple[NodeClock, int]:
        return self._staging.committed_clock, self._staging.committed_clock_hash
