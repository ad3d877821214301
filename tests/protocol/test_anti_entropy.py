"""When to exchange and with whom, by hand: real exchanges over empty stores, ended as a test wants."""

import itertools
from random import Random

import pytest

from kvgossip.config import Tuning
from kvgossip.model.ids import Address
from kvgossip.protocol.anti_entropy import BROKEN_DOUBLINGS_MAX, BROKEN_MS, PUT_OFF_MS, AntiEntropy
from kvgossip.protocol.exchange import Exchange
from kvgossip.wire.messages import ClockShared, ExchangeOpened
from tests.protocol.stores import Side

A, B, C = (Address(f"{name}:1") for name in "abc")
INTERVAL_MS = Tuning().exchange_interval_ms


class Hand:
    """A node that begins exchanges, and what became of them."""

    def __init__(self, *targets: Address, seed: int = 1) -> None:
        self.side = Side(1)
        self.begun: list[Address] = []
        self.is_receiving = False
        self.schedule = AntiEntropy(Tuning(), Random(seed), self.begin, lambda now_ms: self.is_receiving, 0)
        self.schedule.set_targets(targets)

    def begin(self, peer: Address, now_ms: int) -> Exchange:
        self.begun.append(peer)
        stranger = Side(9)
        stranger.address = peer
        return self.side.open(stranger, session=len(self.begun), now_ms=now_ms)

    @property
    def current(self) -> Exchange:
        assert self.schedule.current is not None
        return self.schedule.current

    def complete(self, now_ms: int, *, roots_differ: bool = False) -> None:
        """The peer has the same root and another clock; writes may have arrived meanwhile."""
        exchange = self.current
        root = self.side.store.tree.root
        exchange.handle_opened(ExchangeOpened(exchange.session, root.sum, root.row_count, 5, b""), now_ms)
        exchange.handle_answer(ClockShared(exchange.session, 1, 1, b"", root.sum + roots_differ), now_ms)
        assert exchange.is_over
        self.schedule.handle_progress(now_ms)

    def again_ms(self, peer: Address) -> int:
        """When one that broke is tried again."""
        again_ms = self.schedule._broken[peer].again_ms
        assert again_ms is not None
        return again_ms

    def break_off(self, now_ms: int) -> None:
        self.current.break_off()
        self.schedule.handle_progress(now_ms)


def test_the_period_is_jittered_around_the_interval() -> None:
    due_ms = []
    for seed in range(200):
        due = Hand(A, seed=seed).schedule.next_deadline_ms()
        assert due is not None
        due_ms.append(due)
    assert min(due_ms) >= INTERVAL_MS // 2
    assert max(due_ms) <= INTERVAL_MS * 3 // 2
    assert max(due_ms) - min(due_ms) > INTERVAL_MS // 2
    assert abs(sum(due_ms) / len(due_ms) - INTERVAL_MS) < INTERVAL_MS // 10


def test_a_live_peer_is_picked_each_period() -> None:
    hand = Hand(A, B, C)
    picked = set()
    for _ in range(40):
        due_ms = hand.schedule.next_deadline_ms()
        assert due_ms is not None
        hand.schedule.handle_timer(due_ms - 1)
        assert hand.schedule.current is None
        hand.schedule.handle_timer(due_ms)
        picked.add(hand.begun[-1])
        hand.complete(due_ms)
    assert picked == {A, B, C}
    assert len(hand.begun) == hand.schedule.completed_count == 40


def test_with_nobody_alive_a_period_passes() -> None:
    hand = Hand()
    due_ms = hand.schedule.next_deadline_ms()
    assert due_ms is not None
    hand.schedule.handle_timer(due_ms)
    hand.schedule.want_any(due_ms)
    assert hand.begun == []
    later_ms = hand.schedule.next_deadline_ms()
    assert later_ms is not None
    assert later_ms > due_ms


def test_wanted_peers_come_at_once_one_after_the_other_in_order_of_wish() -> None:
    hand = Hand(A, B, C)
    for peer in (B, C, A, C):
        hand.schedule.want(peer, 5)
    assert hand.begun == [B]
    hand.complete(6)
    assert hand.begun == [B, C]
    hand.break_off(7)
    assert hand.begun == [B, C, A]
    hand.complete(8)
    assert hand.schedule.current is None
    assert (hand.schedule.completed_count, hand.schedule.broken_count) == (2, 1)


def test_a_wish_during_an_exchange_with_the_same_peer_is_another_exchange() -> None:
    """The first may have passed the place where the news is."""
    hand = Hand(A)
    hand.schedule.want(A, 0)
    hand.schedule.want(A, 1)
    hand.complete(2)
    assert hand.begun == [A, A]


def test_any_peer_will_do_for_a_dropped_rumor_unless_one_is_wanted_already() -> None:
    hand = Hand(A, B)
    hand.schedule.want_any(0)
    assert len(hand.begun) == 1
    hand.schedule.want_any(1)
    hand.schedule.want_any(2)
    hand.complete(3)
    hand.complete(4)
    assert len(hand.begun) == 2


def test_roots_that_differ_at_the_end_cost_one_repeat_and_no_more() -> None:
    hand = Hand(A)
    hand.schedule.want(A, 0)
    hand.complete(1, roots_differ=True)
    assert hand.begun == [A, A]
    hand.complete(2, roots_differ=True)
    assert hand.begun == [A, A]
    assert hand.schedule.current is None
    hand.schedule.want(A, 3)
    hand.complete(4, roots_differ=True)
    assert hand.begun == [A] * 4, "a new wish may be repeated once, too"


def test_a_broken_exchange_is_not_repeated_at_once() -> None:
    hand = Hand(A)
    hand.schedule.want(A, 0)
    hand.break_off(1)
    assert hand.begun == [A]
    assert hand.schedule.broken_count == 1


def test_one_that_broke_is_tried_again_soon_and_ever_later_while_they_break_in_a_row() -> None:
    hand = Hand(A)
    hand.schedule.want(A, 0)
    now_ms = 0
    for in_a_row in range(BROKEN_DOUBLINGS_MAX + 3):
        hand.break_off(now_ms)
        again_ms = hand.again_ms(A)
        delay_ms = BROKEN_MS << min(in_a_row, BROKEN_DOUBLINGS_MAX)
        assert now_ms + delay_ms <= again_ms <= now_ms + 2 * delay_ms
        now_ms = again_ms
        hand.schedule.handle_timer(now_ms)
        assert hand.schedule.current is not None
    hand.complete(now_ms)
    hand.schedule.want(A, now_ms)
    hand.break_off(now_ms)
    assert hand.again_ms(A) <= now_ms + 2 * BROKEN_MS, "one that ended well resets it"


def test_a_peer_that_is_busy_is_tried_again_soon() -> None:
    hand = Hand(A)
    hand.schedule.want(A, 0)
    hand.current.handle_over(is_busy=True)
    hand.schedule.handle_progress(10)
    assert hand.schedule.current is None
    assert hand.schedule.put_off_count == 1
    again_ms = hand.schedule.next_deadline_ms()
    assert again_ms is not None
    assert 10 + PUT_OFF_MS <= again_ms <= 10 + 2 * PUT_OFF_MS
    hand.schedule.handle_timer(again_ms)
    assert hand.begun == [A, A]


def test_nothing_is_begun_while_a_peers_exchange_brings_entries() -> None:
    """Or the same entries would come many times."""
    hand = Hand(A)
    hand.is_receiving = True
    hand.schedule.want(A, 0)
    assert hand.begun == []
    again_ms = hand.schedule.next_deadline_ms()
    assert again_ms == PUT_OFF_MS
    hand.schedule.handle_timer(again_ms)
    assert hand.begun == []
    hand.is_receiving = False
    hand.schedule.handle_timer(2 * PUT_OFF_MS)
    assert hand.begun == [A]


def test_nobody_who_is_no_longer_alive_is_exchanged_with() -> None:
    hand = Hand(A, B, C)
    hand.schedule.want(A, 0)
    hand.current.handle_over(is_busy=True)
    hand.schedule.handle_progress(1)
    hand.schedule.want(B, 2)
    hand.schedule.want(C, 2)
    hand.schedule.set_targets([B])
    hand.complete(3)
    hand.schedule.handle_timer(1_000)
    assert hand.begun == [A, B]


def test_an_exchange_with_a_peer_that_fell_silent_ends_and_is_not_tried_again() -> None:
    """Or it would keep those with live peers waiting, again and again."""
    hand = Hand(A, B)
    hand.schedule.want(A, 0)
    hand.schedule.want(B, 0)
    hand.schedule.set_targets([B])
    hand.schedule.handle_progress(1)
    assert hand.begun == [A, B]
    hand.complete(2)
    for now_ms in range(0, 60_000, 100):
        hand.schedule.handle_timer(now_ms)
        if hand.schedule.current is not None:
            hand.complete(now_ms)
    assert A not in hand.begun[1:]


def test_the_deadline_is_that_of_the_exchange_under_way_if_it_is_sooner() -> None:
    hand = Hand(A)
    hand.schedule.want(A, 0)
    assert hand.schedule.next_deadline_ms() == Tuning().exchange_timeout_ms
    hand.side.outbox.take()
    hand.schedule.handle_timer(Tuning().exchange_timeout_ms)
    assert len(hand.side.outbox.take()) == 1, "its timer is the exchange's, too"


def test_a_silent_peer_does_not_keep_the_others_waiting_for_ever() -> None:
    hand = Hand(A, B)
    hand.schedule.want(A, 0)
    hand.schedule.want(B, 0)
    for now_ms in range(0, 20_000, 100):
        hand.schedule.handle_timer(now_ms)
    assert hand.begun[:2] == [A, B]
    assert hand.schedule.broken_count >= 1


def test_who_is_out_of_reach_does_not_keep_those_waiting_that_would_answer() -> None:
    """Seed 494: nine of ten members are alive, say others, and out of this node's reach."""
    far = [Address(f"far{i}:1") for i in range(9)]
    hand = Hand(*far, A)
    settled_ms = []
    for now_ms in range(0, 300_000, 100):
        hand.schedule.handle_timer(now_ms)
        current = hand.schedule.current
        if current is None:
            continue
        if current.peer == A:
            settled_ms.append(now_ms)
            hand.complete(now_ms)
        elif now_ms % 1_000 == 0:
            hand.break_off(now_ms)
    assert len(settled_ms) >= 10
    pauses = [b - a for a, b in itertools.pairwise(settled_ms[3:])]
    assert max(pauses) <= 4 * INTERVAL_MS


def test_one_that_broke_is_followed_at_once_by_one_with_a_peer_that_may_answer() -> None:
    hand = Hand(A, B)
    hand.schedule.want(A, 0)
    hand.break_off(0)
    assert hand.begun == [A, B]
    hand.break_off(0)
    assert hand.begun == [A, B], "not round and round"


def test_those_that_broke_and_those_that_are_wanted_come_in_turns() -> None:
    hand = Hand(A, B, C)
    hand.schedule.want(A, 0)
    hand.schedule.want(B, 0)
    hand.break_off(0)
    hand.schedule.handle_timer(hand.again_ms(A))
    hand.schedule.want(C, 2_000)
    hand.complete(2_000)
    assert hand.begun == [A, B, A]
    hand.break_off(2_000)
    assert hand.begun == [A, B, A, C]


def test_one_that_broke_is_tried_again_while_rumors_are_dropped_all_the_time() -> None:
    hand = Hand(A, B, C)
    hand.schedule.want(A, 0)
    hand.break_off(0)
    for now_ms in range(0, 10_000, 10):
        hand.schedule.handle_timer(now_ms)
        hand.schedule.handle_rumors_dropped(now_ms)
        if hand.schedule.current is not None and hand.schedule.current.peer != A:
            hand.complete(now_ms)
    assert A in hand.begun[1:]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_the_next_deadline_is_ahead_and_nobody_is_forgotten(seed: int) -> None:
    rng = Random(seed)
    peers = [A, B, C][: rng.randrange(1, 4)]
    hand = Hand(*peers, seed=seed)
    schedule, now_ms = hand.schedule, 0

    def run_for(lasts_ms: int) -> None:
        for at_ms in range(now_ms, now_ms + lasts_ms, 100):
            schedule.handle_timer(at_ms)
            if schedule.current is not None:
                hand.complete(at_ms)

    for _ in range(200):
        peer, current = rng.choice(peers), schedule.current
        match rng.randrange(9):
            case 0:
                schedule.want(peer, now_ms)
            case 1:
                schedule.want_soon(peer, now_ms)
            case 2:
                hand.is_receiving = not hand.is_receiving
            case 3:
                schedule.is_paused = rng.random() < 0.2
            case 4:
                schedule.set_targets(rng.sample(peers, rng.randrange(len(peers) + 1)))
                schedule.handle_progress(now_ms)
            case 5 if current is not None:
                hand.break_off(now_ms)
            case 6 if current is not None:
                current.handle_over(is_busy=rng.random() < 0.5)
                schedule.handle_progress(now_ms)
            case 7:
                schedule.handle_settled(peer)
            case _:
                schedule.handle_rumors_dropped(now_ms)
        due_ms = schedule.next_deadline_ms()
        assert due_ms is not None
        now_ms = max(now_ms, due_ms) if rng.random() < 0.6 else now_ms + rng.randrange(50)
        schedule.handle_timer(now_ms)
        again_ms = schedule.next_deadline_ms()
        assert again_ms is not None
        assert again_ms > now_ms
        assert set(schedule._broken) <= set(schedule._targets)
    schedule.is_paused = hand.is_receiving = False
    schedule.set_targets(peers)
    hand.begun.clear()
    run_for(200_000)
    assert set(hand.begun) == set(peers)


def test_one_that_broke_is_tried_again_by_chance_if_there_is_nobody_else() -> None:
    hand = Hand(A)
    hand.schedule.want(A, 0)
    hand.break_off(0)
    hand.schedule.want_any(1)
    assert hand.begun == [A, A]


def test_one_that_settled_a_difference_itself_is_not_tried_again() -> None:
    hand = Hand(A)
    hand.schedule.want(A, 0)
    hand.break_off(0)
    hand.schedule.handle_settled(A)
    hand.schedule.handle_timer(4_000)
    assert hand.begun == [A]
