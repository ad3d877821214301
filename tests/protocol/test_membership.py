"""Membership by hand: who learns of whom, who is live, who is given up, and who is blamed for nothing."""

from dataclasses import replace
from itertools import pairwise

import pytest

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.protocol.membership import SILENT_ASKED_MAX, STALL_MS
from kvgossip.wire import messages as m
from tests.protocol.members import (
    DOWN,
    LEFT,
    SUSPECT,
    Hand,
    acquainted,
    claim,
    member,
    news,
    record,
    run,
    talk,
)

SEED_INTERVAL_MS = Tuning().seed_interval_ms
PROBE_MS = Tuning().probe_interval_ms


# -- joining -------------------------------------------------------------------------------------------------


def test_a_node_joins_by_syn_ack_and_ack2() -> None:
    new, seed = Hand(1, seeds=("n2:1",)), Hand(2)
    new.handle_timer(0)
    [(to, syn)] = new.sent()
    assert (to, type(syn)) == (seed.address, m.MemberSyn)
    seed.receive(new, syn, 0)
    [(_, ack)] = seed.sent()
    assert isinstance(ack, m.MemberAck)
    assert [told.member.replica for told in ack.records] == [2]
    assert ack.asked == (1,)
    new.receive(seed, ack, 0)
    [ack2] = [message for _, message in new.sent() if isinstance(message, m.MemberAck2)]
    assert [told.member.replica for told in ack2.records] == [1]
    seed.receive(new, ack2, 0)
    assert new.changes() == [("joined", 2), ("alive", 2)]
    assert seed.changes() == [("joined", 1), ("alive", 1)]


def test_nobody_is_configured_twice() -> None:
    """Each node is told of one other; all come to know all."""
    hands = [Hand(i, seeds=(f"n{i + 1}:1",)) for i in range(1, 6)]
    run(hands, 0, 3_000)
    for hand in hands:
        assert hand.live() | {hand.replica} == {1, 2, 3, 4, 5}
    assert len({hand.table.fingerprint for hand in hands}) == 1


def test_an_island_still_asks_its_seeds_when_these_come_up_long_after_it() -> None:
    """Nobody on the other side has ever heard of it."""
    late_ms = 90_000
    left = [Hand(1, seeds=("n1:1", "n3:1")), Hand(2, seeds=("n1:1", "n3:1"))]
    run(left, 0, late_ms)
    assert left[0].live() == {2}
    right = [Hand(3, now_ms=late_ms), Hand(4, seeds=("n3:1",), now_ms=late_ms)]
    run(left + right, late_ms, late_ms + 2 * SEED_INTERVAL_MS)
    for hand in left + right:
        assert hand.live() | {hand.replica} == {1, 2, 3, 4}


def test_two_islands_find_each_other_whichever_came_up_first() -> None:
    left = [Hand(i, seeds=("n1:1",)) for i in (1, 2)]
    right = [Hand(i, seeds=("n3:1", "n1:1")) for i in (3, 4)]
    run(right, 0, 20_000)
    assert right[0].knows() == {4}
    for hand in left:
        hand.membership.excuse(20_000)
    run(left + right, 20_000, 20_000 + 2 * SEED_INTERVAL_MS)
    for hand in left + right:
        assert len(hand.live()) == 3


def test_seeds_are_asked_again_and_again_and_never_this_node_itself() -> None:
    hand = Hand(1, member(2), seeds=("seed:1", "n1:1"))
    asked_ms = []
    for now_ms in range(0, 30_000, 100):
        hand.membership.handle_heard(ReplicaId(2), now_ms)
        hand.handle_timer(now_ms)
        sent = [to for to, _ in hand.sent()]
        asked_ms += [now_ms for to in sent if to == "seed:1"]
        assert Address("n1:1") not in sent
    assert len(asked_ms) >= 4
    assert max(b - a for a, b in pairwise(asked_ms)) <= SEED_INTERVAL_MS + 2_000


def test_seeds_are_asked_in_time_however_many_members_are_down() -> None:
    hand = Hand(1, member(2), *[member(i) for i in range(10, 90)], seeds=("seed:1",))
    for number in range(10, 90):
        hand.table.declare(ReplicaId(number), DOWN)
    asked = 0
    for now_ms in range(0, 30_000, 100):
        hand.membership.handle_heard(ReplicaId(2), now_ms)
        hand.handle_timer(now_ms)
        asked += [to for to, message in hand.sent() if isinstance(message, m.MemberSyn)].count(
            Address("seed:1")
        )
    assert asked >= 4


def test_alone_a_node_asks_a_few_silent_members_and_seeds_a_round() -> None:
    hand = Hand(1, *[member(i) for i in range(2, 30)], seeds=("seed:1",))
    hand.handle_timer(0)
    asked = [to for to, message in hand.sent() if isinstance(message, m.MemberSyn)]
    assert len(asked) == SILENT_ASKED_MAX


# -- life ----------------------------------------------------------------------------------------------------


def test_a_member_known_from_the_disk_is_not_live_before_it_is_heard() -> None:
    hand = Hand(1, member(2))
    assert hand.live() == set()
    hand.membership.handle_heard(ReplicaId(2), 0)
    assert hand.changes() == [("alive", 2)]
    assert hand.membership.live_addresses() == ["n2:1"]


def test_a_member_that_falls_silent_is_suspected_then_down_and_alive_again_when_it_returns() -> None:
    one, two, three = hands = acquainted(1, 2, 3)
    run(hands, 0, 10_000)
    assert one.changes() == two.changes() == []
    run([one, two], 10_000, 25_000)
    assert one.state_of(3) is DOWN
    assert [kind for kind, number in one.changes() if number == 3] == ["suspect", "down"]
    three.membership.excuse(15_000)
    run(hands, 25_000, 28_000)
    for hand in hands:
        assert len(hand.live()) == 2
    assert three.table.standing.incarnation == 1
    assert ("down", 1) not in three.changes()


def test_a_member_that_only_one_node_cannot_hear_stays_alive() -> None:
    """A bridge: 1 and 3 are cut off from each other, both talk with 2."""
    hands = acquainted(1, 2, 3)
    run(hands, 0, 60_000, drops=lambda a, b: {a.replica, b.replica} == {1, 3})
    for hand in hands:
        assert len(hand.live()) == 2
        assert not [kind for kind, _ in hand.changes() if kind in ("down", "suspect")]


def test_half_of_the_cluster_is_alive_a_few_messages_after_the_heal() -> None:
    hands = acquainted(*range(1, 9))
    halves = {hand.replica: hand.replica <= 4 for hand in hands}
    run(hands, 0, 60_000, drops=lambda a, b: halves[a.replica] != halves[b.replica])
    assert hands[0].live() == {2, 3, 4}
    run(hands, 60_000, 63_000)
    for hand in hands:
        assert len(hand.live()) == 7
    assert len({hand.table.fingerprint for hand in hands}) == 1


def test_a_member_that_leaves_is_told_as_such_not_suspected_and_alive_when_it_starts_again() -> None:
    one, two, three = hands = acquainted(1, 2, 3)
    three.membership.leave()
    talk(hands, 0)
    assert one.state_of(3) is two.state_of(3) is LEFT
    run([one, two], 50, 20_000)
    assert [change for change in one.changes() if change[1] == 3] == [("left", 3)]
    back = member(3, generation=2)
    one.receive(two, news(record(back)), 20_000)
    assert one.changes() == [("restarted", 3), ("alive", 3)]


# -- restarts and addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["n2:1", "elsewhere:1"])
def test_a_restart_works_at_once_at_the_same_or_another_address(address: str) -> None:
    hand, _ = acquainted(1, 2)
    restarted = Hand(member(2, generation=2, at=address))
    hand.receive(restarted, news(record(restarted.table.me)), 100)
    assert hand.changes() == [("restarted", 2), ("alive", 2)]
    assert hand.membership.live_addresses() == [address]


def test_a_restart_is_alive_although_it_was_down_with_a_high_incarnation() -> None:
    hand, _ = acquainted(1, 2)
    hand.table.take_claim(claim(2, DOWN, incarnation=900), 0)
    hand.table.declare(ReplicaId(2), DOWN)
    restarted = Hand(member(2, generation=2))
    hand.receive(restarted, news(record(restarted.table.me)), 100)
    assert hand.live() == {2}
    assert hand.table.peers[ReplicaId(2)].standing.incarnation == 0


def test_a_replica_that_was_replaced_at_its_address_is_down() -> None:
    """A wiped directory is a new replica at the old address."""
    hand = Hand(1, member(2), member(3, at="n2:1"))
    hand.membership.handle_heard(ReplicaId(2), 0)
    hand.changes()
    hand.membership.handle_acquainted(Address("n2:1"), ReplicaId(3))
    hand.membership.handle_heard(ReplicaId(3), 1)
    assert hand.changes() == [("down", 2), ("alive", 3)]


def test_replicas_that_have_exchanged_their_addresses_are_alive_there() -> None:
    """As of containers that were started in another order: each Hello comes before its record."""
    hand = Hand(1, member(2, at="a:1"), member(3, at="b:1"))
    moved = Hand(member(2, generation=2, at="b:1")), Hand(member(3, generation=2, at="a:1"))
    for other in moved:
        hand.membership.handle_acquainted(other.address, other.replica)
        hand.membership.handle_heard(other.replica, 4)
    for other in moved:
        hand.receive(other, news(record(other.table.me)), 5)
    assert hand.membership.live_addresses() == ["a:1", "b:1"]
    assert hand.live() == {2, 3}


# -- whom to blame -------------------------------------------------------------------------------------------


def test_a_node_that_was_itself_asleep_blames_nobody() -> None:
    hands = acquainted(*range(1, 6))
    run(hands, 0, 20_000)
    asleep = hands[0]
    for hand in hands[1:]:
        hand.membership.excuse(60_000)  # for this test, time has stood still for them
    talk(hands, 20_000)
    asleep.changes()
    asleep.handle_timer(80_000)
    run(hands, 80_000, 90_000)
    assert asleep.membership.health.multiplier > 1 or asleep.live() == {2, 3, 4, 5}
    assert not [kind for kind, _ in asleep.changes() if kind in ("suspect", "down")]
    assert asleep.live() == {2, 3, 4, 5}


def test_a_suspicion_gets_back_the_time_that_this_node_slept() -> None:
    hand = acquainted(1, 2, 3)[0]
    hand.handle_timer(0)
    hand.table.take_claim(claim(2, SUSPECT, by=3), 0)
    ends_ms = hand.table.suspects[ReplicaId(2)].deadline_ms
    stalled_ms = hand.membership._next_try_ms + 60_000
    hand.handle_timer(stalled_ms)
    assert hand.state_of(2) is SUSPECT
    assert hand.table.suspects[ReplicaId(2)].deadline_ms == ends_ms + 60_000
    assert STALL_MS < 60_000


def test_a_stall_that_is_told_before_the_frames_that_came_meanwhile_is_in_nobodys_history() -> None:
    """phi would take a pause of its own node for one of the peer's, and grant it the like."""

    def phi_after(*, is_told: bool) -> float:
        hands = acquainted(1, 2)
        run(hands, 0, 20_000)
        hand, phi = hands[0], hands[0].table.peers[ReplicaId(2)].phi
        stalled_ms = hand.membership._next_try_ms + 4_000
        if is_told:
            hand.membership.handle_late(stalled_ms)
        hand.membership.handle_heard(ReplicaId(2), stalled_ms)
        hand.handle_timer(stalled_ms)
        return phi.phi(stalled_ms + 3_000, Tuning())

    assert phi_after(is_told=True) > 20
    assert phi_after(is_told=False) < 1, "the trap"


def test_nobody_is_down_on_the_word_of_another() -> None:
    """It becomes a suspect, and is asked itself; it answers, and is alive."""
    hands = acquainted(1, 2, 3)
    one, two, three = hands
    one.receive(three, news(claim(2, DOWN)), 0)
    assert one.state_of(2) is SUSPECT
    run(hands, 0, 10_000)
    assert ("down", 2) not in one.changes()
    assert one.live() == {2, 3}
    assert two.table.refuted_count == 1


def test_a_suspect_that_was_heard_meanwhile_gets_its_time_again() -> None:
    """It may not have heard that it is suspected."""
    hand = acquainted(1, 2, 3)[0]
    hand.table.accuse(ReplicaId(2), 0)
    for now_ms in range(0, 60_000, 50):
        if now_ms % 4_000 == 0:
            hand.membership.handle_heard(ReplicaId(2), now_ms)
        hand.membership.handle_heard(ReplicaId(3), now_ms)
        hand.handle_timer(now_ms)
    assert hand.state_of(2) is SUSPECT


def test_who_speaks_although_it_is_down_here_is_told_so_and_refutes() -> None:
    one, two = acquainted(1, 2)
    one.table.declare(ReplicaId(2), DOWN)
    one.receive(two, m.Nack(0), 0)
    told = [message for _, message in one.sent() if isinstance(message, m.MemberNews)]
    assert [c.standing.state for c in told[0].claims] == [DOWN]
    two.receive(one, told[0], 0)
    run([one, two], 0, 1_000)
    assert one.live() == {2}
    assert two.table.standing.incarnation == 1


def test_an_operator_forgets_only_who_is_gone() -> None:
    hand = acquainted(1, 2, 3)[0]
    assert not hand.membership.forget(ReplicaId(2))
    assert not hand.membership.forget(ReplicaId(99))
    hand.table.declare(ReplicaId(2), DOWN)
    assert hand.membership.forget(ReplicaId(2))
    assert hand.knows() == {3}


def test_a_timer_called_early_late_or_twice_is_harmless() -> None:
    hands = acquainted(1, 2, 3)
    for now_ms in range(0, 5_000, 50):
        for hand in hands:
            for again_ms in (now_ms, now_ms, max(now_ms - 20, 0)):
                hand.handle_timer(again_ms)
        talk(hands, now_ms)
    assert all(len(hand.live()) == 2 and hand.changes() == [] for hand in hands)


def test_an_idle_cluster_sends_probes_and_nothing_else() -> None:
    hands = acquainted(*range(1, 6))
    run(hands, 0, 10_000)
    sent: list[m.Message] = []
    for now_ms in range(10_000, 20_000, 50):
        for hand in hands:
            hand.handle_timer(now_ms)
        for _ in range(3):
            for sender in hands:
                for to, message in sender.sent():
                    sent.append(message)
                    next(h for h in hands if h.address == to).receive(sender, message, now_ms)
    assert {type(message) for message in sent} == {m.Ping, m.Ack}
    assert len(sent) <= 2 * 5 * 10_000 // PROBE_MS + 10


def test_a_stale_record_is_no_news() -> None:
    hand, teller = Hand(1, member(2, generation=3, version=5), member(3)), Hand(3)
    stale = (record(member(2, generation=2, version=9)), record(member(2, generation=3, version=4)))
    hand.receive(teller, news(*stale), 0)
    assert ("restarted", 2) not in hand.changes()
    found = hand.table.find(ReplicaId(2))
    assert found == replace(member(2), generation=Generation(3), version=5)
