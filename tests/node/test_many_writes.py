"""Writes that are begun together do what they do alone, and are answered together."""

import pytest

from kvgossip.errors import CommitRefusedError, CorruptRowError, EncodingError, OutcomeUnknownError
from kvgossip.model.ids import Key
from kvgossip.model.kv import KvEntry
from kvgossip.model.value import Value
from kvgossip.node.effects import Condition, Outcomes, Refusal, Refused, Ticket, Written
from kvgossip.node.local_writes import Write
from tests.node.hand import Hand, kv, mv
from tests.node.test_corrupt_rows import RottenStore


class GarbledStore(RottenStore):
    """The row of one key is no entry."""

    def get(self, key: Key) -> bytes | None:
        return b"\xff" if key == kv("garbled") else super().get(key)


def begin(hand: Hand, *writes: Write) -> Ticket:
    ticket = hand.replica.write(writes, hand.now)
    hand.pump()
    return ticket


def outcomes(hand: Hand, ticket: Ticket) -> tuple[object, ...]:
    result = hand.results[ticket]
    assert isinstance(result, Outcomes)
    return result.of_each


def test_many_writes_end_as_they_do_one_by_one() -> None:
    together, alone = Hand(), Hand()
    for hand in (together, alone):
        hand.write(kv("old"), b"0")
    writes = [
        Write(kv("old"), Value(b"1")),
        Write(kv("new"), Value(b"1")),
        Write(kv("new"), Value(b"2", "text/plain")),
        Write(mv("m"), Value(b"1")),
        Write(mv("m"), Value(b"2")),
        Write(kv("old"), None),
        Write(kv("new"), Value(b"3"), None, Condition(if_none_match=("*",))),
    ]
    ticket = begin(together, *writes)
    assert ticket not in together.results
    together.commit()
    tickets = [
        alone.replica.put(write.key, write.value, alone.now, context=write.context, condition=write.condition)
        if write.value is not None
        else alone.replica.delete(write.key, alone.now)
        for write in writes
    ]
    alone.pump()
    alone.commit()
    assert outcomes(together, ticket) == tuple(alone.results[ticket] for ticket in tickets)
    assert together.store.tree.root == alone.store.tree.root
    together.replica.check_invariants()


def test_writes_behind_a_batch_in_flight_see_what_is_in_it() -> None:
    hand = Hand()
    begin(hand, Write(kv("a"), Value(b"1")), Write(mv("b"), Value(b"1")))
    assert len(hand.commits) == 1
    ticket = begin(hand, Write(kv("a"), Value(b"2")), Write(mv("b"), Value(b"2")))
    hand.commit()
    one, two = outcomes(hand, ticket)
    assert isinstance(one, Written)
    assert isinstance(two, Written)
    assert (one.created, two.created) == (False, False)
    assert hand.bodies(kv("a")) == [b"2"]
    assert hand.bodies(mv("b")) == [b"1", b"2"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CommitRefusedError("no"), Refusal.DISK_FAILED),
        (OutcomeUnknownError("maybe"), Refusal.OUTCOME_UNKNOWN),
    ],
)
def test_a_commit_that_fails_refuses_each_of_them(
    error: CommitRefusedError | OutcomeUnknownError, reason: Refusal
) -> None:
    hand = Hand()
    ticket = begin(hand, Write(kv("a"), Value(b"1")), Write(kv("b"), Value(b"1")))
    hand.replica.handle_commit_failed(hand.commits.pop(), error, hand.now)
    hand.pump()
    assert [refused.reason for refused in outcomes(hand, ticket) if isinstance(refused, Refused)] == [
        reason
    ] * 2
    if reason is Refusal.OUTCOME_UNKNOWN:
        later = begin(hand, Write(kv("a"), Value(b"1")))
        assert [r.reason for r in outcomes(hand, later) if isinstance(r, Refused)] == [Refusal.READ_ONLY]


def test_a_row_that_cannot_be_read_fails_its_own_write_and_read_alone() -> None:
    store = GarbledStore()
    hand = Hand(store=store)
    store.rots = {kv("bad")}
    for name in ("bad", "good"):
        hand.write(kv(name), b"1")
    found = hand.replica.read_many([kv("good"), kv("bad"), kv("none"), kv("garbled")])
    assert isinstance(found[0], tuple)
    assert isinstance(found[0][0], KvEntry)
    assert [type(row) for row in found[1:]] == [CorruptRowError, type(None), EncodingError]
    ticket = begin(hand, *(Write(kv(name), Value(b"2")) for name in ("good", "bad", "new", "garbled")))
    hand.commit()
    assert [type(outcome) for outcome in outcomes(hand, ticket)] == [
        Written,
        CorruptRowError,
        Written,
        EncodingError,
    ]
    assert hand.bodies(kv("good")) == hand.bodies(kv("new")) == [b"2"]
    hand.replica.check_invariants()
