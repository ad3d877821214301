"""One member gone bad, with the cluster secret: what it forges lasts no longer than a refutation takes.

The liar is a node of the membership simulator whose frames are made here; all others run the real machine.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from kvgossip.errors import EncodingError
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import INCARNATION_MAX, MemberState, Standing
from kvgossip.protocol import member_table
from kvgossip.protocol.member_news import NEWS_MEMBERS_MAX
from kvgossip.protocol.member_table import MEMBERS_MAX
from kvgossip.sim.members.cluster import MemberCluster
from kvgossip.sim.members.node import MemberNode
from kvgossip.wire import codec
from kvgossip.wire import messages as m

REFUTED_MS = 1_000
"""A refutation reaches everybody within this, on a network that works."""
THIRD_PARTY = Address("203.0.113.9:443")


class Lair:
    """Ten nodes; the last one lies."""

    def __init__(self, seed: int = 1) -> None:
        self.cluster = MemberCluster(10, seed)
        self.cluster.run(6_000)
        self.victim, self.liar = self.cluster.nodes[3], self.cluster.nodes[-1]
        self.honest = self.cluster.nodes[:-1]

    def tell_all(self, message: m.Message, but: MemberNode | None = None) -> None:
        for node in self.honest:
            if node is not but:
                self.cluster.inject(self.liar.address, node.address, codec.encode(message))

    def absent_ms(self, tell: Callable[[], None], duration_ms: int = 30_000) -> int:
        """The longest time for which an honest node held an honest one neither alive nor suspect."""
        tell()
        absent: Counter[tuple[ReplicaId, ReplicaId]] = Counter()
        for _ in range(duration_ms // 50):
            self.cluster.run(50)
            for a in self.honest:
                for b in self.honest:
                    if a is not b and a.holds(b.replica) not in (MemberState.ALIVE, MemberState.SUSPECT):
                        absent[(a.replica, b.replica)] += 50
        return max(absent.values(), default=0)

    def check(self) -> None:
        """Everybody is there again, nobody has lost its mind."""
        self.cluster.check()
        assert self.cluster.settle(self.cluster.all_alive, 10_000) is not None


def claim(node: MemberNode, state: MemberState, *, incarnation: int = 0, generation: int = 1) -> m.MemberNews:
    standing = Standing(Generation(generation), incarnation, state)
    return m.MemberNews((), (m.Claim(node.replica, standing, ReplicaId(0)),))


@pytest.mark.parametrize("state", [MemberState.SUSPECT, MemberState.DOWN])
def test_a_live_node_that_is_said_to_be_gone_never_goes(state: MemberState) -> None:
    lair = Lair()
    assert lair.absent_ms(lambda: lair.tell_all(claim(lair.victim, state))) == 0
    assert lair.victim.incarnation >= 1
    lair.check()


@pytest.mark.parametrize("state", [MemberState.LEFT, MemberState.FORGOTTEN])
def test_a_live_node_that_is_said_to_have_left_is_back_at_once(state: MemberState) -> None:
    """Even if the liar takes care not to tell the victim."""
    lair = Lair()
    absent_ms = lair.absent_ms(lambda: lair.tell_all(claim(lair.victim, state), but=lair.victim))
    assert absent_ms <= REFUTED_MS
    lair.check()


def test_the_same_lie_again_and_again_is_refuted_again_and_again() -> None:
    lair = Lair()
    for incarnation in range(20):
        lie = claim(lair.victim, MemberState.DOWN, incarnation=lair.victim.incarnation + incarnation)
        assert lair.absent_ms(partial(lair.tell_all, lie), 500) == 0
    lair.cluster.run(3_000)
    lair.check()


def test_a_replayed_claim_of_the_past_does_nothing() -> None:
    lair = Lair()
    old = claim(lair.victim, MemberState.DOWN)
    lair.tell_all(old)
    lair.cluster.run(10_000)
    incarnation = lair.victim.incarnation
    before = len(lair.cluster.seen)
    for _ in range(20):
        lair.tell_all(old)
        lair.cluster.run(200)
    assert lair.victim.incarnation == incarnation
    assert len(lair.cluster.seen) == before


def test_an_incarnation_of_63_bits_is_no_message() -> None:
    lair = Lair()
    fits = codec.encode(claim(lair.victim, MemberState.DOWN, incarnation=INCARNATION_MAX))
    assert codec.decode(fits) is not None
    for incarnation in (INCARNATION_MAX + 1, 1 << 63):
        with pytest.raises(EncodingError):
            codec.decode(codec.encode(claim(lair.victim, MemberState.DOWN, incarnation=incarnation)))


@pytest.mark.parametrize(
    "state", [MemberState.ALIVE, MemberState.SUSPECT, MemberState.DOWN, MemberState.LEFT]
)
def test_the_last_incarnation_removes_nobody_for_longer_than_a_refutation(state: MemberState) -> None:
    """The victim cannot outrank it. It is told so; a start of it that can is not up to this machine."""
    lair = Lair()
    lie = claim(lair.victim, state, incarnation=INCARNATION_MAX)
    if state is MemberState.LEFT:
        lair.tell_all(lie)
        lair.cluster.run(2_000)
        assert lair.victim.membership.table.found_copy
        return
    assert lair.absent_ms(lambda: lair.tell_all(lie)) == 0
    lair.cluster.check()


def test_a_later_generation_of_a_live_node_is_told_to_it_as_a_copy() -> None:
    """It takes another replica id then, which is the answer to a copy of its directory, too."""
    lair = Lair()
    me = replace(lair.victim.me, generation=Generation(9))
    record = m.Record(me, Standing(me.generation))
    absent_ms = lair.absent_ms(lambda: lair.tell_all(m.MemberNews((record,), ())), 10_000)
    assert lair.victim.membership.table.found_copy
    assert absent_ms == 0, "its address is the same, and it answers there"
    lair.cluster.check()


def test_a_record_with_another_address_makes_nobody_send_much_there() -> None:
    """Fifty members that do not exist, at the address of a third party: news and pings until they are given
    up, and then a ping now and then. (A whole node sends none of it before whoever is there has proven that
    it holds the secret.)
    """
    lair = Lair()
    ghosts = []
    for number in range(50):
        ghost = replace(
            lair.victim.me,
            replica=ReplicaId(10_000 + number),
            name=f"ghost-{number}",
            peer=THIRD_PARTY,
        )
        ghosts.append(m.Record(ghost, Standing(ghost.generation)))
    lair.tell_all(m.MemberNews(tuple(ghosts), ()))
    lair.cluster.run(60_000)
    sent = lair.cluster.sent_to[THIRD_PARTY] / 60 / len(lair.honest)
    assert 0 < sent <= 1_000, f"{sent:.0f} bytes/s a node"
    before = lair.cluster.sent_to[THIRD_PARTY]
    lair.cluster.run(60_000)
    later = (lair.cluster.sent_to[THIRD_PARTY] - before) / 60 / len(lair.honest)
    assert later <= 100, f"{later:.0f} bytes/s a node"
    lair.check()


def ghosts(lair: Lair, first: int, count: int) -> m.MemberNews:
    """Members that do not exist, each at an address of its own."""
    told = []
    for number in range(first, first + count):
        address = Address(f"198.51.{number >> 8 & 255}.{number & 255}:7001")
        ghost = replace(
            lair.liar.me, replica=ReplicaId(10_000 + number), name=f"ghost-{number}", peer=address
        )
        told.append(m.Record(ghost, Standing(ghost.generation)))
    return m.MemberNews(tuple(told), ())


def test_who_invents_members_without_end_fills_a_bounded_table_and_pushes_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does it keep a real one out for longer than it takes to find out that its ghosts are none."""
    limit = 60
    monkeypatch.setattr(member_table, "MEMBERS_MAX", limit)
    lair = Lair()
    for first in range(0, 2_000, 20):
        lair.tell_all(ghosts(lair, first, 20))
        lair.cluster.run(50)
        assert all(len(node.membership.table.peers) <= limit for node in lair.honest)
        assert all(
            a.holds_alive(b.replica, Generation(1)) for a in lair.honest for b in lair.honest if a is not b
        )
    assert all(node.membership.table.strangers_refused for node in lair.honest)
    lair.check()
    lair.cluster.run(60_000)
    new = lair.cluster.join()
    lair.check()
    assert all(node.holds(new.replica) is MemberState.ALIVE for node in lair.honest)
    assert len(new.membership.table.peers) <= limit
    lair.cluster.run(10_000)
    before = lair.cluster.sent_bytes()
    lair.cluster.run(20_000)
    sent = (lair.cluster.sent_bytes() - before) / 20 / len(lair.cluster.nodes)
    assert sent <= 2_000, f"{sent:.0f} bytes/s a node although nothing happens"


def test_a_hundred_thousand_invented_members_cost_one_node_a_bounded_amount_of_memory() -> None:
    lair = Lair()
    membership = lair.victim.membership
    for first in range(0, 100_000, 50):
        membership.receive(lair.liar.address, ghosts(lair, first, 50), lair.cluster.now_ms)
    assert len(membership.table.peers) == MEMBERS_MAX
    assert membership.table.strangers_refused == 100_000 - (MEMBERS_MAX - 9)
    assert len(membership.news) <= NEWS_MEMBERS_MAX
    assert len(membership.probing._urgent) <= MEMBERS_MAX
    membership.check_invariants()


def test_a_forged_record_of_a_live_node_that_moves_it_elsewhere_is_corrected() -> None:
    lair = Lair()
    moved = replace(lair.victim.me, version=lair.victim.me.version + 5, peer=THIRD_PARTY)
    record = m.Record(moved, Standing(moved.generation))
    assert lair.absent_ms(lambda: lair.tell_all(m.MemberNews((record,), ()))) == 0
    for node in lair.honest:
        if node is not lair.victim:
            found = node.membership.table.find(lair.victim.replica)
            assert found is not None
            assert found.peer == lair.victim.address
    lair.check()


def test_pings_on_behalf_of_a_liar_are_bounded() -> None:
    """A ping-req makes one ping, to a member; what comes faster than answers is dropped."""
    lair = Lair()
    before = lair.cluster.sent_to[lair.victim.address]
    helper = lair.honest[0]
    for sequence in range(5_000):
        request = codec.encode(m.PingReq(sequence, lair.victim.replica))
        lair.cluster.inject(lair.liar.address, helper.address, request)
    lair.cluster.crash(lair.victim)
    lair.cluster.run(300)
    assert lair.cluster.sent_to[lair.victim.address] - before <= 64 * 40


def test_garbled_and_random_membership_frames_crash_nobody() -> None:
    lair = Lair()
    rng = lair.cluster.rng
    frames = [
        codec.encode(claim(lair.victim, MemberState.DOWN)),
        codec.encode(m.MemberSyn((), True)),
        codec.encode(m.PingReq(7, ReplicaId(77))),
    ]
    for _ in range(3_000):
        data = bytearray(rng.choice(frames))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            message = codec.decode(bytes(data))
        except EncodingError:
            continue
        if isinstance(message, m.MemberNews | m.MemberSyn | m.Ping | m.Ack | m.PingReq | m.Nack):
            target = rng.choice(lair.honest)
            lair.cluster.inject(lair.liar.address, target.address, codec.encode(message))
            lair.cluster.run(10)
    lair.cluster.run(10_000)
    lair.cluster.check()
