"""Preconditions hold against what this node has staged, and are answered when that is durable."""

from kvgossip.model.ids import Key
from kvgossip.model.value import Value
from kvgossip.node.effects import Condition, Refusal, Refused, Ticket, Written
from tests.node.hand import Hand, kv, mv

CREATE_ONLY = Condition(if_none_match=("*",))


def put_if(hand: Hand, key: Key, body: bytes, condition: Condition) -> Ticket:
    ticket = hand.replica.put(key, Value(body), hand.now, condition=condition)
    hand.pump()
    return ticket


def is_refused(hand: Hand, ticket: Ticket) -> bool:
    result = hand.results[ticket]
    return isinstance(result, Refused) and result.reason is Refusal.PRECONDITION_FAILED


def test_a_condition_is_decided_on_what_is_staged_and_answered_with_its_batch() -> None:
    hand = Hand()
    first = hand.put(kv("a"), b"1")
    second = put_if(hand, kv("a"), b"2", CREATE_ONLY)
    assert hand.results == {}, "the refusal was decided on a row that is not durable"
    hand.commit()
    assert isinstance(hand.results[first], Written)
    assert is_refused(hand, second)
    assert hand.bodies(kv("a")) == [b"1"]


def test_create_only_works_on_a_new_a_deleted_and_an_expired_key() -> None:
    hand = Hand()
    hand.write(kv("deleted"), b"1")
    hand.write(kv("deleted"), None)
    hand.replica.put(kv("expired"), Value(b"1", expires_ms=hand.now.wall_ms + 10), hand.now)
    hand.pump()
    hand.commit()
    hand.advance(20)
    for name in ("new", "deleted", "expired"):
        ticket = put_if(hand, kv(name), b"2", CREATE_ONLY)
        hand.commit()
        assert isinstance(hand.results[ticket], Written), name


def test_of_two_that_match_the_same_version_one_wins() -> None:
    hand = Hand()
    etag = hand.write(kv("a"), b"1").etag
    one = put_if(hand, kv("a"), b"2", Condition(if_match=("other", etag)))
    two = put_if(hand, kv("a"), b"3", Condition(if_match=(etag,)))
    hand.commit()
    assert isinstance(hand.results[one], Written)
    assert is_refused(hand, two)
    assert hand.bodies(kv("a")) == [b"2"]


def test_any_version_matches_a_live_value_only() -> None:
    hand = Hand()
    missing = put_if(hand, kv("a"), b"1", Condition(if_match=("*",)))
    hand.commit()
    assert is_refused(hand, missing)
    hand.write(kv("a"), b"1")
    there = put_if(hand, kv("a"), b"2", Condition(if_match=("*",)))
    hand.commit()
    assert isinstance(hand.results[there], Written)


def test_a_delete_takes_a_condition_and_a_refused_mv_write_gives_the_context() -> None:
    hand = Hand()
    written = hand.write(mv("a"), b"1")
    ticket = hand.replica.delete(mv("a"), hand.now, condition=Condition(if_match=("other",)))
    hand.pump()
    hand.commit()
    refused = hand.results[ticket]
    assert isinstance(refused, Refused)
    assert refused.context == written.context
    assert hand.bodies(mv("a")) == [b"1"]
