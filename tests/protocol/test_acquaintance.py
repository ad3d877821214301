"""Who is at an address, and how a copy of a directory shows: Hellos by hand."""

from dataclasses import replace

import pytest

from kvgossip.model.ids import Address, Generation, ReplicaId, StartNumber
from kvgossip.protocol.acquaintance import REPLICAS_MAX, TWINS_TOLD_MAX, Acquaintances, shows_copy
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import NO_START, Hello, Known


def known(replica: int, *, generation: int = 1, start: int = 77, counter: int = 0) -> Known:
    return Known(ReplicaId(replica), Generation(generation), StartNumber(start), counter)


class Hand:
    """One node: who it is, and what it has seen of others."""

    def __init__(self, name: str, me: Known) -> None:
        self.address = Address(f"{name}:1")
        self.me = me
        self.seen: dict[ReplicaId, int] = {}
        self.outbox = Outbox()
        self.acquaintances = Acquaintances(self.outbox, lambda replica: self.seen.get(replica, 0))
        self.heard: list[Hello] = []

    def receive(self, sender: Address, hello: Hello) -> bool:
        self.heard.append(hello)
        return self.acquaintances.handle_hello(sender, hello, self.me)

    def sent(self) -> list[tuple[Address, Hello]]:
        return [(to, message) for to, message in self.outbox.take() if isinstance(message, Hello)]

    def is_acquainted_with(self, other: "Hand") -> bool:
        return self.acquaintances.replica_at(
            other.address
        ) == other.me.replica and self.acquaintances.has_word_of(other.address)


def talk(*hands: Hand, lost: int = 0) -> int:
    """Deliver all Hellos but the first ``lost``; returns how many were sent."""
    by_address = {hand.address: hand for hand in hands}
    count = 0
    while sent := [(hand, to, hello) for hand in hands for to, hello in hand.sent()]:
        for sender, to, hello in sent:
            count += 1
            if count > lost:
                by_address[to].receive(sender.address, hello)
        assert count < 100, "no end of Hellos"
    return count


def last_told(hand: Hand) -> Known:
    told = hand.heard[-1].you
    assert told is not None
    return told


def test_three_hellos_and_both_have_the_others_word() -> None:
    a, b = Hand("a", known(1)), Hand("b", known(2))
    assert a.acquaintances.is_stranger(b.address)
    a.acquaintances.greet(b.address, a.me)
    assert talk(a, b) == 3
    assert a.is_acquainted_with(b)
    assert b.is_acquainted_with(a)
    assert not a.acquaintances.is_stranger(b.address)


def test_both_may_begin_at_once() -> None:
    a, b = Hand("a", known(1)), Hand("b", known(2))
    a.acquaintances.greet(b.address, a.me)
    b.acquaintances.greet(a.address, b.me)
    assert talk(a, b) <= 6
    assert a.is_acquainted_with(b)
    assert b.is_acquainted_with(a)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_lost_hello_is_made_up_for_by_the_next_greeting_of_either(lost: int) -> None:
    for greets_again in (0, 1):
        a, b = Hand("a", known(1)), Hand("b", known(2))
        a.acquaintances.greet(b.address, a.me)
        talk(a, b, lost=lost)
        again, other = ((a, b), (b, a))[greets_again]
        again.acquaintances.greet(other.address, again.me)
        talk(a, b)
        assert a.is_acquainted_with(b)
        assert b.is_acquainted_with(a)


def test_an_acquaintance_that_greets_again_is_no_new_start() -> None:
    a, b = Hand("a", known(1)), Hand("b", known(2))
    assert a.receive(b.address, Hello(b.me, None, False, NO_START))
    assert not a.receive(b.address, Hello(b.me, a.me, True, a.me.start_number))
    assert a.receive(
        b.address, Hello(replace(b.me, start_number=StartNumber(78)), a.me, True, a.me.start_number)
    )
    assert a.receive(b.address, Hello(known(3), a.me, True, a.me.start_number))
    assert a.acquaintances.replica_at(b.address) == 3


def test_another_start_at_an_address_has_to_give_its_word_anew() -> None:
    a, b = Hand("a", known(1)), Hand("b", known(2))
    a.receive(b.address, Hello(b.me, a.me, True, a.me.start_number))
    assert a.acquaintances.has_word_of(b.address)
    a.receive(b.address, Hello(known(2, generation=2, start=78), None, False, NO_START))
    assert not a.acquaintances.has_word_of(b.address)


def test_a_word_that_was_meant_for_an_earlier_start_is_none() -> None:
    """Seed 217: the peer greeted before it had heard of this start, and so gave its word to the last one."""
    a, b = Hand("a", known(1)), Hand("b", known(2))
    a.acquaintances.greet(b.address, a.me)
    talk(a, b)
    restored = Hand("a", known(1, generation=2, start=78, counter=2))
    b.seen[restored.me.replica] = 3
    b.acquaintances.greet(restored.address, b.me)
    [(_, stale)] = b.sent()
    restored.receive(b.address, stale)
    assert not restored.is_acquainted_with(b)
    talk(restored, b)
    assert restored.is_acquainted_with(b)
    assert any(told.you is not None and told.you.counter == 3 for told in restored.heard)


def test_a_new_identity_of_this_node_needs_the_word_of_all_anew() -> None:
    a, b = Hand("a", known(1)), Hand("b", known(2))
    a.acquaintances.greet(b.address, a.me)
    talk(a, b)
    a.me = known(9)
    a.acquaintances.handle_new_identity()
    assert not a.is_acquainted_with(b)
    a.receive(b.address, Hello(b.me, known(1), True, a.me.start_number))
    assert not a.is_acquainted_with(b), "that was said to the one it used to be"
    a.acquaintances.greet(b.address, a.me)
    talk(a, b)
    assert a.is_acquainted_with(b)


@pytest.mark.parametrize("start", [0, (1 << 64) - 1])
@pytest.mark.parametrize("generation", [0, 1, (1 << 32) - 1])
def test_any_hello_that_decodes_is_answered(start: int, generation: int) -> None:
    a = Hand("a", known(1))
    stranger = known(2, generation=generation, start=start, counter=(1 << 64) - 1)
    assert a.receive(Address("s:1"), Hello(stranger, None, False, NO_START))
    [(to, hello)] = a.sent()
    assert to == "s:1"
    assert hello.you == known(2, generation=0, start=0)


# -- copies --------------------------------------------------------------------------------------------------


def told_by_peer(*starts: Known, seen: int = 0) -> Known:
    """What a peer that met ``starts`` one after the other, and has seen so many dots, tells the last one."""
    peer = Hand("p", known(9))
    peer.seen[starts[0].replica] = seen
    for number, start in enumerate(starts):
        peer.receive(Address(f"s{number}:1"), Hello(start, None, False, NO_START))
    told = peer.sent()[-1][1].you if len(starts) == 1 else None
    if told is None:
        peer.receive(Address(f"s{len(starts) - 1}:1"), Hello(starts[-1], None, False, NO_START))
        told = peer.sent()[-1][1].you
    assert told is not None
    return told


def test_a_plain_restart_is_no_copy() -> None:
    first, second = known(1, generation=1, start=5, counter=7), known(1, generation=2, start=6, counter=7)
    told = told_by_peer(first, second, seen=7)
    assert (told.generation, told.counter) == (1, 7)
    assert not shows_copy(second, told, counter_told=7)


def test_a_directory_restored_from_a_backup_is_a_copy() -> None:
    """The peer knows a later start of it."""
    later, restored = known(1, generation=5, start=5), known(1, generation=3, start=6)
    assert shows_copy(restored, told_by_peer(later, restored), counter_told=0)


def test_two_live_nodes_on_one_copied_directory_are_copies() -> None:
    one, twin = known(1, generation=2, start=5), known(1, generation=2, start=6)
    assert shows_copy(twin, told_by_peer(one, twin), counter_told=0)


def test_a_peer_with_more_dots_than_were_issued_shows_a_copy() -> None:
    restored = known(1, generation=3, start=6, counter=4)
    assert shows_copy(restored, told_by_peer(restored, seen=9), counter_told=4)
    assert not shows_copy(restored, told_by_peer(restored, seen=4), counter_told=4)


def test_the_dots_that_this_start_issued_itself_are_no_sign_of_a_copy() -> None:
    me = known(1, generation=2, start=6, counter=10)
    assert not shows_copy(me, known(1, generation=2, start=6, counter=10), counter_told=0)
    assert shows_copy(me, known(1, generation=2, start=6, counter=11), counter_told=0)
    assert not shows_copy(me, known(1, generation=1, start=5, counter=8), counter_told=8)


def test_what_is_known_of_another_replica_shows_nothing() -> None:
    assert not shows_copy(known(1), known(2, generation=9, counter=99), counter_told=0)


def test_who_was_known_by_the_same_id_elsewhere_hears_of_its_twin() -> None:
    peer = Hand("p", known(9))
    peer.receive(Address("one:1"), Hello(known(1, start=5), peer.me, True, peer.me.start_number))
    peer.sent()
    peer.receive(
        Address("two:1"), Hello(known(1, generation=1, start=6), peer.me, True, peer.me.start_number)
    )
    [(to, hello)] = peer.sent()
    assert to == "one:1"
    assert hello.you is not None
    assert hello.you.start_number != 5


def test_who_invents_replicas_and_twins_without_end_takes_bounded_memory_and_is_answered_in_bounds() -> None:
    peer = Hand("p", known(9))
    for number in range(REPLICAS_MAX + 100):
        peer.receive(Address("liar:1"), Hello(known(1_000 + number), None, False, NO_START))
    assert len(peer.sent()) == REPLICAS_MAX + 100
    assert len(peer.acquaintances._latest) == len(peer.acquaintances._before) == REPLICAS_MAX
    for number in range(50):
        peer.receive(Address(f"liar{number}:1"), Hello(known(7, start=number + 1), None, False, NO_START))
    assert len(peer.sent()) <= 50 * (1 + TWINS_TOLD_MAX)
