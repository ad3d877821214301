"""Membership through the replica: what rides behind data, what the disk keeps, and who is forgotten."""

from kvgossip.config import Tuning
from kvgossip.model.member import MemberState
from kvgossip.node.effects import Send
from kvgossip.node.vital_signs import Vitals
from kvgossip.protocol.member_table import MemberTable
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.node.hand import Hand, kv, run, with_tuning

DAY_MS = 24 * 3_600_000
ABOUT_MEMBERS = (m.Hello, m.MemberSyn, m.MemberAck, m.MemberAck2, m.MemberNews)


def table_of(hand: Hand) -> MemberTable:
    return hand.replica._peers.membership.table


def cluster(count: int, tuning: Tuning | None = None) -> list[Hand]:
    """Nodes that know each other, and have told each other all."""
    hands = [
        Hand(f"n{i}", seeds=("n1",) if i > 1 else (), start=i, tuning=tuning) for i in range(1, count + 1)
    ]
    run(hands, 6_000)
    for hand in hands:
        assert len(list(table_of(hand).live())) == count - 1
    return hands


def states(hand: Hand) -> dict[str, str]:
    return {status.member.name: status.state for status in hand.replica.members(hand.now)}


def frames(hand: Hand) -> list[tuple[m.Message, m.MemberNews | None, int]]:
    taken, hand.sends = hand.sends, []
    return [(*codec.decode_frame(send.data), len(send.data)) for send in taken]


def test_news_rides_behind_data_and_is_at_most_a_kibibyte() -> None:
    hand, *others = cluster(3)
    frames(hand)
    for number in range(8):
        tags = tuple((f"tag{i}", "v" * 60) for i in range(number, 16))
        hand.replica.set_tags(tags, hand.now)
    for other in table_of(hand).live():
        table_of(hand).accuse(other.member.replica, hand.ms)
    hand.write(kv("k"), b"body")
    hand.advance(5)
    [(push, news, size), *_] = [sent for sent in frames(hand) if isinstance(sent[0], m.RumorPush)]
    assert news is not None
    assert len(news.claims) == len(others)
    assert size - len(codec.encode(push)) <= Tuning().news_bytes_max


def test_no_news_rides_behind_what_is_about_members_anyway() -> None:
    hands = cluster(4)
    hands[0].replica.set_tags((("rack", "7"),), hands[0].now)
    ridden: list[m.Message] = []

    def look(send: Send) -> bool:
        message, news = codec.decode_frame(send.data)
        if news is not None:
            ridden.append(message)
        return False

    run(hands, 3_000, drops=look)
    assert ridden, "some did ride"
    assert not [message for message in ridden if isinstance(message, ABOUT_MEMBERS)]
    for hand in hands[1:]:
        assert table_of(hand).find(table_of(hands[0]).me.replica) == table_of(hands[0]).me


def test_the_news_behind_a_message_is_taken_with_it() -> None:
    one, two, three = cluster(3)
    suspect = table_of(three).me.replica
    worse = table_of(one).peers[suspect].standing.worsened(MemberState.SUSPECT)
    claim = m.Claim(suspect, worse, table_of(two).me.replica)
    one.receive_bytes(two, codec.encode(m.Nack(1), m.MemberNews((), (claim,))))
    assert states(one)["n3"] == "suspect"


def test_clock_offsets_come_from_pings_and_acks() -> None:
    hands = [Hand("n1", seeds=("n2",), start=1), Hand("n2", start=2, wall_ms=1_700_000_009_000)]
    run(hands, 5_000)
    other = table_of(hands[1]).me.replica
    offset_ms = hands[0].replica.clock_offset_ms(other)
    assert offset_ms is not None
    assert abs(offset_ms - 9_000) <= 5


def test_a_node_that_restarts_knows_its_members_from_the_disk_and_who_was_down() -> None:
    one, _two, three = hands = cluster(3)
    run(hands[:2], 30_000)
    assert states(one)["n3"] == "down"
    back = one.crashed(start=9)
    assert set(states(back)) == {"n1", "n2", "n3"}
    assert states(back)["n3"] == "down"
    assert table_of(back).me.generation == table_of(one).me.generation + 1
    assert list(table_of(back).live()) == [], "nobody is live before it is heard"
    assert table_of(back).peers[table_of(three).me.replica].standing == (
        table_of(one).peers[table_of(three).me.replica].standing
    )


def test_what_comes_and_goes_is_told_and_is_not_written_to_the_disk() -> None:
    one, two = cluster(2)
    vitals = Vitals(cpu_permille=900, memory_bytes=1 << 30, disk_free_bytes=1 << 40)
    one.replica.handle_vitals(vitals, one.now)
    one.pump()
    assert one.commits == []
    run([one, two], 3_000)
    found = table_of(two).find(table_of(one).me.replica)
    assert found is not None
    assert found.load.memory_bytes == 1 << 30
    back = two.crashed(start=9)
    kept = table_of(back).find(found.replica)
    assert kept is not None
    assert kept.load.memory_bytes == 0


def test_a_zombie_is_seen_as_such_by_all_and_no_exchange_is_made_with_it() -> None:
    """It is alive, and cannot serve."""
    one, two, three = hands = cluster(3)
    three.replica.handle_vitals(Vitals(0, 0, 0, ("disk-full",)), three.now)
    three.pump()
    run(hands, 3_000)
    for hand in (one, two):
        found = table_of(hand).find(table_of(three).me.replica)
        assert found is not None
        assert found.troubles == ("disk-full",)
        assert states(hand)["n3"] == "alive"
    opened: list[str] = []

    def look(send: Send) -> bool:
        message = codec.decode(send.data)
        if isinstance(message, m.ExchangeOpen):
            opened.append(send.to)
        return False

    run(hands, 40_000, drops=look)
    assert opened
    assert three.address not in opened


def test_an_operator_has_the_cluster_forget_a_member_that_is_gone() -> None:
    one, two, three = hands = cluster(3)
    gone = table_of(three).me.replica
    assert not one.replica.forget(gone, one.now), "it is present"
    run(hands[:2], 30_000)
    assert one.replica.forget(gone, one.now)
    run(hands[:2], 3_000)
    assert states(one) == {"n1": "alive", "n2": "alive"}
    assert states(two) == {"n1": "alive", "n2": "alive"}
    back = one.crashed(start=9)
    assert set(states(back)) == {"n1", "n2"}, "the disk knows"


def gone_for(hands: list[Hand], days: int) -> None:
    for hand in hands:
        hand.wall_ms += days * DAY_MS
    run(hands, 3_000)


def test_who_is_down_for_long_is_forgotten_and_later_not_even_that_is_remembered() -> None:
    one, two, three = hands = cluster(3, with_tuning(forget_after_ms=2 * DAY_MS))
    gone = table_of(three).me.replica
    run(hands[:2], 30_000)
    gone_for(hands[:2], 1)
    assert states(one)["n3"] == "down"
    gone_for(hands[:2], 1)
    assert "n3" not in states(one)
    assert "n3" not in states(two)
    assert gone in table_of(one).peers
    gone_for(hands[:2], 2)
    assert gone not in table_of(one).peers
    assert gone not in table_of(one.crashed(start=9)).peers


def test_a_minority_forgets_nobody_unless_an_operator_insists() -> None:
    """It may be this side that is gone."""
    one, two, *_ = hands = cluster(5, with_tuning(forget_after_ms=2 * DAY_MS))
    run(hands[:2], 40_000)
    assert sorted(states(one).values()) == ["alive", "alive", "down", "down", "down"]
    gone_for([one, two], 30)
    assert sorted(states(one).values()) == ["alive", "alive", "down", "down", "down"]
    assert one.replica.forget(table_of(hands[2]).me.replica, one.now)


def test_a_frozen_node_blames_nobody_on_its_return_and_is_alive_everywhere_within_5_s() -> None:
    hands = cluster(5)
    frozen, rest = hands[0], hands[1:]
    run(rest, 60_000)
    assert {states(hand)["n1"] for hand in rest} == {"down"}
    frozen.events.clear()
    frozen.ms += 60_000
    frozen.replica.handle_timer(frozen.now)
    frozen.pump()
    run(hands, 5_000)
    assert not [event for event in frozen.events if event.name in ("member-suspect", "member-down")]
    assert {states(hand)["n1"] for hand in hands} == {"alive"}
    assert {len(list(table_of(hand).live())) for hand in hands} == {4}


def test_a_member_that_lies_about_another_costs_it_a_refutation() -> None:
    one, two, three = hands = cluster(3)
    victim = table_of(three)
    for state in (MemberState.DOWN, MemberState.LEFT, MemberState.FORGOTTEN):
        standing = victim.standing.worsened(state)
        forged = m.MemberNews((), (m.Claim(victim.me.replica, standing, table_of(two).me.replica),))
        one.receive(two, forged)
        run(hands, 3_000)
        assert states(one)["n3"] == states(two)["n3"] == "alive"
    assert victim.refuted_count == 3
