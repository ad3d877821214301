"""The digest exchange: bounded whatever the cluster's size, freshest first, and nobody comes back from it."""

from dataclasses import replace

import pytest

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import (
    ADDRESS_CHARS_MAX,
    INCARNATION_MAX,
    NODE_NAME_CHARS_MAX,
    NUMBER_MAX,
    TAG_KEY_CHARS_MAX,
    TAG_VALUE_CHARS_MAX,
    TAGS_MAX,
    TROUBLE_CHARS_MAX,
    TROUBLES_MAX,
    VERSION_MAX,
    ZONE_CHARS_MAX,
    Load,
    Member,
    MemberState,
    Standing,
)
from kvgossip.protocol.member_gossip import ASKED_MAX, DIGEST_BYTES
from kvgossip.protocol.member_news import CLAIM_BYTES, record_bytes
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.protocol.members import (
    ALIVE,
    DOWN,
    FORGOTTEN,
    SUSPECT,
    Hand,
    acquainted,
    claim,
    member,
    news,
    record,
    standing,
    talk,
)

BYTES_MAX = Tuning().member_message_bytes_max


def digest(number: int, *, version: int = 1, told: Standing | None = None) -> m.MemberDigest:
    return m.MemberDigest(ReplicaId(number), version, told or standing())


def longest(number: int, letter: str = "x") -> Member:
    return Member(
        replica=ReplicaId((1 << 64) - 1 - number),
        generation=Generation((1 << 32) - 1),
        version=VERSION_MAX - number % 2,
        name=letter * NODE_NAME_CHARS_MAX,
        peer=Address(f"{number}{letter * ADDRESS_CHARS_MAX}"[:ADDRESS_CHARS_MAX]),
        api=letter * ADDRESS_CHARS_MAX,
        software=letter * NODE_NAME_CHARS_MAX,
        zone=letter * ZONE_CHARS_MAX,
        wire_version=(1 << 16) - 1,
        load=Load(*(NUMBER_MAX,) * 5),
        root=(1 << 128) - 1,
    )


# -- bounds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["x", "🜚"])
def test_no_message_exceeds_its_bound_with_2000_members_with_the_longest_records(letter: str) -> None:
    """``Hand.receive`` holds each of them against the bound."""
    members = [longest(number, letter) for number in range(2_000)]
    one, two = Hand(members[0], *members[1:1_500]), Hand(members[1], members[0], *members[500:])
    for hand, other in ((one, two), (two, one)):
        before = len(hand.knows())
        for now_ms in range(0, 3_000, 1_000):
            hand.membership.gossip.begin(other.address)
            talk([one, two], now_ms)
        assert len(hand.knows()) > before


def test_what_the_bounds_are_computed_from_is_never_too_little() -> None:
    told = Standing(Generation((1 << 32) - 1), INCARNATION_MAX, MemberState.FORGOTTEN)
    last = ReplicaId((1 << 64) - 1)
    empty = len(codec.encode(m.MemberNews((), ())))
    assert len(codec.encode(m.MemberNews((), (m.Claim(last, told, last),)))) - empty <= CLAIM_BYTES
    digests = (m.MemberDigest(last, VERSION_MAX, told),)
    assert len(codec.encode(m.MemberSyn(digests, True))) - empty <= DIGEST_BYTES
    for letter in ("x", "🜚"):
        tag = (letter * TAG_KEY_CHARS_MAX, letter * TAG_VALUE_CHARS_MAX)
        largest = replace(
            longest(1, letter), tags=(tag,) * TAGS_MAX, troubles=(letter * TROUBLE_CHARS_MAX,) * TROUBLES_MAX
        )
        encoded = codec.encode(m.MemberNews((m.Record(largest, replace(told)),), ()))
        assert len(encoded) - empty <= record_bytes(largest)


def test_a_peer_that_mentions_a_thousand_strangers_gets_an_answer_within_the_bound() -> None:
    hand, peer = Hand(1), Hand(2)
    digests = tuple(digest((1 << 63) + i) for i in range(codec.MEMBER_ITEMS_MAX))
    hand.membership.receive(peer.address, m.MemberSyn(digests, False), 0)
    [(_, ack)] = hand.sent()
    assert isinstance(ack, m.MemberAck)
    assert len(ack.asked) == ASKED_MAX
    assert len(codec.encode(ack)) <= BYTES_MAX


def test_a_peer_that_asks_for_everybody_gets_an_answer_within_the_bound() -> None:
    hand, peer = Hand(1, *[longest(i) for i in range(500)]), Hand(2)
    everybody = tuple(p.member.replica for p in hand.table.known())
    hand.membership.receive(peer.address, m.MemberAck((), (), (), everybody, False), 0)
    [(_, ack2)] = hand.sent()
    assert isinstance(ack2, m.MemberAck2)
    assert ack2.records
    assert len(codec.encode(ack2)) <= BYTES_MAX


def test_the_dead_and_the_forgotten_do_not_push_the_living_out_of_a_digest() -> None:
    hand = Hand(1, *[member(i) for i in range(2, 1_000)])
    for number in range(2, 900):
        hand.table.declare(ReplicaId(number), FORGOTTEN)
    hand.membership.gossip.begin(Address("n2:1"))
    [(_, syn)] = hand.sent()
    assert isinstance(syn, m.MemberSyn)
    assert syn.is_whole
    assert {told.replica for told in syn.digests} == {1, *range(900, 1_000)}


# -- freshest first ------------------------------------------------------------------------------------------


def test_a_part_of_the_whole_holds_this_node_and_who_changed_last() -> None:
    hand = Hand(1, *[member(i) for i in range(2, 1_000)])
    changed = range(500, 540)
    for number in changed:
        hand.table.accuse(ReplicaId(number), 0)
    mentioned = []
    for _ in range(30):
        hand.membership.gossip.begin(Address("n2:1"))
        [(_, syn)] = hand.sent()
        assert isinstance(syn, m.MemberSyn)
        assert not syn.is_whole
        assert len(codec.encode(syn)) <= BYTES_MAX // 2
        mentioned.append({told.replica for told in syn.digests})
    for replicas in mentioned:
        assert {1, *changed} <= replicas
    assert len(set.union(*mentioned)) > 800, "the rest is random: all come in their turn"


def test_a_joiner_of_a_cluster_of_1000_learns_all_in_bounded_messages() -> None:
    seed = Hand(1, *[member(i) for i in range(2, 1_001)])
    joiner = Hand(5_000)
    joiner.membership.gossip.begin(seed.address)
    assert talk([seed, joiner], 0) < 1_000
    assert len(joiner.knows()) > 900, "it goes on while there are strangers in what is shown to it"
    for now_ms in range(1_000, 40_000, 1_000):
        joiner.membership.gossip.begin(seed.address)
        talk([seed, joiner], now_ms)
    assert joiner.knows() == set(range(1, 1_001))
    assert seed.knows() == {*range(2, 1_001), 5_000}


def test_two_tables_that_differ_in_one_of_1000_members_agree_after_one_exchange() -> None:
    """The row that changed is among the freshest."""
    one, two = (Hand(i, *[member(j) for j in range(1, 1_001) if j != i]) for i in (1, 2))
    one.table.declare(ReplicaId(777), DOWN)
    one.membership.gossip.begin(two.address)
    assert talk([one, two], 0) <= 3
    assert two.state_of(777) is SUSPECT, "it is told of; each node looks for itself"


# -- what is found -------------------------------------------------------------------------------------------


def test_tables_that_agree_exchange_a_syn_and_an_empty_ack() -> None:
    one, two = acquainted(1, 2)
    one.membership.gossip.begin(two.address)
    [(_, syn)] = one.sent()
    two.receive(one, syn, 0)
    assert two.sent() == [(one.address, m.MemberAck((), (), (), (), False))]


def test_what_is_newer_goes_in_both_directions() -> None:
    one = Hand(1, member(2), member(3, version=7), member(4))
    two = Hand(2, member(1), member(3), member(4, version=9))
    one.membership.gossip.begin(two.address)
    talk([one, two], 0)
    for hand in (one, two):
        assert [hand.table.peers[ReplicaId(i)].member.version for i in (3, 4)] == [7, 9]
    assert one.table.fingerprint == two.table.fingerprint


def test_a_digest_does_not_forget_the_generation() -> None:
    """A restart counts more than any number of changes of the start before it."""
    one = Hand(1, member(2), member(3, generation=2, version=1))
    two = Hand(2, member(1), member(3, generation=1, version=900))
    two.table.take_claim(claim(3, SUSPECT, incarnation=800), 0)
    two.membership.gossip.begin(one.address)
    talk([one, two], 0)
    for hand in (one, two):
        peer = hand.table.peers[ReplicaId(3)]
        assert (peer.member.generation, peer.member.version) == (2, 1)
        assert peer.standing == standing(ALIVE, generation=2)


def test_a_claim_alone_travels_without_its_record() -> None:
    one, two = acquainted(1, 2, 3)[:2]
    one.table.accuse(ReplicaId(3), 0)
    one.membership.gossip.begin(two.address)
    [(_, syn)] = one.sent()
    two.receive(one, syn, 0)
    assert two.state_of(3) is SUSPECT, "the digest said it"
    two.table.take_claim(claim(3, ALIVE, incarnation=1), 0)
    two.sent()
    two.receive(one, syn, 0)
    [(_, ack)] = [(to, told) for to, told in two.sent() if isinstance(told, m.MemberAck)]
    assert ack == m.MemberAck((), (), (claim(3, ALIVE, incarnation=1),), (), False)


def test_a_forgotten_member_is_not_brought_back_by_who_was_away() -> None:
    one, two, *_ = acquainted(1, 2, 3)
    one.table.declare(ReplicaId(3), DOWN)
    one.membership.forget(ReplicaId(3))
    for begins, other in ((one, two), (two, one)):
        begins.membership.gossip.begin(other.address)
        talk([one, two], 0)
        assert 3 not in one.knows()
    one.receive(two, news(record(member(3))), 0)
    assert 3 not in one.knows()
    assert 3 not in two.knows(), "and it hears of it"


def test_a_stranger_that_is_forgotten_is_not_asked_for() -> None:
    hand, peer = Hand(1), Hand(2)
    told = digest(3, told=standing(FORGOTTEN))
    hand.membership.receive(peer.address, m.MemberSyn((digest(2), told), False), 0)
    acks = [message for _, message in hand.sent() if isinstance(message, m.MemberAck)]
    assert [ack.asked for ack in acks] == [(2,)]


def test_a_forgotten_member_that_starts_again_is_a_member_again() -> None:
    one = acquainted(1, 2, 3)[0]
    one.table.declare(ReplicaId(3), DOWN)
    one.membership.forget(ReplicaId(3))
    back = Hand(member(3, generation=2))
    one.membership.handle_acquainted(back.address, back.replica)
    talk([one, back], 0)
    assert one.live() == {2, 3}


def test_tables_that_differ_are_compared_at_most_once_an_interval() -> None:
    hand, peer = acquainted(1, 2)
    asked = []
    for now_ms in range(0, 5_000, 50):
        hand.membership.receive(peer.address, m.Ack(9, hand.table.fingerprint ^ 1), now_ms)
        asked += [now_ms for _, message in hand.sent() if isinstance(message, m.MemberSyn)]
    assert asked == [0, 1_000, 2_000, 3_000, 4_000]
    hand.membership.receive(peer.address, m.Ack(9, hand.table.fingerprint), 9_000)
    assert hand.sent() == []


def test_an_answer_that_taught_nothing_does_not_ask_for_more() -> None:
    """A peer that says ``has_more`` for ever must not make two nodes talk for ever."""
    hand, peer = acquainted(1, 2)
    hand.membership.receive(peer.address, m.MemberAck((), (), (), (), True), 0)
    assert hand.sent() == []
