"""Stamps of the hybrid logical clock: the traps of the field, each by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgossip.config import STAMP_MS_MAX
from kvgossip.errors import EncodingError
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import decode_entry, encode_entry
from kvgossip.model.ids import Kind, ReplicaId
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.stamp import (
    STAMP_MAX,
    STAMP_ZERO,
    Stamp,
    format_stamp,
    next_stamp,
    observe_stamp,
    stamp_at,
    stamp_ms,
)
from kvgossip.model.value import Value
from tests.model.values import KEYS, LAWS

WALL_MS = 1_700_000_000_000
walls = st.integers(0, 3).map(lambda ms: WALL_MS + ms)
DOT = Dot(ReplicaId(1), 1)


@LAWS
@given(st.lists(walls, max_size=20))
def test_own_stamps_rise_whatever_the_wall_clock_does(walls_ms: list[int]) -> None:
    last = STAMP_ZERO
    for wall_ms in walls_ms:
        stamp = next_stamp(last, wall_ms=wall_ms)
        assert stamp > last
        assert stamp_ms(stamp) >= wall_ms
        last = stamp


def test_the_logic_carries_into_the_milliseconds_when_the_wall_clock_stands_still() -> None:
    last = stamp_at(WALL_MS)
    for _ in range(70_000):
        stamp = next_stamp(last, wall_ms=WALL_MS)
        assert stamp > last
        last = stamp
    assert stamp_ms(last) == WALL_MS + 1
    assert format_stamp(last) == f"{WALL_MS + 1}.{70_000 - 65_536}"


def test_a_restart_after_a_backward_jump_reissues_no_stamp_because_the_last_one_is_kept() -> None:
    kept = next_stamp(STAMP_ZERO, wall_ms=WALL_MS)
    assert next_stamp(kept, wall_ms=WALL_MS - 3_600_000) == kept + 1


def test_a_write_is_above_the_stamp_of_the_entry_that_it_replaces_even_one_from_the_future() -> None:
    future = stamp_at(WALL_MS + 86_400_000)
    assert next_stamp(STAMP_ZERO, wall_ms=WALL_MS, above=future) == future + 1


def test_a_stamp_from_elsewhere_pulls_the_clock_along_up_to_the_drift_limit() -> None:
    def observe(seen: Stamp) -> Stamp:
        return observe_stamp(stamp_at(WALL_MS), seen, wall_ms=WALL_MS, drift_ms_max=5_000)

    at_limit = Stamp(stamp_at(WALL_MS + 5_001) - 1)
    assert observe(stamp_at(WALL_MS - 1)) == stamp_at(WALL_MS)
    assert observe(at_limit) == at_limit
    assert observe(Stamp(at_limit + 1)) == stamp_at(WALL_MS)


@LAWS
@given(st.integers(0, 10).map(Stamp), st.integers(0, 10).map(Stamp), st.integers(0, 1))
def test_observing_never_turns_the_clock_back(last: Stamp, seen: Stamp, wall_ms: int) -> None:
    assert observe_stamp(last, seen, wall_ms=wall_ms, drift_ms_max=0) >= last


def test_stamps_are_strings_for_javascript() -> None:
    assert format_stamp(Stamp((WALL_MS << 16) + 7)) == "1700000000000.7"


def test_a_stamp_beyond_the_year_3000_is_malformed_and_the_last_one_is_not() -> None:
    """What a node could not issue itself it does not take either, or nothing could supersede it."""
    assert stamp_ms(STAMP_MAX) == STAMP_MS_MAX - 1
    for stamp, is_taken in ((STAMP_MAX, True), (Stamp(STAMP_MAX + 1), False), (Stamp((1 << 64) - 1), False)):
        kv = encode_entry(KvEntry(DOT, stamp, Value(b"a")))
        mv = encode_entry(mv_of(Sibling(DOT, stamp, None)))
        for kind, data in ((Kind.KV, kv), (Kind.MV, mv)):
            if is_taken:
                assert decode_entry(KEYS[kind], data).stamp == stamp
                continue
            with pytest.raises(EncodingError, match="year 3000"):
                decode_entry(KEYS[kind], data)


def test_equal_stamps_are_decided_by_replica_then_tombstone_then_value() -> None:
    """Compared by stamp alone the merge would not commute once a node reissues a stamp."""
    stamp = stamp_at(WALL_MS)
    rising = [
        KvEntry(Dot(ReplicaId(1), 9), stamp, None),
        KvEntry(Dot(ReplicaId(2), 1), stamp, Value(b"a")),
        KvEntry(Dot(ReplicaId(2), 1), stamp, Value(b"a", "text/plain")),
        KvEntry(Dot(ReplicaId(2), 1), stamp, Value(b"a", "text/plain", 5)),
        KvEntry(Dot(ReplicaId(2), 1), stamp, Value(b"b")),
        KvEntry(Dot(ReplicaId(2), 1), stamp, None),
        KvEntry(Dot(ReplicaId(2), 2), stamp, None),
        KvEntry(Dot(ReplicaId(1), 1), Stamp(stamp + 1), Value(b"")),
    ]
    for i, low in enumerate(rising):
        for high in rising[i + 1 :]:
            assert low.merge(high) is high
            assert high.merge(low) is high


def mv_of(sibling: Sibling) -> MvEntry:
    return MvEntry(VersionVector.of([sibling.dot]), (sibling,))
