"""The probe: ping, ping-req, nack; what proves life, who comes first, and what the own health changes."""

import pytest

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.protocol.probing import RELAYED_MAX
from kvgossip.wire import messages as m
from tests.protocol.members import SUSPECT, Hand, acquainted, claim, member, run

TUNING = Tuning()
PROBE_MS = TUNING.probe_interval_ms
TIMEOUT_MS = TUNING.probe_timeout_ms


def of_type(hand: Hand, kind: type) -> list[tuple[Address, m.Message]]:
    return [(to, message) for to, message in hand.sent() if isinstance(message, kind)]


def begin_probe(hand: Hand) -> tuple[m.Ping, int]:
    """(the ping that it sent, when)."""
    for now_ms in range(0, 3_000, 10):
        hand.handle_timer(now_ms)
        for _, message in of_type(hand, m.Ping):
            assert isinstance(message, m.Ping)
            return message, now_ms
    raise AssertionError("no probe")


def wait(hand: Hand, from_ms: int, to_ms: int) -> None:
    """Not asleep: its timer is handled on the way, up to just before ``to_ms``."""
    for now_ms in (*range(from_ms, to_ms - 1, 100), to_ms - 1):
        hand.handle_timer(now_ms)


# -- one probe -----------------------------------------------------------------------------------------------


def test_a_probe_that_nobody_answers_is_ping_then_ping_req_and_then_an_accusation() -> None:
    hand = acquainted(1, 2, 3, 4, 5)[0]
    ping, began_ms = begin_probe(hand)
    hand.handle_timer(began_ms + TIMEOUT_MS - 1)
    assert of_type(hand, m.PingReq) == []
    hand.handle_timer(began_ms + TIMEOUT_MS)
    asked = of_type(hand, m.PingReq)
    assert {to for to, _ in asked} == {f"n{i}:1" for i in range(2, 6)} - {f"n{ping.target}:1"}
    assert {message for _, message in asked} == {m.PingReq(ping.sequence, ping.target)}
    hand.handle_timer(began_ms + PROBE_MS - 1)
    assert hand.changes() == []
    hand.handle_timer(began_ms + PROBE_MS)
    assert hand.changes() == [("suspect", ping.target)]
    assert hand.table.suspects[ping.target].by == {hand.replica}


@pytest.mark.parametrize("proof", ["ack", "any frame", "ack of a helper"])
def test_any_frame_of_the_target_or_an_ack_of_a_helper_is_proof_of_life(proof: str) -> None:
    hand = acquainted(1, 2, 3, 4, 5)[0]
    ping, began_ms = begin_probe(hand)
    target = Address(f"n{ping.target}:1")
    hand.handle_timer(began_ms + TIMEOUT_MS)
    match proof:
        case "ack":
            hand.membership.receive(target, m.Ack(ping.sequence, 0), began_ms + 900)
        case "any frame":
            hand.membership.handle_heard(ping.target, began_ms + 900)
        case _:
            helper = next(f"n{i}:1" for i in range(2, 6) if i != ping.target)
            hand.membership.receive(Address(helper), m.Ack(ping.sequence, 0), began_ms + 900)
    hand.handle_timer(began_ms + PROBE_MS)
    assert hand.changes() == []
    assert hand.membership.probing.failed_count == 0


def test_an_ack_of_another_sequence_proves_nothing() -> None:
    hand = acquainted(1, 2, 3)[0]
    ping, began_ms = begin_probe(hand)
    hand.membership.receive(Address("n3:1"), m.Ack(ping.sequence + 1, 0), began_ms + 1)
    hand.handle_timer(began_ms + TIMEOUT_MS)
    hand.handle_timer(began_ms + PROBE_MS)
    assert hand.changes() == [("suspect", ping.target)]


def test_a_lost_link_asks_helpers_at_once() -> None:
    hand = acquainted(1, 2, 3)[0]
    ping, began_ms = begin_probe(hand)
    hand.membership.handle_send_failed(Address(f"n{ping.target}:1"), began_ms + 10)
    hand.handle_timer(began_ms + 10)
    assert len(of_type(hand, m.PingReq)) == 1


def test_a_history_that_says_not_late_acquits_whom_a_probe_failed() -> None:
    hand, _ = acquainted(1, 2)
    for now_ms in range(0, 60_000, PROBE_MS):
        hand.membership.handle_heard(ReplicaId(2), now_ms)
    hand.membership.probing._next_probe_ms = 59_000
    hand.membership._next_try_ms = 59_000
    hand.handle_timer(59_010)
    hand.handle_timer(59_010 + TIMEOUT_MS)
    hand.handle_timer(59_010 + PROBE_MS)
    assert hand.membership.probing.failed_count == 1
    assert hand.changes() == []


def test_a_round_trip_is_measured_by_the_targets_own_ack_only() -> None:
    hand = acquainted(1, 2, 3)[0]
    ping, began_ms = begin_probe(hand)
    helper = Address("n2:1" if ping.target == 3 else "n3:1")
    hand.membership.receive(helper, m.Ack(ping.sequence, 0), began_ms + 30)
    assert [peer.round_trip_ms for peer in hand.table.peers.values()] == [None, None]
    again, later_ms = ping, began_ms
    for now_ms in range(began_ms + 30, 3_000, 10):
        hand.handle_timer(now_ms)
        for _, message in of_type(hand, m.Ping):
            assert isinstance(message, m.Ping)
            again, later_ms = message, now_ms
        if again is not ping:
            break
    hand.membership.receive(Address(f"n{again.target}:1"), m.Ack(again.sequence, 0), later_ms + 7)
    assert hand.table.peers[again.target].round_trip_ms == 7


# -- whom ----------------------------------------------------------------------------------------------------


def test_each_member_is_probed_within_two_passes_and_none_more_than_its_share() -> None:
    hands = acquainted(*range(1, 21))
    hand = hands[0]
    probed: list[int] = []
    for now_ms in range(0, 76 * PROBE_MS, 10):
        hand.handle_timer(now_ms)
        for to, message in of_type(hand, m.Ping):
            assert isinstance(message, m.Ping)
            probed.append(message.target)
            hand.membership.receive(to, m.Ack(message.sequence, hand.table.fingerprint), now_ms)
    in_turn = probed[1::2]  # the other half is the successor's, node 2
    assert sorted(in_turn[:19]) == list(range(2, 21)), "the first pass: everybody once"
    assert max(map(in_turn.count, range(2, 21))) <= 2


def test_a_member_that_is_late_by_its_history_comes_first() -> None:
    hand = acquainted(*range(1, 31))[0]
    for now_ms in range(0, 20_000, PROBE_MS):
        for number in range(2, 31):
            if number != 17 or now_ms < 10_000:
                hand.membership.handle_heard(ReplicaId(number), now_ms)
    hand.membership.probing._next_probe_ms = hand.membership._next_try_ms = 19_500
    hand.handle_timer(19_500)
    assert [message.target for _, message in of_type(hand, m.Ping) if isinstance(message, m.Ping)] == [17]


def test_who_stands_accused_is_looked_after_by_some_few_of_all_nodes() -> None:
    """Eight of a hundred on average, not all: or a suspect would be buried under pings."""
    hurried = 0
    for seed in range(300):
        hand = Hand(1, *[member(i) for i in range(2, 101)], rng_seed=seed)
        hand.table.take_claim(claim(50, SUSPECT, by=2), 0)
        hurried += ReplicaId(50) in hand.membership.probing._urgent
    assert 10 <= hurried <= 45, hurried


def test_a_suspect_is_told_of_what_it_is_suspected_with_the_ping() -> None:
    """It cannot refute what it has not heard."""
    hand = acquainted(1, 2)[0]
    hand.table.accuse(ReplicaId(2), 0)
    hand.sent()
    hand.membership.probing.ask(hand.table.peers[ReplicaId(2)])
    told, ping = [message for _, message in hand.sent()]
    assert told == m.MemberNews((), (claim(2, SUSPECT, by=1),))
    assert isinstance(ping, m.Ping)


def test_a_ping_for_another_replica_at_this_address_is_not_answered() -> None:
    hand = Hand(1)
    hand.membership.receive(Address("n2:1"), m.Ping(5, ReplicaId(9)), 0)
    assert hand.sent() == []
    hand.membership.receive(Address("n2:1"), m.Ping(5, ReplicaId(1)), 0)
    assert hand.sent() == [(Address("n2:1"), m.Ack(5, hand.table.fingerprint))]


# -- for others ----------------------------------------------------------------------------------------------


def test_a_helper_pings_and_hands_on_the_ack_under_the_askers_sequence() -> None:
    helper, asker, target = acquainted(1, 2, 3)
    helper.membership.receive(asker.address, m.PingReq(77, target.replica), 0)
    [(to, ping)] = of_type(helper, m.Ping)
    assert isinstance(ping, m.Ping)
    assert to == target.address
    helper.membership.receive(target.address, m.Ack(ping.sequence, helper.table.fingerprint), 5)
    assert of_type(helper, m.Ack) == [(asker.address, m.Ack(77, helper.table.fingerprint))]
    helper.handle_timer(TIMEOUT_MS)
    assert of_type(helper, m.Nack) == []


def test_a_helper_that_hears_nothing_in_time_says_nack() -> None:
    helper, asker, target = acquainted(1, 2, 3)
    helper.membership.receive(asker.address, m.PingReq(77, target.replica), 0)
    helper.sent()
    helper.handle_timer(TIMEOUT_MS - 1)
    assert of_type(helper, m.Nack) == []
    assert helper.membership.next_deadline_ms() <= TIMEOUT_MS
    helper.handle_timer(TIMEOUT_MS)
    assert of_type(helper, m.Nack) == [(asker.address, m.Nack(77))]


def test_a_helper_does_a_bounded_number_of_pings_and_none_to_strangers() -> None:
    helper, asker, target = acquainted(1, 2, 3)
    helper.membership.receive(asker.address, m.PingReq(1, ReplicaId(99)), 0)
    assert helper.sent() == []
    for sequence in range(RELAYED_MAX + 20):
        helper.membership.receive(asker.address, m.PingReq(sequence, target.replica), 0)
    assert len(of_type(helper, m.Ping)) == RELAYED_MAX


# -- own health ----------------------------------------------------------------------------------------------


def test_a_failed_probe_without_a_nack_speaks_against_this_node_and_one_with_it_does_not() -> None:
    """Suspicion from a node that is itself slow counts less: it comes later."""
    for nacks, multiplier in ((0, 2), (1, 1)):
        hand = acquainted(1, 2, 3, 4, 5)[0]
        ping, began_ms = begin_probe(hand)
        hand.handle_timer(began_ms + TIMEOUT_MS)
        for _ in range(nacks):
            hand.membership.receive(Address("n2:1"), m.Nack(ping.sequence), began_ms + 800)
        hand.handle_timer(began_ms + PROBE_MS)
        assert hand.membership.health.multiplier == multiplier


def test_a_node_in_bad_health_probes_less_often_and_waits_longer() -> None:
    hand = acquainted(1, 2, 3)[0]
    hand.membership.health.blame(3)
    assert hand.membership.health.multiplier == 4
    _, began_ms = begin_probe(hand)
    wait(hand, began_ms, began_ms + 4 * TIMEOUT_MS)
    assert of_type(hand, m.PingReq) == []
    hand.handle_timer(began_ms + 4 * TIMEOUT_MS)
    assert len(of_type(hand, m.PingReq)) == 1
    wait(hand, began_ms + 4 * TIMEOUT_MS, began_ms + 4 * PROBE_MS)
    assert hand.changes() == []
    hand.handle_timer(began_ms + 4 * PROBE_MS)
    assert [kind for kind, _ in hand.changes()] == ["suspect"]


def test_health_is_bounded_and_comes_back_with_answered_probes() -> None:
    hands = acquainted(1, 2, 3)
    health = hands[0].membership.health
    health.blame(1_000)
    assert health.multiplier == TUNING.health_multiplier_max
    run(hands, 0, 60_000)
    assert health.multiplier == 1


def test_a_member_of_another_zone_is_given_more_time() -> None:
    hand = Hand(member(1, zone="a"), member(2, zone="b"), member(3, zone="b"))
    for number in (2, 3):
        hand.membership.handle_heard(ReplicaId(number), 0)
    _, began_ms = begin_probe(hand)
    wait(hand, began_ms, began_ms + TUNING.probe_timeout_far_ms)
    assert of_type(hand, m.PingReq) == []
    hand.handle_timer(began_ms + TUNING.probe_timeout_far_ms)
    assert len(of_type(hand, m.PingReq)) == 1


def test_a_probe_under_way_while_this_node_slept_blames_nobody() -> None:
    """What it did not hear says nothing; nor does it owe anybody a nack by then."""
    hand = acquainted(1, 2, 3)[0]
    _, began_ms = begin_probe(hand)
    hand.membership.receive(Address("n3:1"), m.PingReq(7, ReplicaId(2)), began_ms)
    hand.handle_timer(began_ms + 60_000)
    assert hand.changes() == []
    assert hand.membership.probing.failed_count == 0
    assert of_type(hand, m.Nack) == []
    assert hand.membership.health.multiplier == 3
