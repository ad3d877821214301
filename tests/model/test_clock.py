"""The node clock against a naive set of dots; its bound leaves out, and never invents."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvgossip.config import CLOCK_RANGES_MAX
from kvgossip.errors import EncodingError
from kvgossip.model.clock import NodeClock
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import decode_clock, encode_clock
from kvgossip.model.ids import ReplicaId
from tests.model.values import LAWS, clocks, dots, mutated

R1, R2, R3 = ReplicaId(1), ReplicaId(2), ReplicaId(3)
ALL_DOTS = [Dot(ReplicaId(r), c) for r in range(1, 4) for c in range(1, 7)]


def dots_of(clock: NodeClock) -> set[Dot]:
    return {dot for dot in ALL_DOTS if clock.covers(dot)}


def scattered(count: int, replica: ReplicaId = R1) -> NodeClock:
    """Every second counter: as many ranges as dots."""
    return NodeClock().with_dots(Dot(replica, 2 * i) for i in range(1, count + 1))


@LAWS
@given(clocks, st.lists(dots, max_size=6))
def test_a_clock_is_the_set_of_its_dots(clock: NodeClock, more: list[Dot]) -> None:
    grown = clock.with_dots(more)
    grown.check_invariants()
    assert dots_of(grown) == dots_of(clock) | set(more)
    assert (grown is clock) == (dots_of(grown) == dots_of(clock))
    assert clock.covers_all(more) == (set(more) <= dots_of(clock))


@LAWS
@given(clocks, clocks)
def test_join_is_the_union(a: NodeClock, b: NodeClock) -> None:
    joined = a.join(b)
    joined.check_invariants()
    assert dots_of(joined) == dots_of(a) | dots_of(b)
    assert joined == b.join(a)
    assert (joined is a) == (dots_of(b) <= dots_of(a))


@LAWS
@given(clocks, clocks, clocks)
def test_join_is_associative_and_idempotent(a: NodeClock, b: NodeClock, c: NodeClock) -> None:
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) is a


@LAWS
@given(clocks, clocks)
def test_includes_is_the_subset_relation(a: NodeClock, b: NodeClock) -> None:
    assert a.includes(b) == (dots_of(b) <= dots_of(a))
    assert a.join(b).includes(b)


@LAWS
@given(clocks)
def test_greatest_and_holes_are_those_of_the_set(clock: NodeClock) -> None:
    for replica in (R1, R2, R3):
        counters = sorted(dot.counter for dot in dots_of(clock) if dot.replica == replica)
        assert clock.greatest(replica) == (counters[-1] if counters else 0)
    runs = sum(
        1 for dot in ALL_DOTS if not clock.covers(dot) and clock.covers(Dot(dot.replica, dot.counter + 1))
    )
    assert clock.hole_count() == runs


@LAWS
@given(clocks, st.integers(1, 4))
def test_a_split_clock_joins_back(clock: NodeClock, replicas_max: int) -> None:
    parts = clock.split(replicas_max)
    assert all(1 <= len(part.ranges) <= replicas_max for part in parts)
    joined = NodeClock()
    for part in parts:
        joined = joined.join(part)
    assert joined == clock


def test_a_clock_does_not_change_under_whoever_read_it() -> None:
    read = NodeClock().with_dots([Dot(R1, 1)])
    read.with_dots([Dot(R1, 2), Dot(R2, 1)])
    read.join(scattered(5))
    assert dots_of(read) == {Dot(R1, 1)}


def test_dots_that_arrive_out_of_order_leave_a_hole_until_it_is_filled() -> None:
    clock = NodeClock().with_dots([Dot(R1, 1), Dot(R1, 3)])
    assert not clock.covers(Dot(R1, 2))
    assert clock.hole_count() == 1
    filled = clock.with_dots([Dot(R1, 2)])
    assert filled.ranges[R1] == ((1, 3),)
    assert filled.hole_count() == 0


@LAWS
@given(clocks, st.integers(0, 6))
def test_without_takes_away_the_later_dots_of_one_replica(clock: NodeClock, above: int) -> None:
    less = clock.without(R1, above=above)
    less.check_invariants()
    assert dots_of(less) == {dot for dot in dots_of(clock) if dot.replica != R1 or dot.counter <= above}


@settings(LAWS, max_examples=30)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=400, unique=True))
def test_many_dots_at_once_are_the_same_as_one_by_one(counters: list[int]) -> None:
    one_by_one = NodeClock()
    for counter in counters[:CLOCK_RANGES_MAX]:
        one_by_one = one_by_one.with_dots([Dot(R1, counter)])
    at_once = NodeClock().with_dots(Dot(R1, counter) for counter in counters[:CLOCK_RANGES_MAX])
    assert at_once == one_by_one


# -- the bound ---------------------------------------------------------------------------------------------


def test_the_bound_keeps_the_greatest_and_invents_nothing() -> None:
    full = scattered(CLOCK_RANGES_MAX)
    over = full.with_dots([Dot(R1, 2 * CLOCK_RANGES_MAX + 2)])
    over.check_invariants()
    assert over.greatest(R1) == 2 * CLOCK_RANGES_MAX + 2
    assert all(counter % 2 == 0 for first, last in over.ranges[R1] for counter in range(first, last + 1))


def test_the_bound_holds_for_a_join() -> None:
    odd = NodeClock({R1: tuple((4 * i + 1, 4 * i + 1) for i in range(CLOCK_RANGES_MAX))})
    even = NodeClock({R1: tuple((4 * i + 3, 4 * i + 3) for i in range(CLOCK_RANGES_MAX))})
    joined = odd.join(even)
    joined.check_invariants()
    assert joined.greatest(R1) == even.greatest(R1)
    covered = [c for first, last in joined.ranges[R1] for c in range(first, last + 1)]
    assert all(odd.covers(Dot(R1, c)) or even.covers(Dot(R1, c)) for c in covered)


@settings(LAWS, max_examples=10)
@given(st.lists(st.integers(1, 5_000), min_size=CLOCK_RANGES_MAX, max_size=600))
def test_no_order_of_arrival_invents_coverage(counters: list[int]) -> None:
    clock = NodeClock()
    for counter in counters:
        clock = clock.with_dots([Dot(R1, counter)])
    clock.check_invariants()
    assert clock.greatest(R1) == max(counters)
    covered = {c for first, last in clock.ranges[R1] for c in range(first, last + 1)}
    assert covered <= set(counters)


# -- bytes -------------------------------------------------------------------------------------------------


@LAWS
@given(clocks)
def test_a_clock_survives_its_bytes(clock: NodeClock) -> None:
    assert decode_clock(encode_clock(clock)) == clock


@LAWS
@given(clocks, clocks)
def test_equal_clocks_have_equal_bytes_however_they_grew(a: NodeClock, b: NodeClock) -> None:
    assert encode_clock(a.join(b)) == encode_clock(b.join(a))
    assert (encode_clock(a) == encode_clock(b)) == (dots_of(a) == dots_of(b))


@LAWS
@given(st.binary(max_size=120) | mutated(clocks.map(encode_clock)))
def test_decoding_a_clock_is_total(raw: bytes) -> None:
    try:
        clock = decode_clock(raw)
    except EncodingError:
        return
    clock.check_invariants()
    assert encode_clock(clock) == raw


@pytest.mark.parametrize(
    "ranges",
    [(), ((0, 1),), ((2, 1),), ((1, 2), (3, 4)), ((1, 3), (3, 4)), ((5, 6), (1, 2))],
    ids=["none", "counter 0", "reversed", "adjacent", "overlapping", "descending"],
)
def test_no_other_bytes_decode_as_a_clock(ranges: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(EncodingError):
        decode_clock(encode_clock(NodeClock({R1: ranges})))


def test_a_clock_with_more_ranges_than_are_kept_is_no_clock() -> None:
    ranges = tuple((2 * i, 2 * i) for i in range(1, CLOCK_RANGES_MAX + 2))
    with pytest.raises(EncodingError, match="too many"):
        decode_clock(encode_clock(NodeClock({R1: ranges})))


def test_a_clock_that_names_replica_0_or_one_twice_is_no_clock() -> None:
    one = encode_clock(NodeClock({R1: ((1, 2),)}))
    with pytest.raises(EncodingError, match="replica"):
        decode_clock(encode_clock(NodeClock({ReplicaId(0): ((1, 2),)})))
    with pytest.raises(EncodingError, match="replica"):
        decode_clock(one[:1] + (2).to_bytes(4, "big") + 2 * one[5:])
