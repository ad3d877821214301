"""Membership by hand: who learns of whom, who is alive, and what it costs."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import ADDRESS_CHARS_MAX, NODE_NAME_CHARS_MAX, Member
from kvgossip.protocol.membership import SILENT_ASKED_MAX, Membership, with_leave
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire import codec
from kvgossip.wire.messages import MemberAck, MemberAck2, MemberDigest, MemberSyn, Message

TIMEOUT_MS = Tuning().member_timeout_ms
SEED_INTERVAL_MS = Tuning().seed_interval_ms


def record(number: int, *, generation: int = 1, version: int = 1, at: str | None = None) -> Member:
    return Member(
        replica=ReplicaId(number),
        generation=Generation(generation),
        version=version,
        name=f"n{number}",
        peer=Address(at or f"n{number}:1"),
        api=f"n{number}:2",
        software="0.1",
    )


class Hand:
    """The member table of one node."""

    def __init__(
        self, me: Member, *known: Member, seeds: tuple[str, ...] = (), tuning: Tuning | None = None
    ) -> None:
        self.outbox = Outbox()
        self.tuning = tuning or Tuning()
        self.table = Membership(
            me, known, tuning=self.tuning, rng=Random(me.replica), outbox=self.outbox, now_ms=0
        )
        self.table.set_seeds([Address(seed) for seed in seeds])

    @property
    def address(self) -> Address:
        return self.table.me.peer

    def sent(self) -> list[tuple[Address, Message]]:
        self.table.check_invariants()
        return self.outbox.take()

    def receive(self, sender: "Hand", message: Message, now_ms: int) -> None:
        """As the replica does: the message, and then that something was heard."""
        frame = codec.encode(message)
        assert len(frame) <= self.tuning.member_message_bytes_max
        match codec.decode(frame):
            case MemberSyn() as syn:
                self.table.handle_syn(sender.address, syn, now_ms)
            case MemberAck() as ack:
                self.table.handle_ack(sender.address, ack, now_ms)
            case MemberAck2() as ack2:
                self.table.handle_ack2(ack2, now_ms)
        self.table.handle_heard(sender.table.me.replica, now_ms)

    def changes(self) -> list[tuple[str, int]]:
        return [(change.kind, change.member.replica) for change in self.table.take_changes()]

    def knows(self) -> set[int]:
        return {member.replica for member, _, _ in self.table.members()}

    def alive(self) -> set[int]:
        return {member.replica for member, is_alive, _ in self.table.members() if is_alive}


def talk(hands: list[Hand], now_ms: int) -> int:
    """Deliver until nobody says anything more; returns how many messages arrived."""
    by_address = {hand.address: hand for hand in hands}
    count = 0
    while sent := [(hand, to, message) for hand in hands for to, message in hand.sent()]:
        for sender, to, message in sent:
            if to in by_address:
                count += 1
                by_address[to].receive(sender, message, now_ms)
    return count


def rounds(hands: list[Hand], from_ms: int, to_ms: int) -> None:
    """Let time pass, a tenth of a second at a time."""
    for now_ms in range(from_ms, to_ms, 100):
        for hand in hands:
            if hand.table.next_deadline_ms() <= now_ms:
                hand.table.handle_timer(now_ms)
        talk(hands, now_ms)


def first_round(hand: Hand, now_ms: int = 0) -> list[Address]:
    hand.table.handle_timer(now_ms)
    return [to for to, _ in hand.sent()]


# -- joining -------------------------------------------------------------------------------------------------


def test_a_node_joins_by_syn_ack_and_ack2() -> None:
    new, seed = Hand(record(1), seeds=("n2:1",)), Hand(record(2))
    new.table.handle_timer(0)
    [(to, syn)] = new.sent()
    assert (to, type(syn)) == (seed.address, MemberSyn)
    seed.receive(new, syn, 0)
    [(to, ack)] = seed.sent()
    assert isinstance(ack, MemberAck)
    assert [member.replica for member in ack.records] == [2]
    assert ack.asked == (1,)
    new.receive(seed, ack, 0)
    sent = new.sent()
    ack2 = next(message for _, message in sent if isinstance(message, MemberAck2))
    assert [member.replica for member in ack2.records] == [1]
    seed.receive(new, ack2, 0)
    assert new.changes() == [("joined", 2), ("alive", 2)]
    assert ("joined", 1) in seed.changes()
    assert seed.knows() == {1}


def test_nobody_is_configured_twice() -> None:
    """Each node is told of one other; all come to know all."""
    hands = [Hand(record(i), seeds=(f"n{i + 1}:1",)) for i in range(1, 6)]
    rounds(hands, 0, 3_000)
    for hand in hands:
        assert hand.knows() | {hand.table.me.replica} == {1, 2, 3, 4, 5}
        assert hand.alive() == hand.knows()


def test_two_islands_find_each_other_whichever_came_up_first() -> None:
    left = [Hand(record(i), seeds=("n1:1",)) for i in (1, 2)]
    right = [Hand(record(i), seeds=("n3:1", "n1:1")) for i in (3, 4)]
    rounds(right, 0, 20_000)
    assert right[0].knows() == {4}
    rounds(left + right, 20_000, 20_000 + 2 * SEED_INTERVAL_MS)
    for hand in left + right:
        assert len(hand.alive()) == 3


def test_seeds_are_asked_again_and_again() -> None:
    hand, peer = Hand(record(1), record(2), seeds=("seed:1", "n1:1")), Hand(record(2))
    asked_ms = []
    for now_ms in range(0, 30_000, 100):
        hand.table.handle_heard(peer.table.me.replica, now_ms)
        hand.table.handle_timer(now_ms)
        asked_ms += [now_ms for to, _ in hand.sent() if to == "seed:1"]
        assert Address("n1:1") not in [to for to, _ in hand.sent()], "not itself"
    gaps = [b - a for a, b in pairwise(asked_ms)]
    assert len(asked_ms) >= 4
    assert max(gaps) <= SEED_INTERVAL_MS + 2_000


def test_seeds_are_asked_in_time_however_many_members_are_down() -> None:
    dead = [record(i) for i in range(10, 90)]
    hand = Hand(record(1), record(2), *dead, seeds=("seed:1",))
    asked = 0
    for now_ms in range(0, 30_000, 100):
        hand.table.handle_heard(ReplicaId(2), now_ms)
        hand.table.handle_timer(now_ms)
        asked += [to for to, _ in hand.sent()].count(Address("seed:1"))
    assert asked >= 4


def test_alone_a_node_asks_a_few_silent_members_and_seeds_a_round() -> None:
    hand = Hand(record(1), *[record(i) for i in range(2, 30)], seeds=("seed:1",))
    assert len(first_round(hand)) == SILENT_ASKED_MAX


# -- life ----------------------------------------------------------------------------------------------------


def test_a_known_member_is_not_alive_before_it_is_heard() -> None:
    hand = Hand(record(1), record(2))
    assert hand.alive() == set()
    assert hand.table.live_addresses() == []
    hand.table.handle_heard(ReplicaId(2), 0)
    assert hand.changes() == [("alive", 2)]
    assert hand.table.live_addresses() == ["n2:1"]


def test_a_member_is_down_after_silence_and_alive_again_when_heard() -> None:
    hand = Hand(record(1), record(2))
    hand.table.handle_heard(ReplicaId(2), 0)
    hand.changes()
    hand.table.handle_timer(TIMEOUT_MS - 1)
    assert hand.changes() == []
    hand.table.handle_timer(TIMEOUT_MS)
    assert hand.changes() == [("down", 2)]
    assert hand.table.live_addresses() == []
    hand.table.handle_timer(TIMEOUT_MS + 1)
    assert hand.changes() == []
    hand.table.handle_heard(ReplicaId(2), TIMEOUT_MS + 2)
    assert hand.changes() == [("alive", 2)]


def test_a_newer_heartbeat_told_by_another_is_a_proof_of_life_and_an_old_one_is_not() -> None:
    hand, teller = Hand(record(1), record(2), record(3)), Hand(record(3))

    def told(heartbeat: int, now_ms: int) -> set[int]:
        digest = MemberDigest(ReplicaId(2), Generation(1), 1, heartbeat)
        hand.table.handle_syn(teller.address, MemberSyn((digest,)), now_ms)
        return hand.alive()

    assert told(5, 0) == {2}
    hand.table.handle_timer(TIMEOUT_MS)
    assert hand.alive() == set()
    assert told(5, TIMEOUT_MS + 1) == set()
    assert told(4, TIMEOUT_MS + 1) == set()
    assert told(6, TIMEOUT_MS + 1) == {2}


def test_members_that_cannot_hear_each_other_are_kept_alive_by_a_third() -> None:
    """A bridge: 1 and 3 are cut off from each other, both talk with 2."""
    hands = [Hand(record(i), *(record(j) for j in range(1, 4) if j != i)) for i in range(1, 4)]
    for now_ms in range(0, 20_000, 100):
        for hand in hands:
            if hand.table.next_deadline_ms() <= now_ms:
                hand.table.handle_timer(now_ms)
        for _ in range(4):
            for sender, to, message in [(h, to, msg) for h in hands for to, msg in h.sent()]:
                receiver = next(hand for hand in hands if hand.address == to)
                if {sender.table.me.replica, receiver.table.me.replica} != {1, 3}:
                    receiver.receive(sender, message, now_ms)
    assert hands[0].alive() == {2, 3}
    assert hands[2].alive() == {1, 2}


def test_a_member_that_leaves_is_told_as_such_and_not_asked_again() -> None:
    hand, other = Hand(record(1), record(2)), Hand(record(2))
    hand.table.handle_heard(ReplicaId(2), 0)
    hand.changes()
    hand.receive(other, MemberAck2((with_leave(record(2)),)), 1)
    assert hand.changes() == [("left", 2), ("down", 2)]
    assert first_round(hand, 2) == []
    back = replace(record(2), generation=Generation(2))
    hand.receive(other, MemberAck2((back,)), 3)
    assert hand.changes() == [("restarted", 2), ("alive", 2)]


# -- restarts ------------------------------------------------------------------------------------------------


def test_a_restart_at_another_address_works_at_once_though_it_was_alive_at_the_old_one() -> None:
    """Whoever sends to live members must be told of the new address."""
    hand = Hand(record(1), record(2))
    hand.table.handle_heard(ReplicaId(2), 0)
    hand.changes()
    restarted = Hand(record(2, generation=2, at="elsewhere:1"))
    hand.receive(restarted, MemberAck2((restarted.table.me,)), 100)
    assert hand.changes() == [("restarted", 2), ("alive", 2)]
    assert hand.table.live_addresses() == ["elsewhere:1"]


def test_a_restart_at_its_old_address_is_told_and_it_stays_alive() -> None:
    hand = Hand(record(1), record(2))
    hand.table.handle_heard(ReplicaId(2), 0)
    hand.changes()
    restarted = Hand(record(2, generation=2))
    hand.receive(restarted, MemberAck2((restarted.table.me,)), 100)
    assert hand.changes() == [("restarted", 2)]
    assert hand.alive() == {2}


def test_a_stale_record_is_no_news() -> None:
    hand, teller = Hand(record(1), record(2, generation=3, version=5), record(3)), Hand(record(3))
    stale = (record(2, generation=2, version=9), record(2, generation=3, version=4))
    hand.receive(teller, MemberAck2(stale), 0)
    assert ("restarted", 2) not in hand.changes()
    found = hand.table.find(ReplicaId(2))
    assert found is not None
    assert (found.generation, found.version) == (3, 5)
    assert 2 not in hand.alive()


def test_what_others_say_of_this_node_is_not_taken_but_a_later_start_shows_a_copy() -> None:
    hand, teller = Hand(record(1)), Hand(record(2))
    hand.receive(teller, MemberAck2((record(1, generation=9, at="elsewhere:1"),)), 0)
    assert hand.table.me.peer == "n1:1"
    assert not hand.table.found_copy
    hand.receive(teller, MemberSyn((MemberDigest(ReplicaId(1), Generation(1), 9, 99),)), 0)
    assert not hand.table.found_copy
    hand.receive(teller, MemberSyn((MemberDigest(ReplicaId(1), Generation(2), 1, 1),)), 0)
    assert hand.table.found_copy


def test_a_replica_that_was_replaced_at_its_address_is_down_and_no_longer_told_of() -> None:
    """A wiped directory is a new replica at the old address."""
    hand = Hand(record(1), record(2), record(3, at="n2:1"))
    hand.table.handle_heard(ReplicaId(2), 0)
    hand.changes()
    hand.table.handle_acquainted(Address("n2:1"), ReplicaId(3))
    hand.table.handle_heard(ReplicaId(3), 1)
    assert hand.changes() == [("down", 2), ("alive", 3)]
    hand.table.handle_timer(2)
    [(_, syn)] = hand.sent()
    assert isinstance(syn, MemberSyn)
    assert {digest.replica for digest in syn.digests} == {1, 3}
    hand.table.handle_heard(ReplicaId(2), 3)
    assert hand.changes() == [], "a frame from before the change is no life"


def test_a_replaced_replica_that_turns_up_elsewhere_is_alive_there() -> None:
    hand = Hand(record(1), record(2), record(3, at="n2:1"))
    hand.table.handle_acquainted(Address("n2:1"), ReplicaId(3))
    moved = Hand(record(2, generation=2, at="elsewhere:1"))
    hand.table.handle_acquainted(moved.address, ReplicaId(2))
    hand.receive(moved, MemberAck2((moved.table.me,)), 5)
    assert hand.table.live_addresses() == ["elsewhere:1"]


def test_replicas_that_have_exchanged_their_addresses_are_alive_there() -> None:
    """As of containers that were started in another order: each Hello comes before its record."""
    hand = Hand(record(1), record(2, at="a:1"), record(3, at="b:1"))
    moved = Hand(record(2, generation=2, at="b:1")), Hand(record(3, generation=2, at="a:1"))
    for other in moved:
        hand.table.handle_acquainted(other.address, other.table.me.replica)
        hand.table.handle_heard(other.table.me.replica, 4)
    for other in moved:
        hand.receive(other, MemberAck2((other.table.me,)), 5)
    assert hand.table.live_addresses() == ["a:1", "b:1"]
    assert hand.alive() == {2, 3}


# -- cost ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["x", "é", "字", "🜚"])
def test_no_message_exceeds_its_bound_with_2000_members_with_the_longest_records(letter: str) -> None:
    def longest(number: int) -> Member:
        return replace(
            record(number),
            replica=ReplicaId((1 << 64) - 1 - number),
            generation=Generation((1 << 32) - 1),
            version=(1 << 48) - 1 - number % 2,
            name=letter * NODE_NAME_CHARS_MAX,
            peer=Address(f"{number}{letter * ADDRESS_CHARS_MAX}"[:ADDRESS_CHARS_MAX]),
            api=letter * ADDRESS_CHARS_MAX,
            software=letter * NODE_NAME_CHARS_MAX,
        )

    members = [longest(i) for i in range(2_000)]
    one, two = Hand(members[0], *members[1:1_500]), Hand(members[1], *members[500:])
    one.table._heartbeat = two.table._heartbeat = 1 << 60
    bound = one.tuning.member_message_bytes_max
    for now_ms in range(0, 5_000, 1_000):
        for hand, other in ((one, two), (two, one)):
            other.table.handle_syn(hand.address, MemberSyn(hand.table._digests()), now_ms)
            for to, message in other.sent():
                assert len(codec.encode(message)) <= bound
                if to == hand.address and isinstance(message, MemberAck):
                    assert message.records
                    hand.table.handle_ack(other.address, message, now_ms)
            for _, message in hand.sent():
                assert len(codec.encode(message)) <= bound


def test_a_peer_that_mentions_a_thousand_strangers_gets_an_answer_within_the_bound() -> None:
    hand, peer = Hand(record(1)), Hand(record(2))
    digests = tuple(
        MemberDigest(ReplicaId((1 << 63) + i), Generation(1), 1, 1) for i in range(codec.MEMBER_ITEMS_MAX)
    )
    hand.table.handle_syn(peer.address, MemberSyn(digests), 0)
    [(_, ack)] = hand.sent()
    assert len(codec.encode(ack)) <= hand.tuning.member_message_bytes_max


def test_a_large_cluster_is_learned_in_seconds_though_no_message_holds_it() -> None:
    everyone = [record(i) for i in range(1, 301)]
    hands = [Hand(me, *(m for m in everyone if m is not me)) for me in everyone]
    for hand in hands:
        for member in everyone:
            hand.table.handle_heard(member.replica, 0)
    new = Hand(record(1_000), seeds=("n1:1",))
    rounds([*hands, new], 0, 3_000)
    assert len(new.knows()) == 300
    assert all(1_000 in hand.knows() for hand in hands)


def test_idle_members_exchange_digests_and_no_records() -> None:
    hands = [Hand(record(i), *(record(j) for j in range(1, 4) if j != i)) for i in range(1, 4)]
    rounds(hands, 0, 3_000)
    for hand in hands:
        hand.table._next_round_ms = 3_000
        hand.table.handle_timer(3_000)
    sent = [(hand, to, message) for hand in hands for to, message in hand.sent()]
    assert len(sent) == 3
    for sender, to, message in sent:
        assert isinstance(message, MemberSyn)
        receiver = next(hand for hand in hands if hand.address == to)
        receiver.receive(sender, message, 3_000)
        [(_, ack)] = receiver.sent()
        assert isinstance(ack, MemberAck)
        assert (ack.records, ack.asked) == ((), ())
