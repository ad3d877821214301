"""Seeds that once failed, and what they found: in the core first, then in the simulator itself.

What a seed draws changes with the simulator, so a seed here stands for the finding, which has a hand-driven
test of its own; it runs all the same, because a failure in it would be an old acquaintance.
"""

from typing import NamedTuple


class Known(NamedTuple):
    seed: int
    found: str
    test: str
    """Where the finding is held by hand."""
    is_long: bool = False
    """Above ten seconds, with 15 nodes: `make seeds` runs it, `make test` its test by hand alone."""


KNOWN_SEEDS = (
    Known(
        0,
        "a node on an emptied directory heard of its old self at its own address, sent a Hello there, and"
        " took itself for a copy",
        "tests/node/test_copies.py::test_a_node_on_an_emptied_directory_does_not_talk_to_itself",
    ),
    Known(
        15,
        "a node that found out that it is a copy opened an exchange at once, with the clock of before, and so"
        " gave its peer the dots of writes of its twin that neither of them held",
        "tests/node/test_copies.py::test_no_exchange_is_opened_with_a_clock_whose_dots_are_being_given_up",
    ),
    Known(
        21,
        "a clone that is restarted before it has found out keeps the dots of what it wrote before: a known"
        " limit, which the simulator leaves out since",
        "tests/sim/test_scenarios.py::test_a_clone_is_not_restarted_before_it_has_found_out",
    ),
    Known(
        32,
        "the same of a restored backup",
        "tests/sim/test_scenarios.py::"
        "test_a_restored_directory_that_is_behind_is_not_restarted_before_it_has_found_out",
    ),
    Known(
        217,
        "a restored node took a greeting that was meant for its last start for the word of its peer, sent it"
        " data, and so never learnt that the peer held later dots of its own id",
        "tests/protocol/test_acquaintance.py::test_a_word_that_was_meant_for_an_earlier_start_is_none",
    ),
    Known(
        282,
        "a checker did not allow a delete that was under way on a restored disk, because the disk before had"
        " answered a write to another key under the same dot",
        "tests/sim/test_copies.py"
        "::test_a_pending_delete_on_a_restored_disk_may_have_a_dot_that_was_answered_before",
    ),
    Known(
        108,
        "a restored node gave data first to one whose disk was full, which had not heard of the later dots of"
        " its id, and so kept the id: a limit, which the checker allows since",
        "tests/sim/test_copies.py"
        "::test_one_that_gave_data_first_to_who_had_not_heard_of_later_dots_may_keep_its_id",
        is_long=True,
    ),
    Known(
        449,
        "a refusal waited for a batch, a merge brought the very version that was demanded into that batch,"
        " and a checker held it against the refusal",
        "tests/sim/test_checkers.py::test_a_version_that_came_after_the_call_may_be_refused",
    ),
    Known(
        460,
        "a client read at a clone and wrote elsewhere: the original merged a vector that had seen dots of its"
        " own which it had not issued, and a later delete of its own passed for superseded",
        "tests/node/test_copies.py::test_an_entry_that_has_seen_later_dots_of_this_replica_shows_a_copy",
    ),
    Known(
        494,
        "members that are alive and out of reach were tried again and again, and those that would have"
        " answered waited behind them: a core of nine did not converge in two minutes",
        "tests/protocol/test_anti_entropy.py"
        "::test_who_is_out_of_reach_does_not_keep_those_waiting_that_would_answer",
        is_long=True,
    ),
    Known(
        521,
        "a checker did not count a dot that was staged before its node took a new id, and one that was"
        " superseded in the batch that gave it up",
        "tests/sim/test_copies.py"
        "::test_a_dot_that_was_staged_before_the_copy_took_a_new_id_was_issued_all_the_same",
    ),
    Known(
        271,
        "a rumor that waited for the word of its peer went out after its node had found out that it is a"
        " copy, with dots that were given up",
        "tests/node/test_copies.py::test_what_waited_to_be_sent_when_a_copy_found_out_is_not_sent",
    ),
    Known(
        888,
        "the same, with one of eleven live members in reach and ten seconds between exchanges: an exchange"
        " that nobody answered was followed by the next period only",
        "tests/protocol/test_anti_entropy.py"
        "::test_one_that_broke_is_followed_at_once_by_one_with_a_peer_that_may_answer",
        is_long=True,
    ),
    Known(
        1107,
        "a member left, and until the next timer a node went by a clock that only one other could confirm",
        "tests/node/test_clock_correction.py"
        "::test_a_correction_ends_with_the_last_input_that_leaves_only_two",
    ),
    Known(
        1245,
        "two writes had one stamp, and the greater replica id had won; when its directory was copied the new"
        " id was less, so its row no longer superseded a delete that its clock covered",
        "tests/node/test_copies.py::test_what_is_issued_again_still_supersedes_what_it_did",
    ),
    Known(
        1356,
        "the same, with a restored backup",
        "tests/node/test_copies.py::test_what_is_issued_again_still_supersedes_what_it_did",
    ),
    Known(
        1482,
        "a checker did not see that a write had been superseded by one which was superseded in its turn and"
        " then given up by a copy",
        "tests/sim/test_copies.py::test_what_superseded_a_write_may_be_given_up_without_being_issued_again",
    ),
    Known(
        1507,
        "checkers did not allow a write to be issued again and deleted in one batch, nor a context that names"
        " a dot which was given up before it was durable",
        "tests/sim/test_copies.py::test_a_write_may_be_issued_again_and_deleted_in_one_batch",
    ),
)
