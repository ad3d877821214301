"""Two stores and a wire between them: both sides of the exchange, with nothing of a node around them.

Frames go through the codec. A merge is what the replica's is: ``merge_entries``, committed at once, dots
taken into the clock with it. ``Wire`` delivers frames in order, or as a test wants, and moves the time when
nothing is under way.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from kvgossip.config import RumorTargets, Tuning
from kvgossip.errors import EncodingError, RemoteError
from kvgossip.model.clock import NodeClock
from kvgossip.model.digest import bytes_digest, entry_digest, key_hash
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import decode_entry, encode_clock, encode_entry
from kvgossip.model.entry import Entry, merge_entries
from kvgossip.model.ids import Address, Key, Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.protocol.exchange import Exchange, Opening, Phase
from kvgossip.protocol.exchange_answers import ExchangeAnswers
from kvgossip.protocol.outbox import Outbox
from kvgossip.store.base import Batch, Change
from kvgossip.store.memory import MemoryStore
from kvgossip.wire import codec
from kvgossip.wire import messages as m

SEED = 42
HashKey = Callable[[Key], int]


def true_hash(key: Key) -> int:
    return key_hash(SEED, key)


class Side:
    """One store, its committed clock, the exchange that it asks for and those that it answers."""

    def __init__(
        self,
        replica: int,
        *,
        store: MemoryStore | None = None,
        tuning: Tuning | None = None,
        hash_key: HashKey = true_hash,
    ) -> None:
        self.replica = ReplicaId(replica)
        self.address = Address(f"node{replica}:1")
        self.tuning = tuning or Tuning()
        self.store = store or MemoryStore(SEED)
        self.clock = NodeClock()
        self.outbox = Outbox()
        self.exchange: Exchange | None = None
        self.answers = ExchangeAnswers(
            store=self.store,
            load=self.load,
            read_clock=self.read_clock,
            tuning=self.tuning,
            outbox=self.outbox,
        )
        self.refuses: Callable[[Key], bool] = lambda key: False
        self.fetch_offer: Callable[[m.Offer], bytes | None] = lambda offer: None
        self.remote_errors: list[RemoteError] = []
        self._hash_key = hash_key

    # -- writes

    def put(self, name: str, body: bytes = b"v") -> Dot:
        """A local ``kv`` write; returns its dot."""
        self.put_many([name], body)
        return Dot(self.replica, self.clock.greatest(self.replica))

    def put_many(self, names: Iterable[str], body: bytes = b"v") -> None:
        """Local ``kv`` writes of different keys, in one batch."""
        written: dict[Key, Entry] = {}
        first = self.clock.greatest(self.replica) + 1
        for counter, name in enumerate(names, start=first):
            old = self.entry(kv(name))
            stamp = Stamp(1 + max(counter, 0 if old is None else old.stamp))
            written[kv(name)] = KvEntry(Dot(self.replica, counter), stamp, Value(body))
        self.hold(written)

    def hold(self, entries: dict[Key, Entry]) -> None:
        """Commit entries as they are, with their dots."""
        batch = Batch()
        for key, entry in entries.items():
            data = encode_entry(entry)
            old = self.store.get(key)
            old_digest = None if old is None else entry_digest(SEED, key, old)
            digest = entry_digest(SEED, key, data)
            batch.changes.append(Change(key, self._hash_key(key), digest, data, old_digest))
            self.clock = self.clock.with_dots(entry.dots())
        self.store.prepare(batch)
        self.store.write(batch)
        self.store.publish(batch)

    # -- reads

    def entry(self, key: Key) -> Entry | None:
        data = self.store.get(key)
        return None if data is None else decode_entry(key, data)

    def rows(self) -> dict[Key, bytes]:
        found = self.store.scan(Key(b""), None, rows_max=1 << 30, bytes_max=1 << 40)
        return {row.key: row.data for row in found}

    def load(self, keys: Sequence[Key]) -> list[m.Carried | m.Offer | None]:
        return [self._load(key) for key in keys]

    def _load(self, key: Key) -> m.Carried | m.Offer | None:
        data = self.store.get(key)
        if data is None:
            return None
        if len(data) <= self.tuning.inline_bytes_max:
            return m.Carried(key, data)
        dots = decode_entry(key, data).dots()
        return m.Offer(key, entry_digest(SEED, key, data), len(data), dots)

    def read_clock(self) -> tuple[NodeClock, int]:
        return self.clock, bytes_digest(SEED, encode_clock(self.clock))

    # -- the exchange

    def open(self, peer: "Side", *, session: int = 1, salt: int = 7, now_ms: int = 0) -> Exchange:
        root = self.store.tree.root
        clock, clock_hash = self.read_clock()
        self.exchange = Exchange(
            peer.address,
            Opening(session, salt, root.sum, root.row_count, clock, clock_hash),
            store=self.store,
            load=self.load,
            tuning=self.tuning,
            outbox=self.outbox,
            now_ms=now_ms,
        )
        return self.exchange

    def receive(self, sender: Address, frame: bytes, now_ms: int) -> None:
        try:
            self._receive(sender, codec.decode(frame), now_ms)
        except RemoteError as error:
            self.remote_errors.append(error)

    def _receive(self, sender: Address, message: m.Message, now_ms: int) -> None:
        exchange = self.exchange
        if exchange is not None and sender == exchange.peer:
            exchange.handle_heard(now_ms)
        match message:
            case m.ExchangeOpen():
                self.answers.handle_open(sender, message, now_ms, may_receive=True)
            case m.Compare() | m.Fetch() | m.Give() | m.ClockShare():
                self._answer(sender, message, now_ms)
            case m.ExchangeOpened() if exchange is not None and exchange.session == message.session:
                exchange.handle_opened(message, now_ms)
            case m.ExchangeOver() if exchange is not None and exchange.session == message.session:
                exchange.handle_over(is_busy=message.is_busy)
            case m.ExchangeOver():
                self.answers.handle_over(sender, message.session)
            case m.Compared() | m.Fetched() | m.Given() | m.ClockShared():
                if exchange is not None and exchange.session == message.session:
                    self._take(exchange, message, now_ms)
        if self.exchange is not None:
            self.exchange.check_invariants()
        self.answers.check_invariants()

    def _answer(self, sender: Address, request: m.ExchangeRequest, now_ms: int) -> None:
        taken = self.answers.handle_request(sender, request, now_ms)
        if isinstance(taken, NodeClock):
            self.clock = self.clock.join(taken)
        elif taken is not None:
            merged = self.merge(taken.entries, taken.offers)
            self.answers.handle_merged(
                sender,
                taken.session,
                taken.sequence,
                news_count=merged.news_count,
                refused_count=merged.refused_count,
            )

    def _take(self, exchange: Exchange, answer: m.ExchangeAnswer, now_ms: int) -> None:
        taken = exchange.handle_answer(answer, now_ms)
        if isinstance(taken, NodeClock):
            self.clock = self.clock.join(taken)
        elif taken is not None:
            merged = self.merge(*taken)
            exchange.handle_merged(
                answer.sequence,
                news_count=merged.news_count,
                refused_count=merged.refused_count,
                lagging=merged.lagging,
                now_ms=now_ms,
            )

    def merge(self, entries: tuple[m.Carried, ...], offers: tuple[m.Offer, ...]) -> "Merged":
        merged = Merged()
        fetched = [(offer.key, self.fetch_offer(offer)) for offer in offers]
        for key, data in [*((entry.key, entry.data) for entry in entries), *fetched]:
            try:
                if data is None or self.refuses(key):
                    raise EncodingError("refused by the test")
                theirs = decode_entry(key, data)
            except EncodingError:
                merged.refused_count += 1
                continue
            mine = self.entry(key)
            result = merge_entries(mine, theirs)
            self.clock = self.clock.with_dots(theirs.dots())
            if result != theirs:
                merged.lagging.append(key)
            if result is not mine:
                merged.news_count += 1
                self.hold({key: result})
        return merged


@dataclass
class Merged:
    news_count: int = 0
    refused_count: int = 0
    lagging: list[Key] = field(default_factory=list)


Drops = Callable[[m.Message], bool]


class Wire:
    """What two sides send each other, counted."""

    def __init__(
        self,
        a: Side,
        b: Side,
        *,
        drops: Drops = lambda message: False,
        disorder: Random | None = None,
        before: Callable[[m.Message], None] = lambda message: None,
    ) -> None:
        self.now_ms = 0
        self.messages: Counter[type] = Counter()
        self.frames: list[bytes] = []
        self.bytes_sent = 0
        self.entry_bytes = 0
        self.dropped = 0
        self.duplicated = 0
        self._sides = {side.address: side for side in (a, b)}
        self._under_way: deque[tuple[Address, Address, bytes]] = deque()
        self._drops = drops
        self._disorder = disorder
        self._before = before
        a.fetch_offer = lambda offer: _offered(b, offer)
        b.fetch_offer = lambda offer: _offered(a, offer)

    @property
    def message_count(self) -> int:
        return sum(self.messages.values())

    @property
    def comparison_bytes(self) -> int:
        """All that was sent but for the entries themselves."""
        return self.bytes_sent - self.entry_bytes

    def collect(self) -> None:
        for side in self._sides.values():
            for to, message in side.outbox.take():
                frame = codec.encode(message)
                self.messages[type(message)] += 1
                self.frames.append(frame)
                self.bytes_sent += len(frame)
                self.entry_bytes += sum(len(e.key) + len(e.data) for e in getattr(message, "entries", ()))
                if self._drops(message):
                    self.dropped += 1
                    continue
                self._under_way.append((side.address, to, frame))
                if self._disorder is not None and self._disorder.random() < 0.3:
                    self._under_way.append((side.address, to, frame))
                    self.duplicated += 1

    def step(self) -> bool:
        """Deliver one frame; False if there is none."""
        self.collect()
        if not self._under_way:
            return False
        if self._disorder is not None:
            self._under_way.rotate(-self._disorder.randrange(min(4, len(self._under_way))))
        sender, to, frame = self._under_way.popleft()
        self._before(codec.decode(frame))
        self._sides[to].receive(sender, frame, self.now_ms)
        return True

    def run(self, exchange: Exchange, *, steps_max: int = 100_000) -> Phase:
        """Until the exchange is over and all frames have arrived."""
        for _ in range(steps_max):
            if self.step():
                continue
            deadline_ms = exchange.next_deadline_ms()
            if deadline_ms is None:
                return exchange.phase
            self.now_ms = max(self.now_ms, deadline_ms)
            exchange.handle_timer(self.now_ms)
        raise AssertionError(f"no end after {steps_max} steps")


def exchange_once(a: Side, b: Side, *, session: int = 1, drops: Drops = lambda message: False) -> Wire:
    """``a`` asks, without faults unless they are given; the exchange has ended."""
    wire = Wire(a, b, drops=drops)
    wire.run(a.open(b, session=session, salt=1000 + session))
    return wire


def assert_converged(a: Side, b: Side) -> None:
    assert a.store.tree.root == b.store.tree.root
    assert a.rows() == b.rows()


def kv(name: str) -> Key:
    return make_key(Kind.KV, name.encode())


def mv(name: str) -> Key:
    return make_key(Kind.MV, name.encode())


def with_tuning(**changes: int | RumorTargets) -> Tuning:
    return replace(Tuning(), **changes)  # type: ignore[arg-type, unused-ignore]


def _offered(source: Side, offer: m.Offer) -> bytes | None:
    data = source.store.get(offer.key)
    return data if data is not None and entry_digest(SEED, offer.key, data) == offer.digest else None
