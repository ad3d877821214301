"""Nothing leaves a node before it is durable there, and a failed commit leaves nothing behind."""

import pytest

from kvgossip.errors import CommitRefusedError, OutcomeUnknownError, StoreFullError
from kvgossip.model.clock import NodeClock
from kvgossip.model.ids import Address
from kvgossip.model.stamp import stamp_ms
from kvgossip.node.effects import Left, Refusal, Refused, Written
from kvgossip.node.status import Checked
from kvgossip.wire import messages as m
from tests.node.hand import WALL_MS, Hand, kv, run, with_tuning


def test_nothing_is_sent_before_the_generation_is_durable() -> None:
    hand = Hand(seeds=["n2"], begins=False)
    assert hand.replica.next_deadline_ms() is None
    hand.replica.handle_timer(hand.now)
    hand.pump()
    assert hand.sends == []
    hand.commit()
    hand.advance(1)
    assert [type(message) for message in hand.take_messages()] == [m.Hello, m.MemberSyn]


def test_a_write_is_answered_and_readable_only_after_its_commit() -> None:
    hand = Hand()
    ticket = hand.put(kv("a"), b"1")
    assert hand.results == {}
    assert hand.bodies(kv("a")) == []
    assert hand.replica.status().clock == NodeClock()
    hand.commit()
    assert isinstance(hand.results[ticket], Written)
    assert hand.bodies(kv("a")) == [b"1"]


def test_writes_gather_while_a_batch_is_in_flight() -> None:
    hand = Hand()
    tickets = [hand.put(kv("a"), b"0")]
    tickets += [hand.put(kv(f"k{i}"), b"x") for i in range(10)]
    assert len(hand.commits) == 1
    assert len(hand.commits[0].changes) == 1
    batch = hand.commits.pop()
    hand.store.write(batch)
    hand.replica.handle_committed(batch, hand.now)
    hand.pump()
    assert list(hand.results) == tickets[:1]
    assert [len(b.changes) for b in hand.commits] == [10]
    hand.commit()
    assert list(hand.results) == tickets


def test_a_write_sees_the_writes_staged_before_it() -> None:
    hand = Hand()
    first, second = hand.put(kv("a"), b"1"), hand.put(kv("a"), b"2")
    hand.commit()
    one, two = hand.results[first], hand.results[second]
    assert isinstance(one, Written)
    assert isinstance(two, Written)
    assert (one.created, two.created) == (True, False)
    assert two.stamp > one.stamp
    assert two.dot.counter == one.dot.counter + 1
    assert hand.bodies(kv("a")) == [b"2"]


def test_an_own_write_is_not_a_rumor_before_its_commit() -> None:
    hand, peer = Hand(), Hand("n2", seeds=["n1"])
    run([hand, peer], 50)
    hand.put(kv("a"), b"1")
    hand.advance(500)
    assert not any(isinstance(message, m.RumorPush) for message in hand.take_messages())
    hand.commit()
    hand.advance(500)
    assert any(isinstance(message, m.RumorPush) for message in hand.take_messages())


def test_feedback_waits_for_the_commit_of_what_it_speaks_of() -> None:
    hand, peer = Hand(), Hand("n2")
    peer.write(kv("a"), b"1")
    hand.meet(peer)
    item = peer.replica._rows.load(kv("a"), 100)
    assert isinstance(item, m.Carried)
    push = m.RumorPush(7, (item,), ())
    hand.receive(peer, push)
    assert hand.take_messages() == []
    hand.receive(peer, push)  # a duplicate, known from the staged row only: its answer waits as well
    assert hand.take_messages() == []
    hand.commit()
    assert hand.take_messages() == [m.RumorAnswer(7, b"\x01"), m.RumorAnswer(7, b"\x00")]


@pytest.mark.parametrize(
    ("error", "refusal"),
    [(StoreFullError("no space"), Refusal.DISK_FULL), (CommitRefusedError("I/O"), Refusal.DISK_FAILED)],
)
def test_a_refused_commit_leaves_nothing_and_its_dots_are_issued_again(
    error: CommitRefusedError, refusal: Refusal
) -> None:
    hand = Hand()
    before = hand.write(kv("a"), b"1")
    in_flight, behind = hand.put(kv("a"), b"2"), hand.put(kv("b"), b"3")
    hand.replica.handle_commit_failed(hand.commits.pop(), error, hand.now)
    hand.pump()
    for ticket in (in_flight, behind):
        result = hand.results[ticket]
        assert isinstance(result, Refused)
        assert result.reason is refusal
    hand.commit()
    assert hand.bodies(kv("a")) == [b"1"]
    assert hand.bodies(kv("b")) == []
    after = hand.write(kv("b"), b"4")
    assert after.dot.counter == before.dot.counter + 1
    hand.replica.check_invariants()


def test_after_an_unknown_outcome_the_node_reads_and_takes_no_writes() -> None:
    hand, peer = Hand(), Hand("n2")
    hand.write(kv("a"), b"1")
    in_flight, behind = hand.put(kv("a"), b"2"), hand.put(kv("b"), b"3")
    hand.replica.handle_commit_failed(hand.commits.pop(), OutcomeUnknownError("EIO"), hand.now)
    hand.pump()
    assert [hand.results[t].reason for t in (in_flight, behind)] == [  # type: ignore[union-attr]
        Refusal.OUTCOME_UNKNOWN,
        Refusal.READ_ONLY,
    ]
    later = hand.put(kv("c"), b"4")
    assert hand.results[later].reason is Refusal.READ_ONLY  # type: ignore[union-attr]
    assert hand.bodies(kv("a")) == [b"1"]
    assert hand.commits == []
    hand.meet(peer)
    peer.write(kv("z"), b"9")
    item = peer.replica._rows.load(kv("z"), 100)
    assert isinstance(item, m.Carried)
    hand.receive(peer, m.RumorPush(1, (item,), ()))
    assert hand.commits == []
    assert hand.take_messages() == []


def test_a_restart_raises_the_generation_and_goes_on_with_the_counters() -> None:
    hand = Hand()
    first = hand.write(kv("a"), b"1")
    again = hand.crashed(start=2)
    assert again.replica.status().generation == hand.replica.status().generation + 1
    assert again.replica.status().replica == hand.replica.status().replica
    second = again.write(kv("a"), b"2")
    assert second.dot.counter == first.dot.counter + 1
    assert again.bodies(kv("a")) == [b"2"]


def test_a_lost_batch_takes_its_dots_along() -> None:
    hand = Hand()
    hand.write(kv("a"), b"1")
    hand.put(kv("b"), b"2")  # in flight, never written
    again = hand.crashed(start=2)
    assert again.write(kv("c"), b"3").dot.counter == 2
    assert again.replica.status().clock.hole_count() == 0


def test_stamps_are_not_issued_again_after_a_restart_with_the_wall_clock_set_back() -> None:
    hand = Hand()
    first = hand.write(kv("a"), b"1")
    again = hand.crashed(start=2, wall_ms=WALL_MS - 4_000)  # within the drift limit
    assert again.write(kv("other"), b"2").stamp > first.stamp


def test_a_stamp_mark_beyond_the_drift_limit_is_given_up_and_counted() -> None:
    hand = Hand()
    first = hand.write(kv("a"), b"1")
    again = hand.crashed(start=2, wall_ms=WALL_MS - 3_600_000)
    other = again.write(kv("other"), b"2")
    assert stamp_ms(other.stamp) == WALL_MS - 3_600_000
    assert again.replica.status().counters["stamps_given_up"] == 1
    assert again.write(kv("a"), b"3").stamp > first.stamp, "a write supersedes what its node had seen"
    assert again.bodies(kv("a")) == [b"3"]


def test_more_staged_bytes_than_the_limit_refuse_further_writes() -> None:
    hand = Hand(tuning=with_tuning(staged_bytes_max=1_000))
    hand.put(kv("a"), b"x" * 2_000)
    refused = hand.put(kv("b"), b"y")
    assert hand.results[refused].reason is Refusal.OVERLOADED  # type: ignore[union-attr]
    hand.commit()
    assert isinstance(hand.write(kv("b"), b"y"), Written)


def test_a_start_that_cannot_be_made_durable_serves_reads_and_says_nothing_to_peers() -> None:
    before = Hand()
    before.write(kv("a"), b"1")
    hand = Hand(store=before.store, seeds=["n2"], start=2, begins=False)
    hand.replica.handle_commit_failed(hand.commits.pop(), StoreFullError("full"), hand.now)
    hand.pump()
    assert hand.bodies(kv("a")) == [b"1"]
    ticket = hand.put(kv("a"), b"2")
    refused = hand.results[ticket]
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.DISK_FULL
    assert "full" in str(hand.replica.read_only_because)
    asked, left = hand.replica.check(hand.now), hand.replica.leave(hand.now)
    hand.replica.handle_connected(Address("n2"), hand.now)
    hand.pump()
    assert hand.results[asked] == Checked(())
    assert hand.results[left] == Left(0, 0)
    assert hand.sends == []
    hand.advance(1_000)
    assert len(hand.commits) == 1
    hand.commit()
    assert hand.replica.read_only_because is None
    hand.write(kv("a"), b"3")
    assert hand.bodies(kv("a")) == [b"3"]
    hand.advance(1)
    assert [type(message) for message in hand.take_messages()] == [m.Hello, m.MemberSyn]
