"""Whole nodes exchange: entries come from one exchange at a time, and a heal is soon over."""

import pytest

from kvgossip.errors import StoreFullError
from kvgossip.model.ids import Address
from kvgossip.node.effects import Send
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.node.hand import Hand, kv, mv, roots, run, with_tuning


class CarriedBytes:
    """Counts the entries on the wire that did not come by rumor."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, send: object) -> bool:
        message = codec.decode(send.data)  # type: ignore[attr-defined]
        if isinstance(message, m.Fetched | m.Give | m.Compared):
            self.count += len(message.entries)
        return False


def test_a_joining_node_gets_each_entry_once_although_all_would_give_it() -> None:
    hands = [Hand(f"n{i}", seeds=["n0"]) for i in range(4)]
    run(hands, 100)
    for i in range(600):
        hands[i % 4].write(kv(f"k{i}"), b"x" * 50)
        run(hands, 1)
    run(hands, 500)
    assert len(roots(hands)) == 1
    carried = CarriedBytes()
    joiner = Hand("new", seeds=["n0"])
    joiner.ms = hands[0].ms
    run([*hands, joiner], 3_000, drops=carried)
    assert len(roots([*hands, joiner])) == 1
    assert 600 <= carried.count <= 700


@pytest.mark.parametrize(("count", "least", "most"), [(16, 16, 16), (200, 6, 30)])
def test_of_many_who_come_to_life_some_are_met_at_once(count: int, least: int, most: int) -> None:
    """Two hundred that all exchanged with one that joins would overrun it, and suspect it for that."""
    hand = Hand("n1")
    exchanges, schedule = hand.replica._exchanges, hand.replica._exchanges.schedule
    peers = [Address(f"{'am'[i % 2]}{i}:1") for i in range(count)]
    schedule.set_targets(peers)
    for peer in peers:
        exchanges.meet(peer, hand.ms)
    met = len(schedule._wanted) + len(schedule._put_off) + (schedule.current is not None)
    assert least <= met <= most


def test_two_halves_settle_soon_and_each_difference_crosses_about_once_a_node() -> None:
    hands = [Hand(f"n{i}", seeds=["n0"]) for i in range(6)]
    run(hands, 200)
    left = {hand.address for hand in hands[:3]}
    cut = {"is_on": True}
    by_address = {hand.address: hand for hand in hands}

    for index, hand in enumerate(hands):  # different on each side, before either knows of it
        for i in range(100):
            hand.put(kv(f"{index}/{i}"), b"x" * 50)
    assert len(by_address) == 6

    def crosses(sender: Hand, send: object) -> bool:
        return cut["is_on"] and (sender.address in left) != (send.to in left)  # type: ignore[attr-defined]

    for _ in range(8_000):
        for hand in hands:
            hand.advance(1)
            hand.commit()
        for hand in hands:
            sends, hand.sends = hand.sends, []
            for send in sends:
                if not crosses(hand, send):
                    by_address[send.to].receive_bytes(hand, send.data)
    assert len(roots(hands)) == 2
    cut["is_on"] = False
    carried = CarriedBytes()
    healed_ms = hands[0].ms
    while len(roots(hands)) > 1:
        run(hands, 10, drops=carried)
        assert hands[0].ms < healed_ms + 5_000, "not converged 5 s after the heal"
    lacking = 6 * 300  # each of six nodes lacked the other side's 300 entries
    assert carried.count <= 1.5 * lacking


def test_concurrent_writes_on_both_sides_become_siblings_everywhere() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 100)
    one.put(mv("a"), b"left")
    two.put(mv("a"), b"right")
    run([one, two], 2_000)
    assert sorted(one.bodies(mv("a"))) == sorted(two.bodies(mv("a"))) == [b"left", b"right"]


def test_a_node_that_cannot_commit_does_not_keep_the_others_apart() -> None:
    hands = [Hand(f"n{i}", seeds=["n0"]) for i in range(3)]
    run(hands, 200)
    full = hands[1]
    for i in range(20):
        hands[0].put(kv(f"left/{i}"), b"1")
    hands[2].put(kv("right"), b"1")
    by_address = {hand.address: hand for hand in hands}
    for _ in range(20_000):
        for hand in hands:
            hand.advance(1)
            while hand.commits:
                batch = hand.commits.pop(0)
                if hand is full and batch.changes:
                    error = StoreFullError("no space")
                    hand.replica.handle_commit_failed(batch, error, hand.now)
                else:
                    hand.store.write(batch)
                    hand.replica.handle_committed(batch, hand.now)
                hand.pump()
        for hand in hands:
            sends, hand.sends = hand.sends, []
            for send in sends:
                if not isinstance(codec.decode(send.data), m.RumorPush):
                    by_address[send.to].receive_bytes(hand, send.data)
        if len(roots([hands[0], hands[2]])) == 1:
            return
    raise AssertionError("two healthy nodes did not agree in 20 s beside one with a full disk")


@pytest.mark.parametrize("count", [2, 3])
def test_with_three_nodes_or_fewer_what_rumors_gave_up_comes_by_an_exchange_at_once(count: int) -> None:
    """The period is ten times as long."""
    hands = [Hand(f"n{i}", seeds=["n0"], tuning=with_tuning(rumors_hot_max=5)) for i in range(count)]
    run(hands, 3_000)
    assert len(roots(hands)) == 1
    for i in range(100):
        hands[0].put(kv(f"k{i}"), b"x")
    run(hands, 1_000)
    assert len(roots(hands)) == 1
    by_exchange = [hand.replica.status().counters["entries_by_exchange"] for hand in hands[1:]]
    assert max(by_exchange) > 50, "rumors brought it all"


def test_with_three_nodes_news_whose_pushes_are_lost_does_not_wait_for_the_period() -> None:
    """Every second push is lost, and the period is ten minutes."""
    hands = [Hand(f"n{i}", seeds=["n0"], tuning=with_tuning(exchange_interval_ms=600_000)) for i in range(3)]
    run(hands, 3_000)
    pushes = 0

    def drops(send: Send) -> bool:
        nonlocal pushes
        if isinstance(codec.decode(send.data), m.RumorPush):
            pushes += 1
            return pushes % 2 == 1
        return False

    for i in range(20):
        hands[i % 3].write(kv(f"k{i}"), b"x")
        run(hands, 5, drops=drops)
    run(hands, 4_000, drops=drops)
    assert pushes > 20
    assert len(roots(hands)) == 1
