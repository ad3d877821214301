"""A row that cannot be read costs what it would have been part of, and nothing else stops."""

from collections.abc import Sequence

from kvgossip.errors import CorruptRowError
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import encode_entry
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.model.kv import KvEntry
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.node.effects import Written
from kvgossip.store.base import Batch
from kvgossip.store.memory import MemoryStore
from kvgossip.wire import messages as m
from tests.node.hand import SECRET, Hand, kv, mv, run


class RottenStore(MemoryStore):
    """Rows of some keys rot as soon as they are published."""

    def __init__(self) -> None:
        super().__init__(SECRET.digest_seed)
        self.rots: set[Key] = set()
        self.rotten: set[Key] = set()

    def publish(self, batch: Batch) -> None:
        super().publish(batch)
        self.rotten |= self.rots & {change.key for change in batch.changes}

    def get(self, key: Key) -> bytes | None:
        if key in self.rotten:
            raise CorruptRowError(f"the row of {key!r} fails its checksum")
        return super().get(key)

    def get_many(self, keys: Sequence[Key]) -> list[bytes | None]:
        return [self.get(key) for key in keys]


def told_corrupt(hand: Hand) -> list[str]:
    return [str(event.fields["reason"]) for event in hand.events if event.name == "row-corrupt"]


def test_a_hot_row_that_cannot_be_read_is_told_and_the_timers_go_on() -> None:
    store = RottenStore()
    hand, peer = Hand("n1", store=store), Hand("n2", seeds=["n1"])
    run([hand, peer], 100)
    store.rots = {kv("bad")}
    hand.put(kv("bad"), b"1")
    hand.put(kv("good"), b"2")
    hand.commit()
    run([hand, peer], 300)
    assert 1 <= len(told_corrupt(hand)) <= 3, "by the rumor once, and by each exchange that meets the row"
    assert peer.bodies(kv("good")) == [b"2"], "the others of its batch went on"
    assert hand.replica.status().hot_rumor_count == 0
    before = hand.replica.status().counters["exchanges_completed"]
    store.rotten.clear()  # repaired
    run([hand, peer], 20_000)
    assert hand.replica.status().counters["exchanges_completed"] > before
    assert peer.bodies(kv("bad")) == [b"1"]


def test_a_later_version_replaces_a_row_that_cannot_be_read_and_an_earlier_one_does_not() -> None:
    store = RottenStore()
    hand, peer = Hand("n1", store=store), Hand("n2")
    earlier = m.Carried(kv("bad"), encode_entry(KvEntry(Dot(ReplicaId(9), 1), Stamp(1), Value(b"old"))))
    peer.advance(5)
    hand.write(kv("bad"), b"1")
    store.rotten = {kv("bad")}
    hand.meet(peer)
    hand.receive(peer, m.RumorPush(1, (earlier,), ()))
    hand.commit()
    peer.write(kv("bad"), b"2")
    later = m.Carried(kv("bad"), peer.store.get(kv("bad")) or b"")
    hand.receive(peer, m.RumorPush(2, (later,), ()))
    hand.commit()
    store.rotten.clear()
    assert hand.bodies(kv("bad")) == [b"2"]
    assert told_corrupt(hand) == []
    store.check_invariants()
    hand.replica.check_invariants()


def test_a_row_that_cannot_be_given_breaks_the_exchange_and_clients_are_answered_all_the_same() -> None:
    store = RottenStore()
    hand, peer = Hand("n1", store=store), Hand("n2")
    hand.write(mv("bad"), b"1")
    peer.write(mv("bad"), b"2")
    store.rots = {mv("bad")}
    hand.meet(peer)
    peer.meet(hand)
    exchange = hand.replica._exchanges.schedule
    exchange.want(peer.address, hand.ms)
    hand.replica.handle_timer(hand.now)
    hand.pump()
    while not hand.commits:
        for message in hand.take_messages():
            peer.receive(hand, message)
        for message in peer.take_messages():
            hand.receive(peer, message)
    ticket = hand.put(kv("client"), b"x")
    hand.commit()
    assert isinstance(hand.results[ticket], Written)
    assert len(told_corrupt(hand)) == 1
    assert not any(isinstance(message, m.ClockShare) for message in hand.take_messages())
    assert hand.replica.status().counters["exchanges_broken"] == 1
    hand.replica.check_invariants()
