"""News of members: sent a bounded number of times, least sent first, within its bytes, the latest only."""

from math import ceil, log10

import pytest

from kvgossip.model.ids import Address, ReplicaId
from kvgossip.protocol.member_news import CLAIM_BYTES, MemberNewsQueue, item_bytes
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.protocol.members import ALIVE, DOWN, SUSPECT, claim, member, news, record, with_tuning

TUNING = with_tuning(news_mult=4, news_fanout=3, news_interval_ms=200, member_message_bytes_max=8_192)
PLENTY = 1 << 20


class Queue:
    """A queue and whom it chose."""

    def __init__(self, peers: int = 10) -> None:
        self.outbox = Outbox()
        self.peers = [Address(f"n{i}:1") for i in range(peers)]
        self.queue = MemberNewsQueue(TUNING, self.outbox, lambda count: self.peers[:count])

    def add(self, *told: m.Record | m.Claim) -> None:
        for item in told:
            self.queue.add(item)

    def take(self, bytes_max: int = PLENTY, member_count: int = 10) -> m.MemberNews | None:
        return self.queue.take(bytes_max, member_count)


@pytest.mark.parametrize("member_count", [1, 2, 9, 10, 100, 1_000])
def test_an_item_is_sent_a_multiple_of_the_logarithm_of_the_size(member_count: int) -> None:
    queue = Queue()
    queue.add(claim(1, DOWN))
    taken = 0
    while queue.take(member_count=member_count) is not None:
        taken += 1
    assert taken == 4 * max(ceil(log10(member_count + 1)), 1)
    assert len(queue.queue) == 0


def test_those_sent_least_go_first() -> None:
    queue = Queue()
    queue.add(claim(1, DOWN), claim(2, DOWN), claim(3, DOWN))
    order = []
    for _ in range(6):
        taken = queue.take(bytes_max=CLAIM_BYTES)
        assert taken is not None
        order += [told.replica for told in taken.claims]
    assert order == [1, 2, 3, 1, 2, 3]
    queue.add(claim(4, DOWN))
    taken = queue.take(bytes_max=CLAIM_BYTES)
    assert taken == news(claim(4, DOWN)), "what is new has been sent least"


@pytest.mark.parametrize("bytes_max", [20, 100, 1_024, 4_096])
def test_what_is_taken_is_within_its_bytes(bytes_max: int) -> None:
    queue = Queue()
    for number in range(1, 200):
        queue.add(record(member(number)) if number % 3 else claim(number, SUSPECT, by=7))
    taken = queue.take(bytes_max=bytes_max)
    if taken is None:
        assert bytes_max < CLAIM_BYTES
        return
    empty = len(codec.encode(m.MemberNews((), ()))) + 4
    assert len(codec.encode(taken)) - empty <= bytes_max
    sizes = [*map(item_bytes, taken.records), *map(item_bytes, taken.claims)]
    assert sum(sizes) <= bytes_max


def test_a_later_item_takes_the_place_of_an_earlier_one() -> None:
    queue = Queue()
    queue.add(record(member(1)), claim(1, SUSPECT, by=2), claim(1, DOWN))
    assert queue.take() == news(record(member(1)), claim(1, DOWN))
    queue.add(claim(1, ALIVE, incarnation=1))
    assert queue.take() == news(record(member(1)), claim(1, ALIVE, incarnation=1))
    queue.add(record(member(1, generation=2)))
    assert queue.take() == news(record(member(1, generation=2)))


def test_confirmations_of_one_suspicion_travel_side_by_side() -> None:
    queue = Queue()
    queue.add(claim(1, SUSPECT, by=2), claim(1, SUSPECT, by=3))
    taken = queue.take()
    assert taken is not None
    assert {told.by for told in taken.claims} == {2, 3}


def test_a_round_goes_to_a_few_while_there_is_news_and_then_nothing_does() -> None:
    queue = Queue()
    assert queue.queue.next_deadline_ms() is None
    queue.add(claim(1, DOWN))
    sent_ms = []
    for now_ms in range(0, 5_000, 10):
        queue.queue.handle_timer(now_ms, 10)
        sent = queue.outbox.take()
        assert len(sent) <= 3
        sent_ms += [now_ms] * len(sent)
    assert sent_ms == [200] * 3 + [400] * 3 + [600] * 2, "8 times: 4 times log10 of 10, rounded up"
    assert queue.queue.next_deadline_ms() is None


def test_a_round_is_within_the_bound_of_a_member_message() -> None:
    queue = Queue()
    for number in range(1, 500):
        queue.add(record(member(number)))
    queue.queue.handle_timer(0, 10)
    queue.queue.handle_timer(1_000, 10)
    sizes = [len(codec.encode(message)) for _, message in queue.outbox.take()]
    assert sizes
    assert max(sizes) <= 8_192


def test_with_nobody_to_tell_news_waits() -> None:
    queue = Queue(peers=0)
    queue.add(claim(1, DOWN))
    for now_ms in range(0, 5_000, 100):
        queue.queue.handle_timer(now_ms, 1)
    assert len(queue.queue) == 1
    assert queue.outbox.take() == []


def test_what_is_told_of_one_member_is_bounded() -> None:
    """Of a suspicion by everybody no more is kept than the table passes on; see ``Suspicion.confirm``."""
    queue = Queue()
    for incarnation in range(100):
        queue.add(claim(1, SUSPECT, incarnation=incarnation, by=2))
        queue.add(claim(1, ALIVE, incarnation=incarnation + 1))
    assert len(queue.queue) == 1
    assert queue.take() == news(claim(1, ALIVE, incarnation=100))
    assert ReplicaId(1) in queue.queue._items
