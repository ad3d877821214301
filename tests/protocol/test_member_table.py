"""The member table: each transition, who may cause it, and the fingerprint by which two tables agree."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgossip.config import Tuning
from kvgossip.model.ids import Generation, ReplicaId
from kvgossip.model.member import INCARNATION_MAX, Load, MemberRow, MemberState
from kvgossip.protocol.member_table import MemberTable
from kvgossip.wire import messages as m
from tests.model.values import LAWS
from tests.protocol.members import (
    ALIVE,
    DOWN,
    FORGOTTEN,
    LEFT,
    SUSPECT,
    claim,
    member,
    record,
    rows,
    standing,
)

R2 = ReplicaId(2)


class Table:
    """One table and what it spreads."""

    def __init__(self, *known: MemberRow, me: int = 1) -> None:
        self.spread: list[m.Record | m.Claim] = []
        self.table = MemberTable(member(me), known, tuning=Tuning(), spread=self.spread.append)

    def take(self, *told: m.Record | m.Claim, now_ms: int = 0) -> "Table":
        for item in told:
            if isinstance(item, m.Record):
                self.table.take_record(item, now_ms)
            else:
                self.table.take_claim(item, now_ms)
            self.table.check_invariants()
        return self

    def changes(self) -> list[str]:
        return [change.kind for change in self.table.take_changes()]

    def state_of(self, number: int = 2) -> MemberState:
        return self.table.peers[ReplicaId(number)].standing.state


def with_peer(state: MemberState, incarnation: int = 5) -> Table:
    """A table that knows member 2, of generation 3, in this state."""
    held = Table().take(record(member(2, generation=3), ALIVE, incarnation=incarnation))
    match state:
        case MemberState.SUSPECT:
            held.table.accuse(R2, 0)
        case MemberState.DOWN | MemberState.FORGOTTEN:
            held.table.declare(R2, state)
        case MemberState.LEFT:
            held.take(claim(2, LEFT, incarnation=incarnation, generation=3))
    held.spread.clear()
    held.changes()
    assert held.state_of() is state
    return held


# -- transitions ---------------------------------------------------------------------------------------------

TRANSITIONS: list[tuple[MemberState, m.Claim, MemberState, list[str]]] = [
    (ALIVE, claim(2, SUSPECT, incarnation=5, generation=3, by=9), SUSPECT, ["suspect"]),
    (ALIVE, claim(2, SUSPECT, incarnation=6, generation=3, by=9), SUSPECT, ["suspect"]),
    (ALIVE, claim(2, SUSPECT, incarnation=4, generation=3, by=9), ALIVE, []),
    (ALIVE, claim(2, DOWN, incarnation=5, generation=3), SUSPECT, ["suspect"]),
    (ALIVE, claim(2, DOWN, incarnation=4, generation=3), ALIVE, []),
    (ALIVE, claim(2, LEFT, incarnation=5, generation=3), LEFT, ["left"]),
    (ALIVE, claim(2, LEFT, incarnation=4, generation=3), ALIVE, []),
    (ALIVE, claim(2, ALIVE, incarnation=6, generation=3), ALIVE, []),
    (ALIVE, claim(2, SUSPECT, incarnation=9, generation=2, by=9), ALIVE, []),
    (ALIVE, claim(2, DOWN, incarnation=0, generation=4), ALIVE, []),
    (SUSPECT, claim(2, ALIVE, incarnation=6, generation=3), ALIVE, ["alive"]),
    (SUSPECT, claim(2, ALIVE, incarnation=5, generation=3), SUSPECT, []),
    (SUSPECT, claim(2, DOWN, incarnation=5, generation=3), SUSPECT, []),
    (SUSPECT, claim(2, LEFT, incarnation=5, generation=3), LEFT, ["left"]),
    (SUSPECT, claim(2, SUSPECT, incarnation=6, generation=3, by=9), SUSPECT, ["suspect"]),
    (DOWN, claim(2, ALIVE, incarnation=6, generation=3), ALIVE, ["alive"]),
    (DOWN, claim(2, ALIVE, incarnation=5, generation=3), DOWN, []),
    (DOWN, claim(2, SUSPECT, incarnation=5, generation=3, by=9), DOWN, []),
    (DOWN, claim(2, FORGOTTEN, incarnation=5, generation=3), FORGOTTEN, ["forgotten"]),
    (LEFT, claim(2, DOWN, incarnation=5, generation=3), LEFT, []),
    (LEFT, claim(2, ALIVE, incarnation=5, generation=3), LEFT, []),
    (LEFT, claim(2, ALIVE, incarnation=6, generation=3), ALIVE, ["alive"]),
    (FORGOTTEN, claim(2, DOWN, incarnation=5, generation=3), FORGOTTEN, []),
    (FORGOTTEN, claim(2, ALIVE, incarnation=6, generation=3), ALIVE, ["alive"]),
]


@pytest.mark.parametrize(("before", "told", "after", "kinds"), TRANSITIONS, ids=str)
def test_each_transition(before: MemberState, told: m.Claim, after: MemberState, kinds: list[str]) -> None:
    """Of a member of generation 3 and incarnation 5."""
    held = with_peer(before).take(told)
    assert held.state_of() is after
    assert held.changes() == kinds
    if told.standing.generation != 3:
        assert held.spread == [], "of another start than the one known here"
    held.spread.clear()
    assert held.take(told).spread == [], "twice is no news"


@pytest.mark.parametrize("state", list(MemberState))
def test_a_later_start_is_alive_whatever_was_said_of_the_earlier_one(state: MemberState) -> None:
    held = with_peer(state, incarnation=900)
    restarted = member(2, generation=4, at="elsewhere:1")
    held.take(record(restarted))
    assert held.table.peers[R2].standing == standing(ALIVE, generation=4)
    assert held.changes() == ["restarted", "alive"]
    assert held.spread == [record(restarted)]


def test_a_claim_about_a_stranger_is_ignored() -> None:
    """An incarnation is not taken from whom nobody has met."""
    held = Table().take(claim(2, SUSPECT, incarnation=9, by=7), claim(3, DOWN))
    assert held.table.peers == {}
    assert held.spread == []


def test_a_stranger_that_is_a_suspect_is_met_first_and_suspected_then() -> None:
    held = Table().take(record(member(2), SUSPECT))
    assert held.changes() == ["joined", "alive", "suspect"]


def test_a_stranger_that_is_forgotten_stays_unknown() -> None:
    held = Table().take(record(member(2), FORGOTTEN))
    assert held.table.peers == {}
    assert held.changes() == []


def test_a_suspect_known_from_the_disk_gets_its_time_anew() -> None:
    held = Table(MemberRow(member(2), standing(SUSPECT), 0), MemberRow(member(3), standing(DOWN), 0))
    held.table.check_invariants()
    assert held.state_of(2) is ALIVE
    assert held.state_of(3) is DOWN


def test_a_confirmation_is_passed_on_as_long_as_it_shortens_the_time() -> None:
    held = Table(*rows(member(i) for i in range(2, 102)))
    held.take(*(claim(2, SUSPECT, by=by) for by in range(10, 30)))
    assert len(held.spread) == 1 + Tuning().probe_helpers


def test_down_on_anothers_word_hastens_the_own_suspicion() -> None:
    held = Table(*rows(member(i) for i in range(2, 102)))
    held.table.accuse(R2, 0)
    before_ms = held.table.suspects[R2].deadline_ms
    held.take(claim(2, DOWN))
    assert held.state_of() is SUSPECT
    assert held.table.suspects[R2].deadline_ms < before_ms


# -- this node -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [SUSPECT, DOWN, LEFT, FORGOTTEN])
def test_what_is_said_of_this_node_is_refuted(state: MemberState) -> None:
    held = Table().take(claim(1, state, incarnation=7))
    assert held.table.standing == standing(ALIVE, incarnation=8)
    assert held.spread == [claim(1, ALIVE, incarnation=8)]
    held.spread.clear()
    assert held.take(claim(1, state, incarnation=7)).spread == [], "it is already"


def test_what_is_no_worse_than_this_node_says_itself_is_no_reason_to_refute() -> None:
    held = Table().take(claim(1, SUSPECT, incarnation=7))
    held.spread.clear()
    held.take(claim(1, ALIVE), claim(1, DOWN, incarnation=7), claim(1, DOWN, generation=1, incarnation=0))
    assert held.spread == []
    assert held.table.refuted_count == 1


def test_a_forged_last_incarnation_shows_a_copy_instead_of_being_refuted() -> None:
    held = Table().take(claim(1, SUSPECT, incarnation=INCARNATION_MAX))
    assert held.table.found_copy
    assert held.table.standing == standing(ALIVE)


@pytest.mark.parametrize("version", [1, 2, 900])
def test_an_own_record_that_somebody_forged_is_replaced_by_a_later_true_one(version: int) -> None:
    forged = replace(member(1, version=version), name="zz-forged")
    held = Table().take(record(forged))
    assert held.table.me.name == "n1"
    assert held.table.me.version > version
    assert held.spread == [record(held.table.me)]
    other = Table(me=2).take(record(forged), record(held.table.me))
    assert other.table.find(ReplicaId(1)) == held.table.me


def test_a_later_start_of_this_replica_shows_a_copy_and_an_earlier_one_nothing() -> None:
    held = Table().take(record(member(1, generation=1)), claim(1, DOWN, generation=1))
    assert not held.table.found_copy
    held = Table().take(claim(1, ALIVE, generation=2))
    assert held.table.found_copy


def test_a_node_that_leaves_says_so_and_refutes_as_one_that_leaves() -> None:
    held = Table()
    assert held.table.leave() == claim(1, LEFT)
    assert held.take(claim(1, FORGOTTEN)).table.standing == standing(LEFT, incarnation=1)
    assert held.spread == [claim(1, LEFT), claim(1, LEFT, incarnation=1)]


def test_a_change_of_the_own_record_is_spread_and_one_of_its_load_is_not() -> None:
    held = Table()
    held.table.set_me(replace(held.table.me, troubles=("disk-full",)))
    assert held.spread == [record(held.table.me)]
    assert held.table.me.version == 2
    held.spread.clear()
    held.table.set_my_load(replace(held.table.me, load=Load(keys=5)))
    assert held.spread == []
    assert held.table.me.version == 3
    held.table.check_invariants()


def test_another_replica_id_begins_anew() -> None:
    held = Table().take(claim(1, SUSPECT, incarnation=7))
    held.table.leave()
    held.table.set_me(member(9, generation=4))
    assert held.table.standing == standing(ALIVE, generation=4)
    held.table.check_invariants()


# -- records of others ---------------------------------------------------------------------------------------


def test_what_comes_and_goes_is_taken_and_not_passed_on_but_troubles_are() -> None:
    held = Table().take(record(member(2)))
    held.spread.clear()
    held.changes()
    held.take(record(replace(member(2, version=2), load=Load(keys=5))))
    assert (held.spread, held.changes()) == ([], [])
    found = held.table.find(R2)
    assert found is not None
    assert found.load.keys == 5
    zombie = replace(member(2, version=3), troubles=("disk-full",))
    held.take(record(zombie))
    assert held.spread == [record(zombie)]
    assert held.changes() == ["changed"]


def test_a_live_member_that_moved_without_a_restart_is_told_as_alive_at_its_address() -> None:
    held = Table().take(record(member(2)))
    held.changes()
    held.take(record(member(2, version=2, at="elsewhere:1")))
    assert held.changes() == ["changed", "alive"]


# -- agreement -----------------------------------------------------------------------------------------------

told = st.one_of(
    st.builds(
        lambda number, generation, version, state, incarnation: record(
            member(number, generation=generation, version=version), state, incarnation=incarnation
        ),
        st.integers(2, 4),
        st.integers(1, 2),
        st.integers(1, 2),
        st.sampled_from([ALIVE, SUSPECT, LEFT]),
        st.integers(0, 2),
    ),
    st.builds(
        lambda number, state, incarnation, generation: claim(
            number, state, incarnation=incarnation, generation=generation, by=9
        ),
        st.integers(1, 4),
        st.sampled_from(MemberState),
        st.integers(0, 2),
        st.integers(1, 2),
    ),
)


def rows_of(held: Table) -> set[tuple[object, ...]]:
    peers = [(p.member, p.standing) for p in held.table.known()]
    own = (held.table.me, held.table.standing)
    return {(x.replica, x.version, told) for x, told in (*peers, own)}


@LAWS
@given(st.lists(told, max_size=8), st.lists(told, max_size=8))
def test_fingerprints_are_equal_exactly_where_tables_agree(
    ones: list[m.Record | m.Claim], twos: list[m.Record | m.Claim]
) -> None:
    one, two = Table().take(*ones), Table().take(*twos)
    assert (one.table.fingerprint == two.table.fingerprint) == (rows_of(one) == rows_of(two))


@LAWS
@given(st.lists(told, max_size=8), st.randoms(use_true_random=False))
def test_in_whatever_order_and_however_often_it_is_told_a_member_ends_up_the_same(
    items: list[m.Record | m.Claim], random: object
) -> None:
    """But for *down*, which each node finds for itself. Claims about strangers are ignored: all are known."""
    items = [item for item in items if isinstance(item, m.Record) or item.standing.state is not DOWN]
    first = [record(member(number, generation=2, version=2)) for number in range(2, 5)]
    shuffled = [*items, *items]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = Table().take(*first, *items), Table().take(*first, *shuffled)
    for number in range(2, 5):
        assert one.table.find(ReplicaId(number)) == two.table.find(ReplicaId(number))
        assert one.table.peers[ReplicaId(number)].standing == two.table.peers[ReplicaId(number)].standing


def test_a_member_that_is_forgotten_does_not_count_in_the_fingerprint() -> None:
    """Nodes that have dropped it agree with nodes that still remember that it is forgotten."""
    without, held = Table(), Table().take(record(member(2)))
    assert held.table.fingerprint != without.table.fingerprint
    held.table.declare(R2, FORGOTTEN)
    assert held.table.fingerprint == without.table.fingerprint
    held.table.drop(R2)
    held.table.check_invariants()
    assert held.table.record_of(R2) is None


def test_generation_alone_changes_the_fingerprint() -> None:
    one, two = (Table().take(record(member(2, generation=Generation(g)))) for g in (1, 2))
    assert one.table.fingerprint != two.table.fingerprint
