"""Copies in the ledger and the checkers: what a replaced disk may lose, and what it may not."""

from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.node.effects import Event
from kvgossip.sim.checkers.acked_writes_survive import AckedWritesSurvive
from kvgossip.sim.checkers.copies_find_out import CopiesFindOut
from kvgossip.sim.checkers.durable_before_seen import DurableBeforeSeen
from kvgossip.sim.checkers.node_clock_is_honest import NodeClockIsHonest
from kvgossip.sim.checkers.siblings_kept import SiblingsKept
from kvgossip.sim.frames import Told
from kvgossip.sim.history import Outcome
from tests.sim.story import KV, MV, Story, dot, kv, mv, vector
from tests.sim.test_checkers import broken

A1, A2, B1, C1, X1, X2 = dot(1, 1), dot(1, 2), dot(2, 1), dot(3, 1), dot(9, 1), dot(9, 2)


def erase(story: Story) -> None:
    """What the operator does after a replacement: tell the history what is gone."""
    for operation in story.history.acked():
        if not story.ledger.is_held(operation):
            story.history.erase(operation)


def test_a_write_that_only_a_wiped_disk_held_is_erased_and_may_be_absent() -> None:
    story = Story(AckedWritesSurvive)
    write = story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.ledger.replace("n1", None)
    erase(story)
    assert write.outcome is Outcome.ERASED
    assert A1 in story.ledger.gone
    story.settle(1, 2, 3)


def test_a_write_that_another_disk_held_when_one_was_wiped_must_survive() -> None:
    story = Story(AckedWritesSurvive)
    write = story.write(1, KV, b"a", kv(A1, 10, b"a"))
    story.disk(2, {KV: kv(A1, 10, b"a")}, A1)
    story.ledger.replace("n1", None)
    erase(story)
    assert write.outcome is Outcome.ACKED
    with broken("AckedWritesSurvive"):
        story.settle(1)


def test_a_restored_disk_must_show_what_was_acknowledged_before_the_backup_and_no_more() -> None:
    story = Story(AckedWritesSurvive)
    story.write(1, KV, b"a", kv(A1, 10, b"a"))
    backup = story.ledger.copy_disk("n1")
    later = story.write(1, KV, b"b", kv(A2, 20, b"b"))
    story.ledger.replace("n1", backup)
    erase(story)
    assert later.outcome is Outcome.ERASED
    story.restart(1)
    with broken("AckedWritesSurvive"):
        story.restart(1, rows={})


def test_a_dot_of_a_copy_may_name_one_write_of_each_line_and_no_third() -> None:
    story = Story(DurableBeforeSeen)
    story.disk(1, {}, A1)
    story.ledger.add_node("n9", story.ledger.copy_disk("n1"))
    story.ledger.note_owner(ReplicaId(1), "n9")
    story.ledger.disks["n4"] = story.ledger.disks["n9"]
    story.ledger.note_owner(ReplicaId(1), "n4")
    story.disk(1, {KV: kv(A2, 20, b"a")}, A2)
    story.disk(4, {KV: kv(A2, 21, b"b")}, A2)
    assert story.ledger.is_ambiguous(A2)
    with broken("DurableBeforeSeen"):
        story.disk(2, {KV: kv(A2, 22, b"c")}, A2)


def test_a_dot_that_was_staged_before_the_copy_took_a_new_id_was_issued_all_the_same() -> None:
    """Seed 521: the batch was on its way to the disk when the node found out."""
    story = Story(NodeClockIsHonest)
    story.disk(1, {}, A1)
    story.ledger.add_node("n4", story.ledger.copy_disk("n1"))
    story.ledger.note_owner(ReplicaId(1), "n4")
    story.write(1, KV, b"a", kv(A2, 20, b"a"))
    story.ledger.note_owner(ReplicaId(9), "n4")
    story.disk(4, {MV: mv([A2], (A2, b"b"))}, A2)
    assert story.ledger.is_ambiguous(A2)


def test_a_write_that_was_superseded_in_the_batch_that_gave_its_dot_up_has_no_name() -> None:
    """Seed 521: a node that was frozen had both to do at once; what nothing supersedes must be there."""
    for later_context, is_lawful in ((vector(A2), True), (vector(B1), False)):
        story = Story(DurableBeforeSeen)
        story.disk(1, {}, A1)
        story.ledger.replace("n1", story.ledger.copy_disk("n1"))
        story.ledger.note_owner(ReplicaId(1), "n1")
        operation = story.invoke(1, MV, b"a")
        story.disk(1, {}, A2)
        story.invoke(1, MV, b"b", context=later_context)
        story.ledger.note_owner(ReplicaId(9), "n1")
        story.disk(1, {MV: mv([X1], (X1, b"b"))}, X1, without=A2)
        if is_lawful:
            story.ack(operation, A2, 2)
        else:
            with broken("DurableBeforeSeen"):
                story.ack(operation, A2, 2)


def test_a_pending_delete_on_a_restored_disk_may_have_a_dot_that_was_answered_before() -> None:
    """Seed 282: the dot named a write to another key, on the disk that was replaced."""
    for key, is_lawful in ((KV, True), (MV, False)):
        story = Story(SiblingsKept)
        story.write(2, MV, b"b", mv([B1], (B1, b"b")))
        story.disk(1, {MV: mv([B1], (B1, b"b"))}, B1)
        backup = story.ledger.copy_disk("n1")
        entry = kv(A1, 1, b"a") if key is KV else mv([A1, B1], (A1, b"a"), (B1, b"b"))
        story.write(1, key, b"a", entry)
        story.ledger.replace("n1", backup)
        story.ledger.note_owner(ReplicaId(1), "n1")
        story.invoke(1, MV if is_lawful else KV, None)
        after: dict[Key, Entry] = {MV: mv([A1, B1], (A1, None))}
        if is_lawful:
            story.disk(1, after, A1)
        else:
            with broken("SiblingsKept"):
                story.disk(1, after, A1)


def test_a_value_keeps_its_stamp_when_it_is_issued_again() -> None:
    story = Story(DurableBeforeSeen)
    story.disk(1, {KV: kv(A1, 10, b"a")}, A1)
    story.ledger.note_owner(ReplicaId(9), "n1")
    with broken("DurableBeforeSeen"):
        story.disk(1, {KV: kv(X1, 11, b"a")}, X1)


def test_a_clock_goes_back_only_behind_the_dots_that_a_copy_gives_up() -> None:
    for is_copy in (True, False):
        story = Story(NodeClockIsHonest)
        story.disk(1, {MV: mv([A1], (A1, b"a"))}, A1)
        if is_copy:
            story.ledger.replace("n1", story.ledger.copy_disk("n1"))
        story.ledger.note_owner(ReplicaId(9), "n1")
        if is_copy:
            reissue(story)
        else:
            with broken("NodeClockIsHonest"):
                reissue(story)


def reissue(story: Story) -> None:
    """The write A1 of node 1 becomes X1."""
    story.disk(1, {MV: mv([X1], (X1, b"a"))}, X1, without=A1)


def test_a_copy_that_has_issued_its_writes_again_holds_none_under_an_old_dot() -> None:
    story = Story(CopiesFindOut)
    story.disk(1, {MV: mv([A1], (A1, b"a")), KV: kv(A2, 5, b"b")}, A1, A2)
    story.ledger.replace("n1", story.ledger.copy_disk("n1"))
    story.ledger.note_owner(ReplicaId(9), "n1")
    reissue(story)
    with broken("CopiesFindOut"):
        story.checker.on_event("n1", Event("writes-reissued", {}))


def test_two_nodes_never_end_as_one_replica() -> None:
    story = Story(CopiesFindOut)
    story.disk(1, {KV: kv(A1, 10, b"a")}, A1)
    story.ledger.note_owner(ReplicaId(1), "n2")
    with broken("CopiesFindOut"):
        story.settle(1, 2)


def test_a_restored_disk_whose_later_dots_others_hold_does_not_keep_its_id() -> None:
    story = Story(CopiesFindOut)
    backup = story.ledger.copy_disk("n1")
    story.disk(1, {KV: kv(A1, 10, b"a")}, A1)
    story.disk(2, {KV: kv(A1, 10, b"a")}, A1)
    story.ledger.replace("n1", backup)
    story.checker.on_replaced("n1")
    with broken("CopiesFindOut"):
        story.settle(1, 2)


def test_one_that_gave_data_first_to_who_had_not_heard_of_later_dots_may_keep_its_id() -> None:
    """Seed 108: from then on its own dots are among those that others have heard of."""
    for to, is_lawful in (("n3", True), ("n2", False)):
        story = Story(CopiesFindOut)
        backup = story.ledger.copy_disk("n1")
        story.disk(1, {KV: kv(A1, 10, b"a")}, A1)
        story.disk(2, {KV: kv(A1, 10, b"a")}, A1)
        story.ledger.replace("n1", backup)
        story.checker.on_replaced("n1")
        story.checker.on_sent("n1", Told("Hello", dots=(A1,)), "n3")
        story.checker.on_sent("n1", Told("ExchangeOpen", roots=(0,)), to)
        if is_lawful:
            story.settle(1, 2)
        else:
            with broken("CopiesFindOut"):
                story.settle(1, 2)


def copied() -> Story:
    """Node 1 wrote A1 and runs on a copy of its directory, as replica 9 from now on."""
    story = Story(SiblingsKept)
    story.write(1, MV, b"a", mv([A1], (A1, b"a")))
    story.ledger.replace("n1", story.ledger.copy_disk("n1"))
    story.ledger.note_owner(ReplicaId(9), "n1")
    return story


def test_a_write_may_be_issued_again_and_deleted_in_one_batch() -> None:
    """Seed 1507: the delete was asked for before the node found out, and has seen an unnamed dot."""
    for is_deleted in (True, False):
        story = copied()
        if is_deleted:
            story.invoke(1, MV, None)
            story.disk(1, {MV: mv([X2], (X2, None))}, X1, X2, without=A1)
        else:
            with broken("SiblingsKept"):
                story.disk(1, {MV: mv([X2], (X2, None))}, X1, X2, without=A1)


def test_what_superseded_a_write_may_be_given_up_without_being_issued_again() -> None:
    """Seed 1482: B1 was deleted by A1, and A2 came after A1 before both were given up."""
    for is_deleted in (True, False):
        story = Story(SiblingsKept)
        story.write(2, MV, b"b", mv([B1], (B1, b"b")))
        if is_deleted:
            story.write(1, MV, None, mv([A1, B1], (A1, None)), context=vector(B1))
            story.write(1, MV, b"c", mv([A2, B1], (A2, b"c")), context=vector(A1))
            story.ledger.replace("n1", story.ledger.copy_disk("n1"))
            story.ledger.note_owner(ReplicaId(9), "n1")
            story.disk(
                1, {MV: MvEntry(vector(B1, X1), (Sibling(X1, Stamp(2), Value(b"c")),))}, X1, without=A1
            )
        else:
            with broken("SiblingsKept"):
                story.write(3, MV, b"c", mv([B1, C1], (C1, b"c")))


def test_a_context_may_name_a_dot_that_was_given_up_before_it_was_durable() -> None:
    """Seed 1507: its write was answered once it was durable under its new dot, with the old one."""
    for is_answered in (True, False):
        story = Story(DurableBeforeSeen)
        story.write(1, KV, b"a", kv(A1, 1, b"a"))
        story.ledger.replace("n1", story.ledger.copy_disk("n1"))
        story.ledger.note_owner(ReplicaId(9), "n1")
        written = story.invoke(1, MV, b"b")
        story.disk(
            1,
            {KV: kv(X1, 1, b"a"), MV: MvEntry(vector(X2), (Sibling(X2, Stamp(2), Value(b"b")),))},
            X1,
            X2,
            without=A1,
        )
        if is_answered:
            story.ack(written, A2, 2, vector(A2))
        later: dict[Key, Entry] = {MV: mv([A2, dot(9, 3)], (dot(9, 3), b"c"))}
        if is_answered:
            story.disk(1, later, dot(9, 3))
        else:
            with broken("DurableBeforeSeen"):
                story.disk(1, later, dot(9, 3))
