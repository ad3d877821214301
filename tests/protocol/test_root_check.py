"""The convergence check, by hand."""

from kvgossip.model.ids import Address
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.root_check import CHECK_TIMEOUT_MS, RootChecks
from kvgossip.wire.messages import RootAnswer, RootAsk

A, B, C = (Address(f"{name}:1") for name in "abc")


def answer(sequence: int, root: int = 5) -> RootAnswer:
    return RootAnswer(sequence, root, 1, 2)


def test_a_check_asks_all_and_ends_when_all_have_answered() -> None:
    outbox = Outbox()
    checks = RootChecks(outbox)
    check = checks.begin([A, B], 100)
    assert outbox.take() == [(A, RootAsk(check.sequence)), (B, RootAsk(check.sequence))]
    checks.handle_answer(A, answer(check.sequence))
    assert checks.take_ended(101) == []
    checks.handle_answer(B, answer(check.sequence, root=6))
    assert checks.take_ended(101) == [check]
    assert {sender: a.root for sender, a in check.answers.items()} == {A: 5, B: 6}
    assert checks.take_ended(102) == []
    assert checks.next_deadline_ms() is None


def test_a_check_ends_in_time_without_those_that_are_silent() -> None:
    checks = RootChecks(Outbox())
    check = checks.begin([A, B], 100)
    checks.handle_answer(A, answer(check.sequence))
    assert checks.next_deadline_ms() == 100 + CHECK_TIMEOUT_MS
    assert checks.take_ended(99 + CHECK_TIMEOUT_MS) == []
    assert checks.take_ended(100 + CHECK_TIMEOUT_MS) == [check]
    assert set(check.answers) == {A}


def test_answers_of_strangers_to_other_checks_and_too_late_are_ignored() -> None:
    checks = RootChecks(Outbox())
    check = checks.begin([A], 0)
    checks.handle_answer(C, answer(check.sequence))
    checks.handle_answer(A, answer(check.sequence + 1))
    assert check.answers == {}
    checks.take_ended(CHECK_TIMEOUT_MS)
    checks.handle_answer(A, answer(check.sequence))
    assert check.answers == {}


def test_with_nobody_to_ask_a_check_ends_at_once() -> None:
    checks = RootChecks(Outbox())
    check = checks.begin([], 0)
    assert checks.take_ended(0) == [check]


def test_two_checks_do_not_mix() -> None:
    checks = RootChecks(Outbox())
    first, second = checks.begin([A], 0), checks.begin([A], 0)
    checks.handle_answer(A, answer(second.sequence))
    assert checks.take_ended(1) == [second]
    assert first.answers == {}
