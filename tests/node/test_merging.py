"""What comes from peers: news is passed on, the rest is not; a bad entry spoils itself only."""

from collections.abc import Sequence

import pytest

from kvgossip.config import ENTRY_BYTES_MAX, VALUE_BYTES_MAX
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import encode_entry
from kvgossip.model.ids import Key, Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry
from kvgossip.model.stamp import stamp_at
from kvgossip.model.value import Value
from kvgossip.node.effects import Refusal, Refused
from kvgossip.wire import messages as m
from tests.node.hand import WALL_MS, Hand, kv, mv, roots, run


def carried(hand: Hand, key: bytes) -> m.Carried:
    item = hand.replica._rows.load(Key(key), 100)
    assert isinstance(item, m.Carried)
    return item


def test_stale_news_is_not_passed_on() -> None:
    hand, peer = Hand(), Hand("n2")
    old = peer.write(kv("a"), b"old")
    stale = carried(peer, kv("a"))
    peer.write(kv("a"), b"new")
    fresh = carried(peer, kv("a"))
    hand.meet(peer)
    hand.receive(peer, m.RumorPush(1, (fresh,), ()))
    hand.commit()
    hand.receive(peer, m.RumorPush(2, (stale,), ()))
    hand.commit()
    answers = [x for x in hand.take_messages() if isinstance(x, m.RumorAnswer)]
    assert [answer.was_news for answer in answers] == [b"\x01", b"\x00"]
    assert hand.bodies(kv("a")) == [b"new"]
    assert hand.replica.status().clock.covers(old.dot), "a losing entry still brings its dot"


def test_an_entry_of_the_far_future_is_merged_and_does_not_pull_the_clock_along() -> None:
    hand, peer = Hand(), Hand("n2")
    hand.meet(peer)
    ahead = WALL_MS + 10 * 365 * 86_400_000
    entry = KvEntry(Dot(ReplicaId(99), 1), stamp_at(ahead), Value(b"future"))
    hand.receive(peer, m.RumorPush(1, (m.Carried(kv("a"), encode_entry(entry)),), ()))
    hand.commit()
    assert hand.bodies(kv("a")) == [b"future"]
    assert hand.replica.status().counters["stamps_ahead"] == 1
    assert hand.write(kv("b"), b"1").stamp < stamp_at(WALL_MS + 1_000)
    assert hand.write(kv("a"), b"2").stamp > entry.stamp
    assert hand.bodies(kv("a")) == [b"2"]


def test_a_poisonous_entry_is_isolated_and_named() -> None:
    hand, peer = Hand(), Hand("n2")
    peer.write(kv("good"), b"1")
    hand.meet(peer)
    bad_value = m.Carried(kv("bad"), b"\x63garbage")
    bad_key = m.Carried(b"\x01\xff\xfe", carried(peer, kv("good")).data)  # type: ignore[arg-type]
    hand.receive(peer, m.RumorPush(1, (bad_value, carried(peer, kv("good")), bad_key), ()))
    hand.commit()
    assert hand.bodies(kv("good")) == [b"1"]
    assert hand.replica.status().counters["entries_refused"] == 2
    assert sum(event.name == "entry-refused" for event in hand.events) == 2
    assert hand.replica.get(kv("bad")) is None


def test_a_frame_of_garbage_is_counted_and_changes_nothing() -> None:
    hand, peer = Hand(), Hand("n2")
    hand.meet(peer)
    root = hand.replica.status().root
    for frame in (b"", b"\x01", b"\x00" * 100, b"\x01\x93\xff", bytes(range(256))):
        hand.receive_bytes(peer, frame)
    hand.commit()
    assert hand.replica.status().counters["frames_refused"] == 5
    assert hand.replica.status().root == root


def test_an_exchange_in_which_an_entry_was_refused_takes_no_clock_over() -> None:
    hand, peer = Hand("n1"), Hand("n2", seeds=["n1"])
    written = peer.write(kv("a"), b"1")
    spoilt = {"count": 0}
    original = peer.replica._rumors._load

    def spoil(key: Key) -> m.Carried | m.Offer | None:
        spoilt["count"] += 1
        return m.Carried(key, b"\x63" + original(key).data)  # type: ignore[union-attr]

    def spoil_all(keys: Sequence[Key]) -> list[m.Carried | m.Offer | None]:
        return [spoil(key) for key in keys]

    peer.replica._exchanges._load = spoil_all
    peer.replica._exchanges._answers._load = spoil_all
    peer.replica._rumors._load = spoil
    run([hand, peer], 30_000)
    assert spoilt["count"] > 0
    assert not hand.replica.status().clock.covers(written.dot)


def test_a_client_that_sends_the_last_context_never_makes_siblings_with_itself() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 50)
    context = VersionVector()
    for i in range(10):  # it moves between nodes faster than the news does
        result = (one, two)[i % 2].write(mv("a"), b"%d" % i, context=context)
        assert result.context is not None
        context = result.context
    run([one, two], 15_000)
    assert one.bodies(mv("a")) == two.bodies(mv("a")) == [b"9"]


def test_a_write_without_a_context_is_concurrent_with_everything() -> None:
    hand = Hand()
    for i in range(3):
        hand.write(mv("a"), b"%d" % i)
    assert hand.bodies(mv("a")) == [b"0", b"1", b"2"]
    hand.write(mv("a"), None)
    assert hand.bodies(mv("a")) == []


def test_a_readd_after_a_delete_does_not_resurrect() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 50)
    one.write(mv("a"), b"old")
    run([one, two], 500)
    old = carried(two, mv("a"))
    deleted = one.write(mv("a"), None)
    added = one.write(mv("a"), b"new", context=deleted.context)
    one.receive(two, m.RumorPush(99, (old,), ()))
    one.commit()
    run([one, two], 15_000)
    assert one.bodies(mv("a")) == two.bodies(mv("a")) == [b"new"]
    assert added.created


def test_the_sibling_limit_refuses_with_the_context_that_resolves_it() -> None:
    hand = Hand()
    for i in range(64):
        hand.write(mv("a"), b"%d" % i)
    ticket = hand.put(mv("a"), b"one too many")
    hand.commit()
    refused = hand.results[ticket]
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.TOO_MANY_SIBLINGS
    assert len(hand.bodies(mv("a"))) == 64
    hand.write(mv("a"), b"resolved", context=refused.context)
    assert hand.bodies(mv("a")) == [b"resolved"]


def test_the_entry_limit_refuses_with_the_context_that_resolves_it() -> None:
    hand = Hand()
    for _ in range(3):
        hand.write(mv("a"), b"x" * VALUE_BYTES_MAX)
    ticket = hand.put(mv("a"), b"x" * VALUE_BYTES_MAX)
    hand.commit()
    refused = hand.results[ticket]
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.ENTRY_TOO_LARGE
    hand.write(mv("a"), b"small", context=refused.context)
    assert hand.bodies(mv("a")) == [b"small"]


def test_a_value_of_exactly_the_limit_travels_by_rumor_and_by_exchange() -> None:
    one, two, late = Hand("n1"), Hand("n2", seeds=["n1"]), Hand("n3", seeds=["n1"])
    run([one, two], 50)
    one.write(kv("big"), b"x" * VALUE_BYTES_MAX)
    run([one, two], 400)
    assert two.bodies(kv("big")) == [b"x" * VALUE_BYTES_MAX], "by rumor, before any exchange is due"
    run([one, two, late], 3_000)
    assert late.bodies(kv("big")) == [b"x" * VALUE_BYTES_MAX], "by exchange, at its join"


def test_an_mv_key_that_five_cut_off_nodes_filled_to_its_limit_replicates() -> None:
    hands = [Hand(f"n{i}", seeds=["n0"]) for i in range(5)]
    body = b"x" * (ENTRY_BYTES_MAX // 4 - 100)
    for hand in hands:
        for _ in range(4):
            hand.write(mv("full"), body)
    run(hands, 20_000, drops=lambda send: hands[0].ms % 3 == 0)
    run(hands, 10_000)
    assert len(roots(hands)) == 1
    entries = [hand.replica.get(mv("full")) for hand in hands]
    entry = entries[3]
    assert isinstance(entry, MvEntry)
    assert len(entry.siblings) == 20
    # ... and its successor, still beyond an inline entry, by rumor.
    hands[3].write(mv("full"), b"y" * VALUE_BYTES_MAX, context=entry.vector)
    run(hands, 600)
    assert all(hand.bodies(mv("full")) == [b"y" * VALUE_BYTES_MAX] for hand in hands)


def test_kinds_never_meet() -> None:
    hand = Hand()
    hand.write(make_key(Kind.KV, b"a"), b"register")
    hand.write(make_key(Kind.MV, b"a"), b"causal")
    assert hand.bodies(kv("a")) == [b"register"]
    assert hand.bodies(mv("a")) == [b"causal"]


@pytest.mark.parametrize("is_durable", [False, True])
@pytest.mark.parametrize("key", [kv("k"), mv("k")])
def test_a_write_here_on_top_of_a_rumor_is_told_to_whom_that_came_from(key: Key, is_durable: bool) -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 3_000)
    two.write(key, b"theirs")
    data = two.store.get(key)
    assert data is not None
    push = m.RumorPush(77, (m.Carried(key, data),), ())
    one.take_messages()
    if is_durable:
        one.write(key, b"mine")
        one.receive(two, push)
    else:
        one.put(kv("other"), b"in flight")
        one.receive(two, push)
        one.put(key, b"mine")
    one.commit()
    one.advance(500)
    told = [message for message in one.take_messages() if isinstance(message, m.RumorPush)]
    assert any(entry.key == key for push in told for entry in push.entries)
