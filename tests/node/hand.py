"""Replicas driven by hand: a disk that commits, a network that delivers and a clock that moves when told."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Key, Kind, StartNumber, make_key
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.value import Value
from kvgossip.node.effects import Commit, Done, Event, Notify, Now, Result, Send, Ticket, Written
from kvgossip.node.replica import NodeProfile, Replica
from kvgossip.store.base import Batch
from kvgossip.store.memory import MemoryStore
from kvgossip.wire import codec
from kvgossip.wire import messages as m

SECRET = ClusterSecret.derive("test", None)
WALL_MS = 1_700_000_000_000


def kv(name: str) -> Key:
    return make_key(Kind.KV, name.encode())


def mv(name: str) -> Key:
    return make_key(Kind.MV, name.encode())


class Hand:
    """One replica, and what it asked for and was not given yet."""

    def __init__(
        self,
        name: str = "n1",
        *,
        store: MemoryStore | None = None,
        seeds: Iterable[str] = (),
        tuning: Tuning | None = None,
        start: int = 1,
        wall_ms: int = WALL_MS,
        begins: bool = True,
    ) -> None:
        self.address = Address(f"{name}:1")
        self.store = MemoryStore(SECRET.digest_seed) if store is None else store
        self.ms = 0
        self.wall_ms = wall_ms
        self.commits: list[Batch] = []
        self.sends: list[Send] = []
        self.results: dict[Ticket, Result] = {}
        self.events: list[Event] = []
        self.replica = Replica(
            NodeProfile(
                name, self.address, f"{name}:2", tuple(Address(f"{s}:1") for s in seeds), tuning or Tuning()
            ),
            store=self.store,
            secret=SECRET,
            rng=Random(f"{name} {start}"),
            start_number=StartNumber(start),
            now=self.now,
        )
        self.pump()
        if begins:
            self.commit()

    @property
    def now(self) -> Now:
        return Now(self.ms, self.wall_ms + self.ms)

    def pump(self) -> None:
        for effect in self.replica.take_effects():
            match effect:
                case Commit(batch):
                    self.commits.append(batch)
                case Done(ticket, result):
                    self.results[ticket] = result
                case Send():
                    self.sends.append(effect)
                case Notify(Event() as event):
                    self.events.append(event)

    def commit(self) -> None:
        """The disk performs every batch, until none is asked for."""
        while self.commits:
            batch = self.commits.pop(0)
            self.store.write(batch)
            self.replica.handle_committed(batch, self.now)
            self.pump()

    def put(self, key: Key, body: bytes, **kwargs: object) -> Ticket:
        ticket = self.replica.put(key, Value(body), self.now, **kwargs)  # type: ignore[arg-type]
        self.pump()
        return ticket

    def delete(self, key: Key, **kwargs: object) -> Ticket:
        ticket = self.replica.delete(key, self.now, **kwargs)  # type: ignore[arg-type]
        self.pump()
        return ticket

    def write(self, key: Key, body: bytes | None, **kwargs: object) -> Written:
        """A durable put, or with None a delete."""
        ticket = self.delete(key, **kwargs) if body is None else self.put(key, body, **kwargs)
        self.commit()
        result = self.results[ticket]
        assert isinstance(result, Written), result
        return result

    def receive(self, sender: "Hand", message: m.Message) -> None:
        self.receive_bytes(sender, codec.encode(message))

    def receive_bytes(self, sender: "Hand", data: bytes) -> None:
        self.replica.receive(sender.address, data, self.now)
        self.pump()

    def meet(self, other: "Hand") -> None:
        """Both have said Hello."""
        for one, two in ((self, other), (other, self)):
            me = one.replica._me.known()
            one.receive(two, m.Hello(two.replica._me.known(), me, True, me.start_number))
            one.take_messages()

    def advance(self, ms: int) -> None:
        """Let time pass, timer by timer."""
        end = self.ms + ms
        while (due := self.replica.next_deadline_ms()) is not None and due <= end:
            self.ms = max(self.ms, due)
            self.replica.handle_timer(self.now)
            self.pump()
        self.ms = end

    def take_messages(self) -> list[m.Message]:
        taken, self.sends = self.sends, []
        return [codec.decode(send.data) for send in taken]

    def bodies(self, key: Key) -> list[bytes]:
        """What a read sees, in order of dot."""
        entry = self.replica.get(key)
        if entry is None:
            return []
        live = entry.live(self.now.wall_ms)
        if live is None:
            return []
        values = [live] if isinstance(live, Value) else [s.value for s in live]
        return [value.body for value in values if value is not None]

    def crashed(self, *, start: int, wall_ms: int | None = None) -> "Hand":
        """The same directory, started anew; what was not written is gone."""
        name = self.address.split(":")[0]
        wall_ms = self.wall_ms + self.ms if wall_ms is None else wall_ms
        return Hand(name, store=self.store.reopen(), start=start, wall_ms=wall_ms)


def run(hands: list[Hand], ms: int, *, drops: Callable[[Send], bool] = lambda send: False) -> int:
    """Let all run for ``ms``: a millisecond for a frame, none for a commit. Returns the bytes sent."""
    by_address = {hand.address: hand for hand in hands}
    sent_bytes = 0
    for _ in range(ms):
        for hand in hands:
            hand.advance(1)
            hand.commit()
        in_transit = [(hand, send) for hand in hands for send in hand.sends]
        for hand in hands:
            hand.sends = []
        for hand, send in in_transit:
            sent_bytes += len(send.data)
            if send.to in by_address and not drops(send):
                by_address[send.to].receive_bytes(hand, send.data)
    return sent_bytes


def roots(hands: list[Hand]) -> set[str]:
    return {hand.replica.status().root for hand in hands}


def with_tuning(**changes: int) -> Tuning:
    return replace(Tuning(), **changes)  # type: ignore[arg-type]
