"""Ranges of hashes and how two sides describe theirs."""

from dataclasses import replace
from itertools import pairwise

import pytest

from kvgossip.errors import RemoteError
from kvgossip.protocol.range_view import TIED_ROWS_MAX, RangeView
from kvgossip.protocol.ranges import (
    FIRST_BITS,
    HASH_BITS,
    ROWS_AS_CHEAP_AS_CHILDREN,
    WHOLE,
    Range,
    checked_range,
    pack_ranges,
    unpack_ranges,
    unpack_rows,
)
from kvgossip.store.base import HASH_MAX
from kvgossip.wire.messages import Carried
from tests.protocol.stores import Side, true_hash


def view(side: Side, *, salt: int = 7, rows_listed_max: int = 16) -> RangeView:
    return RangeView(side.store, salt, rows_listed_max=rows_listed_max)


def filled(count: int) -> Side:
    side = Side(1)
    side.put_many(f"k{i}" for i in range(count))
    return side


def test_the_levels_are_at_0_8_12_and_so_on_to_64_bits() -> None:
    levels = [WHOLE]
    while levels[-1].bits < HASH_BITS:
        levels.append(levels[-1].child(0))
    assert [r.bits for r in levels] == [0, FIRST_BITS, *range(12, 65, 4)]


@pytest.mark.parametrize("r", [WHOLE, Range(0xAB, 8), Range(0xABC, 12), Range(HASH_MAX >> 4, 60)])
def test_children_part_their_range(r: Range) -> None:
    children = [r.child(i) for i in range(r.child_count)]
    assert children[0].first == r.first
    assert children[-1].last == r.last
    assert all(a.last + 1 == b.first for a, b in pairwise(children))
    assert {child.bits for child in children} == {r.child_bits}


def test_ranges_are_packed_and_unpacked() -> None:
    ranges = [WHOLE, Range(255, 8), Range(HASH_MAX, 64)]
    assert unpack_ranges(pack_ranges(ranges)) == ranges


@pytest.mark.parametrize(
    ("prefix", "bits"), [(0, 4), (0, 7), (0, 65), (0, 68), (0, 255), (1, 0), (256, 8), (1 << 63, 60)]
)
def test_what_is_no_range_of_the_tree_is_refused(prefix: int, bits: int) -> None:
    with pytest.raises(RemoteError, match="no range"):
        checked_range(prefix, bits)


def test_a_small_range_is_listed_and_a_large_one_is_split() -> None:
    side = filled(300)
    [by_children], listed = view(side).describe([WHOLE])
    assert listed == ()
    assert len(by_children.fingerprints) == 4 * 256
    split, [by_rows] = view(side, rows_listed_max=300).describe([WHOLE])
    assert split == ()
    assert len(by_rows.rows) == 18 * 300
    assert len(unpack_rows(WHOLE, by_rows.rows)) == 300


def test_where_a_further_round_follows_anyway_only_the_smallest_ranges_are_listed() -> None:
    side = Side(1, hash_key=lambda key: (key[1] - ord("a") << 56) + (true_hash(key) >> 8))
    side.put_many(
        [*(f"a{i}" for i in range(17)), *(f"b{i}" for i in range(16)), *(f"c{i}" for i in range(3))]
    )
    large, middle, small = Range(0, 8), Range(1, 8), Range(2, 8)

    def listed(*ranges: Range) -> list[int]:
        return [row.prefix for row in view(side).describe(ranges)[1]]

    assert listed(middle, small) == [1, 2]
    assert listed(large, middle, small) == [2]
    assert ROWS_AS_CHEAP_AS_CHILDREN == 3


def test_keys_that_share_a_hash_are_listed_however_many() -> None:
    side = Side(1, hash_key=lambda key: 5)
    side.put_many(f"k{i}" for i in range(40))
    _, [described] = view(side).describe([Range(5, 64)])
    assert len(described.rows) == 10 * 40
    assert TIED_ROWS_MAX > 40


def test_equal_ranges_have_equal_fingerprints_whatever_came_first() -> None:
    a, b = Side(1), Side(2)
    a.put_many(f"k{i}" for i in range(500))
    for key, data in reversed(a.rows().items()):
        b.merge((Carried(key, data),), ())
    assert view(a).children(WHOLE) == view(b).children(WHOLE)
    assert view(a).differing_children(WHOLE, view(b).children(WHOLE)) == []


def test_the_differing_children_are_named_and_whether_they_are_empty_there() -> None:
    a, b = filled(300), filled(300)
    [row] = a.store.scan_hashes(0, HASH_MAX, rows_max=1)
    a.put(row.key[1:].decode(), b"new")
    [(child, is_empty)] = view(a).differing_children(WHOLE, view(b).children(WHOLE))
    assert child.first <= row.hash <= child.last
    assert not is_empty
    assert all(empty for _, empty in view(a).differing_children(WHOLE, view(Side(9)).children(WHOLE)))


def test_another_salt_gives_other_fingerprints_so_a_false_match_does_not_last() -> None:
    side = filled(50)
    [row, *_] = side.store.scan_hashes(0, HASH_MAX, rows_max=1)
    assert view(side, salt=1).children(WHOLE) != view(side, salt=2).children(WHOLE)
    assert view(side, salt=1).row_digest(row) != view(side, salt=2).row_digest(row)
    assert view(side, salt=1).empty != view(side, salt=2).empty


def test_a_row_outside_its_range_is_refused() -> None:
    with pytest.raises(RemoteError, match="outside"):
        unpack_rows(Range(1, 12), b"\xff" * 17)


@pytest.mark.parametrize("bits", [0, 8, 12, 16, 60, 64])
def test_a_list_of_rows_is_unpacked_as_what_it_was_packed_from(bits: int) -> None:
    side = Side(1, hash_key=lambda key: true_hash(key) >> bits)
    side.put_many(f"k{i}" for i in range(5))
    r, viewed = Range(0, bits), view(side)
    _, [described] = viewed.describe([r])
    assert sum(map(len, unpack_rows(r, described.rows).values())) == 5
    [itself] = viewed.lay_beside([described])
    assert itself.mine == unpack_rows(r, described.rows)
    assert itself.others == []
    [other] = viewed.lay_beside([replace(described, rows=b"")])
    assert other.mine == itself.mine
    assert len(other.others) == other.row_count == 5


def test_a_list_that_ends_within_a_row_is_refused() -> None:
    with pytest.raises(RemoteError, match="rows of 16 bytes"):
        unpack_rows(Range(1, 16), bytes(33))
