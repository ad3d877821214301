"""Every checker passes a good history and fails a bad one: hand-made, a few steps each."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kvgossip.model.encoding import encode_clock
from kvgossip.node.effects import Condition, Event, Refusal
from kvgossip.sim.checkers.acked_writes_survive import AckedWritesSurvive
from kvgossip.sim.checkers.available_alone import AvailableAlone
from kvgossip.sim.checkers.base import NodeLook, Violation
from kvgossip.sim.checkers.convergence import Convergence
from kvgossip.sim.checkers.durable_before_seen import DurableBeforeSeen
from kvgossip.sim.checkers.no_resurrection import NoResurrection
from kvgossip.sim.checkers.node_clock_is_honest import NodeClockIsHonest
from kvgossip.sim.checkers.preconditions_hold import PreconditionsHold
from kvgossip.sim.checkers.siblings_kept import SiblingsKept
from kvgossip.sim.checkers.writes_supersede import WritesSupersede
from kvgossip.sim.checkers.wrong_clocks_are_corrected import WrongClocksAreCorrected
from kvgossip.sim.frames import Told
from kvgossip.sim.history import Operation
from kvgossip.sim.ledger import CLOCK_RECORD
from kvgossip.sim.scheduler import SECOND
from kvgossip.store.base import Batch
from tests.sim.story import KV, MV, Story, clock, dot, kv, mv, vector

A1, A2, A3, B1 = dot(1, 1), dot(1, 2), dot(1, 3), dot(2, 1)


@contextmanager
def broken(promise: str) -> Iterator[None]:
    with pytest.raises(Violation) as caught:
        yield
    assert caught.value.promise == promise


# -- Convergence


def test_convergence_holds_if_all_have_the_greatest_of_the_acknowledged_writes() -> None:
    story = Story(Convergence)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.write(2, KV, b"b", kv(B1, 20, b"b"))
    story.disk(1, {KV: kv(B1, 20, b"b")}, B1)
    story.disk(2, {}, A1)
    story.settle(1, 2)


def test_convergence_is_broken_by_two_nodes_that_differ() -> None:
    story = Story(Convergence)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    with broken("Convergence"):
        story.settle(1, 2)


def test_convergence_is_broken_by_equal_entries_and_different_clocks() -> None:
    story = Story(Convergence)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.write(2, KV, b"b", kv(B1, 20, b"b"))
    story.disk(1, {KV: kv(B1, 20, b"b")}, B1)
    with broken("Convergence"):
        story.settle(1, 2)


def test_convergence_is_broken_by_a_hole_in_the_clocks() -> None:
    story = Story(Convergence)
    story.write(1, KV, b"a", kv(A2, 10, b"a"))
    with broken("Convergence"):
        story.settle(1)


def test_convergence_is_broken_by_a_loser_that_all_agree_on() -> None:
    story = Story(Convergence)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.write(2, KV, b"b", kv(B1, 20, b"b"))
    story.disk(1, {}, B1)
    story.disk(2, {KV: kv(A1, 10, b"a")}, A1)
    with broken("Convergence"):
        story.settle(1, 2)


def test_a_write_of_unknown_outcome_may_be_there_or_not() -> None:
    for is_there in (False, True):
        story = Story(Convergence)
        story.write(1, KV, b"a", kv(A1, 10, b"a"))
        unknown = story.invoke(1, KV, b"b")
        if is_there:
            story.disk(1, {KV: kv(A2, 20, b"b")}, A2)
        story.history.lose(unknown)
        story.settle(1)


def test_convergence_is_broken_by_a_refused_write() -> None:
    story = Story(Convergence)
    story.refuse(story.invoke(1, KV, b"a"), Refusal.DISK_FULL)
    with broken("Convergence"):
        story.disk(1, {KV: kv(A1, 10, b"a")}, A1)


def test_convergence_is_broken_by_a_value_and_by_a_delete_that_nobody_wrote() -> None:
    for body in (b"invented", None):
        story = Story(Convergence)
        with broken("Convergence"):
            story.disk(1, {KV: kv(A1, 10, body)}, A1)


# -- AckedWritesSurvive


def test_acknowledged_writes_survive_if_the_disk_shows_them_or_what_came_after() -> None:
    story = Story(AckedWritesSurvive)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.restart(1)
    story.write(1, KV, b"b", kv(A2, 20, b"b"))
    story.restart(1)


def test_acknowledged_writes_do_not_survive_an_emptied_disk() -> None:
    story = Story(AckedWritesSurvive)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    with broken("AckedWritesSurvive"):
        story.restart(1, rows={})


def test_an_acknowledged_sibling_that_is_gone_after_a_restart_did_not_survive() -> None:
    story = Story(AckedWritesSurvive)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    story.write(1, MV, b"b", mv([A2], (A1, b"a"), (A2, b"b")))
    with broken("AckedWritesSurvive"):
        story.restart(1, rows={MV: mv([A2], (A2, b"b"))})


def test_an_acknowledged_write_must_be_there_at_the_end() -> None:
    story = Story(AckedWritesSurvive)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    with broken("AckedWritesSurvive"):
        story.settle(2)


# -- NoResurrection


def test_a_value_written_after_a_delete_is_no_resurrection() -> None:
    story = Story(NoResurrection)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.write(1, KV, None, kv(A2, 20, None))
    story.write(1, KV, b"b", kv(A3, 30, b"b"))
    story.settle(1)


def test_a_kv_value_that_comes_back_where_its_delete_was_held_is_a_resurrection() -> None:
    story = Story(NoResurrection)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.write(1, KV, None, kv(A2, 20, None))
    with broken("NoResurrection"):
        story.disk(1, {KV: kv(A1, 10, b"a")})


def test_a_read_that_shows_a_deleted_value_again_is_a_resurrection() -> None:
    story = Story(NoResurrection)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    deleted = mv([A2], (A2, None))
    story.write(1, MV, None, deleted, context=vector(A1))
    story.checker.on_read("n1", MV, mv([A1], (A1, b"a")))  # it may lag behind its disk
    story.checker.on_read("n1", MV, deleted)
    with broken("NoResurrection"):
        story.checker.on_read("n1", MV, mv([A1], (A1, b"a")))


def test_an_mv_value_that_comes_back_after_its_vector_entry_was_dropped_is_a_resurrection() -> None:
    story = Story(NoResurrection)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    story.write(1, MV, None, mv([A2], (A2, None)), context=vector(A1))
    with broken("NoResurrection"):
        story.disk(1, {MV: mv([A1], (A1, b"a"))})


def test_a_deleted_value_on_any_node_at_the_end_is_a_resurrection() -> None:
    story = Story(NoResurrection)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.disk(2, {KV: kv(A1, 10, b"a")}, A1)
    story.write(1, KV, None, kv(A2, 20, None))
    with broken("NoResurrection"):
        story.settle(1, 2)


# -- SiblingsKept


def test_siblings_may_go_by_a_write_whose_context_had_seen_them() -> None:
    story = Story(SiblingsKept)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    story.write(1, MV, b"b", mv([A2], (A1, b"a"), (A2, b"b")))
    story.write(1, MV, b"c", mv([A3], (A3, b"c")), context=vector(A2))
    story.settle(1)


def test_a_sibling_that_no_context_had_seen_must_stay() -> None:
    story = Story(SiblingsKept)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    with broken("SiblingsKept"):
        story.write(1, MV, b"b", mv([A2], (A2, b"b")))


def test_a_delete_without_a_context_covers_what_its_answer_says() -> None:
    story = Story(SiblingsKept)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    story.write(1, MV, None, mv([A2], (A2, None)))
    story.settle(1)


def test_a_write_of_unknown_outcome_may_have_superseded_what_its_context_had_seen_and_no_more() -> None:
    for context, is_lawful in ((vector(A1), True), (vector(B1), False)):
        story = Story(SiblingsKept)
        story.write(1, MV, b"a", mv([A1], (A1, b"a")))
        unknown = story.invoke(1, MV, b"b", context=context)
        story.history.lose(unknown)
        after = mv([A2, B1], (A2, b"b"))
        if is_lawful:
            story.disk(1, {MV: after}, A2)
        else:
            with broken("SiblingsKept"):
                story.disk(1, {MV: after}, A2)


def test_a_vector_that_claims_a_write_which_is_not_there_loses_it() -> None:
    story = Story(SiblingsKept)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    with broken("SiblingsKept"):
        story.disk(2, {MV: mv([A1, B1], (B1, b"b"))}, B1)


def test_a_kv_row_never_goes_down_in_the_order_and_ties_go_down_to_the_replica() -> None:
    story = Story(SiblingsKept)
    story.disk(1, {KV: kv(A1, 10, b"a")}, A1)
    story.disk(1, {KV: kv(B1, 10, b"b")}, B1)
    with broken("SiblingsKept"):
        story.disk(1, {KV: kv(A1, 10, b"a")})


# -- WritesSupersede


def test_a_kv_write_supersedes_what_its_node_showed() -> None:
    story = Story(WritesSupersede)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.write(1, KV, b"b", kv(A2, 11, b"b"), before=kv(A1, 10, b"a"))


def test_a_kv_write_below_what_its_node_showed_is_broken() -> None:
    story = Story(WritesSupersede)
    with broken("WritesSupersede"):
        story.write(1, KV, b"a", kv(A1, 10, b"a"), before=kv(B1, 11, b"b"))


def test_a_local_kv_write_that_goes_down_in_the_order_supersedes_nothing() -> None:
    story = Story(WritesSupersede)
    story.disk(1, {KV: kv(B1, 10, b"b")}, B1)
    with broken("WritesSupersede"):
        story.disk(1, {KV: kv(A1, 9, b"a")}, A1)


def test_what_a_context_had_seen_does_not_stand_beside_its_write() -> None:
    story = Story(WritesSupersede)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    story.write(1, MV, b"b", mv([A2], (A2, b"b")), context=vector(A1))
    with broken("WritesSupersede"):
        story.disk(2, {MV: mv([A2], (A1, b"a"), (A2, b"b"))}, A1, A2)


def test_the_answer_to_an_mv_write_covers_the_context_sent_and_its_own_dot_exactly() -> None:
    for answered in (vector(A2), vector(A3, B1), vector(A1, B1)):
        story = Story(WritesSupersede)
        operation = story.invoke(1, MV, b"b", context=vector(B1))
        with broken("WritesSupersede"):
            story.ack(operation, A2, 2, answered)
    story = Story(WritesSupersede)
    story.ack(story.invoke(1, MV, b"b", context=vector(B1)), A2, 2, vector(A2, B1))


def test_a_delete_without_a_context_covers_what_its_node_showed() -> None:
    story = Story(WritesSupersede)
    operation = story.invoke(1, MV, None, before=mv([B1], (B1, b"b")))
    with broken("WritesSupersede"):
        story.ack(operation, A1, 1, vector(A1))


# -- DurableBeforeSeen


def test_an_acknowledgement_after_the_commit_is_fine_and_before_it_is_not() -> None:
    story = Story(DurableBeforeSeen)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    with broken("DurableBeforeSeen"):
        story.ack(story.invoke(1, KV, b"b"), A2, 20)


def test_an_acknowledged_write_that_was_superseded_in_the_same_batch_is_fine() -> None:
    story = Story(DurableBeforeSeen)
    first, second = story.invoke(1, KV, b"a"), story.invoke(1, KV, b"b")
    story.disk(1, {KV: kv(A2, 11, b"b")}, A1, A2)
    story.ack(first, A1, 10)
    story.ack(second, A2, 11)


def test_a_frame_may_show_what_is_or_was_on_the_disk_and_nothing_else() -> None:
    story = Story(DurableBeforeSeen)
    story.disk(1, {KV: kv(A1, 10, b"a")}, A1)
    story.disk(1, {KV: kv(A2, 20, b"b")}, A2)
    on_disk = story.ledger.disks["n1"]
    for entry in (kv(A1, 10, b"a"), kv(A2, 20, b"b")):
        story.checker.on_sent("n1", Told("RumorPush", entries=((KV, entry),)), "n2")
    story.checker.on_sent(
        "n1", Told("ClockShare", clocks=(clock(A1),), roots=(on_disk.root, 0), dots=(A2,)), "n2"
    )
    for told in (
        Told("RumorPush", entries=((KV, kv(A3, 30, b"c")),)),
        Told("RumorPush", entries=((MV, mv([A3], (A3, b"c"))),)),
        Told("Chunk", digests=((KV, 1),)),
        Told("ClockShare", clocks=(clock(A1, A2, A3),)),
        Told("ExchangeOpen", roots=(1,)),
        Told("Hello", dots=(A3,)),
        Told("Hello", heard_of=(B1,)),
    ):
        with broken("DurableBeforeSeen"):
            story.checker.on_sent("n1", told, "n2")


def test_a_read_that_shows_a_staged_write_is_early() -> None:
    story = Story(DurableBeforeSeen)
    story.checker.on_read("n1", KV, None)
    with broken("DurableBeforeSeen"):
        story.checker.on_read("n1", KV, kv(A1, 10, b"a"))


def test_nobody_holds_or_covers_a_dot_before_its_issuer() -> None:
    story = Story(DurableBeforeSeen)
    with broken("DurableBeforeSeen"):
        story.disk(2, {KV: kv(A1, 10, b"a")}, A1)
    story = Story(DurableBeforeSeen)
    with broken("DurableBeforeSeen"):
        story.disk(2, {}, A1)


def test_a_dot_names_one_write() -> None:
    story = Story(DurableBeforeSeen)
    story.disk(1, {KV: kv(A1, 10, b"a")}, A1)
    with broken("DurableBeforeSeen"):
        story.disk(1, {KV: kv(A1, 20, b"b")})


# -- NodeClockIsHonest


def test_a_clock_may_cover_what_is_held_or_was_superseded() -> None:
    story = Story(NodeClockIsHonest)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.write(1, KV, b"b", kv(A2, 20, b"b"))
    story.disk(2, {KV: kv(A2, 20, b"b")}, A2)
    story.disk(2, {}, A1)
    story.settle(1, 2)


def test_a_clock_that_covers_what_is_not_held_lies() -> None:
    story = Story(NodeClockIsHonest)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    with broken("NodeClockIsHonest"):
        story.disk(2, {}, A1)


def test_a_clock_that_covers_a_lost_sibling_lies() -> None:
    story = Story(NodeClockIsHonest)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    with broken("NodeClockIsHonest"):
        story.disk(2, {MV: mv([A1, B1], (B1, b"b"))}, A1, B1)


def test_a_clock_that_forgets_a_dot_or_misses_one_of_an_entry_lies() -> None:
    story = Story(NodeClockIsHonest)
    with broken("NodeClockIsHonest"):
        story.disk(1, {KV: kv(A1, 10, b"a")})
    story = Story(NodeClockIsHonest)
    story.disk(1, {KV: kv(A1, 10, b"a")}, A1)
    story.ledger.disks["n1"].clock = clock(A1, A2)
    forgetful = Batch(meta={CLOCK_RECORD: encode_clock(clock(A1))})
    durable = story.ledger.apply("n1", forgetful)
    with broken("NodeClockIsHonest"):
        story.checker.on_durable(durable)


# -- AvailableAlone


def test_a_write_that_is_answered_at_once_is_fine() -> None:
    story = Story(AvailableAlone)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.settle(1)


def test_a_write_that_waits_longer_than_its_disk_is_broken_unless_excused() -> None:
    for is_excused in (True, False):
        story = Story(AvailableAlone)
        operation = story.invoke(1, KV, b"a")
        operation.is_excused = is_excused
        story.now_us = 1 * SECOND
        if is_excused:
            story.ack(operation, A1, 10)
        else:
            with broken("AvailableAlone"):
                story.ack(operation, A1, 10)


def test_a_refusal_without_a_reason_is_broken() -> None:
    story = Story(AvailableAlone)
    with broken("AvailableAlone"):
        story.refuse(story.invoke(1, KV, b"a"), Refusal.OVERLOADED)


def test_a_write_that_is_never_answered_is_broken() -> None:
    story = Story(AvailableAlone)
    story.invoke(1, KV, b"a")
    with broken("AvailableAlone"):
        story.settle(1)


# -- PreconditionsHold


def conditional(story: Story, body: bytes, condition: Condition) -> Operation:
    operation = story.invoke(1, KV, body)
    operation.condition = condition
    held = story.ledger.disks["n1"].row_digests.get(KV)
    operation.version_before = None if held is None else f"{held:032x}"
    return operation


def test_two_writes_that_both_replaced_one_version_break_a_precondition() -> None:
    story = Story(PreconditionsHold)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    demand = Condition(if_match=(f"{story.ledger.disks['n1'].row_digests[KV]:032x}",))
    first, second = conditional(story, b"b", demand), conditional(story, b"c", demand)
    story.disk(1, {KV: kv(A3, 12, b"c")}, A2, A3)
    story.ack(first, A2, 11)
    with broken("PreconditionsHold"):
        story.ack(second, A3, 12)


def test_a_refusal_for_a_version_that_is_there_breaks_a_precondition() -> None:
    story = Story(PreconditionsHold)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    held = f"{story.ledger.disks['n1'].row_digests[KV]:032x}"
    story.refuse(conditional(story, b"b", Condition(if_match=("0",))), Refusal.PRECONDITION_FAILED)
    with broken("PreconditionsHold"):
        story.refuse(conditional(story, b"c", Condition(if_match=(held,))), Refusal.PRECONDITION_FAILED)


def test_a_version_that_came_after_the_call_may_be_refused() -> None:
    """Seed 449: the refusal waited for a batch, and a merge brought the version into the same batch."""
    story = Story(PreconditionsHold)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.write(2, KV, b"b", kv(B1, 11, b"b"))
    elsewhere = f"{story.ledger.disks['n2'].row_digests[KV]:032x}"
    operation = conditional(story, b"c", Condition(if_match=(elsewhere,)))
    story.disk(1, {KV: kv(B1, 11, b"b")}, B1)
    story.refuse(operation, Refusal.PRECONDITION_FAILED)


def test_a_write_that_demanded_no_value_and_replaced_one_breaks_a_precondition() -> None:
    story = Story(PreconditionsHold)
    with broken("PreconditionsHold"):  # ``Story.ack`` answers that nothing was created
        story.ack(conditional(story, b"b", Condition(if_none_match=("*",))), A1, 10)


# -- WrongClocksAreCorrected


def test_a_clock_is_corrected_by_three_voices_at_least() -> None:
    checker = Story(WrongClocksAreCorrected).checker
    checker.on_looked([NodeLook("n1", 9_000, -9_000, 2)])
    with broken("WrongClocksAreCorrected"):
        checker.on_looked([NodeLook("n1", 9_000, -9_000, 1)])


def test_who_says_that_its_clock_is_wrong_has_heard_two_others() -> None:
    checker = Story(WrongClocksAreCorrected).checker
    checker.on_event("n1", Event("clock-wrong", {"correction_ms": -9_000, "heard": 2}))
    with broken("WrongClocksAreCorrected"):
        checker.on_event("n1", Event("clock-wrong", {"correction_ms": -9_000, "heard": 1}))


def test_at_the_end_every_clock_is_near_the_middle_one() -> None:
    for correction_ms in (-9_000_000, 0):
        checker = Story(WrongClocksAreCorrected).checker
        right = [NodeLook(f"n{i}", 20 * i, 0, 2) for i in (1, 2)]
        checker.on_looked([*right, NodeLook("n3", 9_000_000, correction_ms, 2)])
        if correction_ms:
            checker.on_settled([])
        else:
            with broken("WrongClocksAreCorrected"):
                checker.on_settled([])
