"""What a member says of itself and what is said of its life merge like data; those of peers are checked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgossip.errors import EncodingError
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import (
    ADDRESS_CHARS_MAX,
    INCARNATION_MAX,
    NODE_NAME_CHARS_MAX,
    TAG_KEY_CHARS_MAX,
    TAG_VALUE_CHARS_MAX,
    TAGS_MAX,
    TROUBLE_CHARS_MAX,
    TROUBLES_MAX,
    ZONE_CHARS_MAX,
    Load,
    Member,
    MemberRow,
    MemberState,
    Standing,
)
from kvgossip.model.member_encoding import decode_member, encode_member
from tests.model.values import LAWS, member_rows, members, mutated, standings

MEMBER = Member(
    replica=ReplicaId(7),
    generation=Generation(2),
    version=3,
    name="n1",
    peer=Address("127.0.0.1:7701"),
    api="127.0.0.1:7700",
    software="0.1",
)
G2 = Generation(2)


# -- records -------------------------------------------------------------------------------------------------


@LAWS
@given(members, members, members)
def test_merge_of_records_is_a_join_and_says_what_was_news(a: Member, b: Member, c: Member) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(replace(a)) is a
    assert (a.merge(b) is a) == (a.merge(b) == a)


def test_a_later_start_wins_over_any_version_of_an_earlier_one() -> None:
    restarted = replace(MEMBER, generation=Generation(3), version=0, peer=Address("10.0.0.9:7701"))
    assert MEMBER.merge(restarted) is restarted
    assert restarted.merge(MEMBER) is restarted
    assert restarted.is_restart_of(MEMBER)
    assert not replace(MEMBER, version=4).is_restart_of(MEMBER)


@pytest.mark.parametrize(
    "change", [{"version": 9}, {"troubles": ("disk-full",)}, {"load": Load(keys=5)}, {"root": 8}], ids=str
)
def test_what_comes_and_goes_is_not_worth_the_disk(change: dict[str, object]) -> None:
    assert not replace(MEMBER, **change).differs_durably(MEMBER)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [{"generation": 3}, {"peer": "elsewhere:1"}, {"zone": "paris"}, {"tags": (("rack", "7"),)}],
    ids=str,
)
def test_who_a_member_is_and_where_is_worth_the_disk(change: dict[str, object]) -> None:
    assert replace(MEMBER, **change).differs_durably(MEMBER)  # type: ignore[arg-type]


def test_a_member_with_any_trouble_is_unfit() -> None:
    assert MEMBER.is_fit
    assert not replace(MEMBER, troubles=("clock-wrong",)).is_fit


# -- standings -----------------------------------------------------------------------------------------------


@LAWS
@given(standings, standings, standings)
def test_merge_of_standings_is_a_join_and_says_what_was_news(a: Standing, b: Standing, c: Standing) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(replace(a)) is a
    assert (a.merge(b) is a) == (not b.outranks(a))


@LAWS
@given(standings)
def test_a_refutation_outranks_what_it_refutes_and_is_of_the_same_start(claimed: Standing) -> None:
    """Also *down*, *left* and *forgotten*: it is the member itself that speaks."""
    refuted = claimed.refuted()
    assert refuted.outranks(claimed)
    assert claimed.merge(refuted) is refuted
    assert refuted.state is MemberState.ALIVE
    assert refuted.generation == claimed.generation


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Standing(G2, 5, MemberState.ALIVE), Standing(G2, 5, MemberState.SUSPECT)),
        (Standing(G2, 5, MemberState.SUSPECT), Standing(G2, 5, MemberState.DOWN)),
        (Standing(G2, 5, MemberState.DOWN), Standing(G2, 5, MemberState.LEFT)),
        (Standing(G2, 5, MemberState.LEFT), Standing(G2, 5, MemberState.FORGOTTEN)),
        (Standing(G2, 5, MemberState.SUSPECT), Standing(G2, 6, MemberState.ALIVE)),
        (Standing(G2, 5, MemberState.DOWN), Standing(G2, 6, MemberState.ALIVE)),
        (Standing(G2, 6, MemberState.ALIVE), Standing(G2, 6, MemberState.SUSPECT)),
        (Standing(G2, 9, MemberState.FORGOTTEN), Standing(Generation(3), 0, MemberState.ALIVE)),
    ],
    ids=str,
)
def test_precedence_row_by_row(old: Standing, new: Standing) -> None:
    """Within an incarnation the worse state wins, then the higher incarnation, then the later start."""
    assert new.outranks(old)
    assert not old.outranks(new)


def test_a_suspect_is_present_and_one_that_is_down_or_worse_is_not() -> None:
    present = [state for state in MemberState if Standing(G2, 0, state).is_present]
    assert present == [MemberState.ALIVE, MemberState.SUSPECT]


def test_the_last_incarnation_cannot_be_refuted_and_none_beyond_it_is_accepted() -> None:
    Standing(G2, INCARNATION_MAX).check()
    with pytest.raises(EncodingError, match="refuted"):
        Standing(G2, INCARNATION_MAX, MemberState.SUSPECT).refuted()
    for standing in (
        Standing(G2, INCARNATION_MAX + 1),
        Standing(G2, -1),
        Standing(Generation(0)),
        Standing(Generation(1 << 32)),
    ):
        with pytest.raises(EncodingError):
            standing.check()


# -- bytes ---------------------------------------------------------------------------------------------------


@LAWS
@given(member_rows)
def test_a_row_survives_its_bytes(row: MemberRow) -> None:
    assert decode_member(encode_member(row)) == row


def test_of_what_comes_and_goes_nothing_is_kept() -> None:
    busy = replace(MEMBER, troubles=("disk-full",), load=Load(keys=5), root=8)
    standing = Standing(G2, 1, MemberState.DOWN)
    assert decode_member(encode_member(MemberRow(busy, standing, 9))).member == MEMBER


@LAWS
@given(st.binary(max_size=80) | mutated(member_rows.map(encode_member)))
def test_decoding_a_member_is_total(raw: bytes) -> None:
    try:
        row = decode_member(raw)
    except EncodingError:
        return
    row.member.check()
    row.standing.check()
    assert encode_member(row) == raw


# -- bounds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * (NODE_NAME_CHARS_MAX + 1)},
        {"name": "two\nlines"},
        {"software": "\x1b[31m"},
        {"peer": ""},
        {"peer": "h" * (ADDRESS_CHARS_MAX + 1)},
        {"api": "a\0b"},
        {"zone": "z" * (ZONE_CHARS_MAX + 1)},
        {"zone": "a\tb"},
        {"tags": (("", "value"),)},
        {"tags": (("k" * (TAG_KEY_CHARS_MAX + 1), ""),)},
        {"tags": (("k", "v" * (TAG_VALUE_CHARS_MAX + 1)),)},
        {"tags": (("k", "two\nlines"),)},
        {"tags": (("k", "v"),) * (TAGS_MAX + 1)},
        {"tags": (("🜚" * TAG_KEY_CHARS_MAX, "🜚" * TAG_VALUE_CHARS_MAX),) * TAGS_MAX},
        {"troubles": ("",)},
        {"troubles": ("t" * (TROUBLE_CHARS_MAX + 1),)},
        {"troubles": ("t",) * (TROUBLES_MAX + 1)},
        {"replica": 0},
        {"replica": 1 << 64},
        {"generation": 0},
        {"generation": 1 << 32},
        {"version": -1},
        {"version": 1 << 48},
        {"wire_version": 1 << 16},
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_record_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(EncodingError):
        replace(MEMBER, **change).check()  # type: ignore[arg-type]


def test_the_longest_troubles_find_room_beside_the_longest_tags_that_are_taken() -> None:
    """A node in trouble must be able to say so, or all others would refuse what it says of itself."""
    count = max(n for n in range(64) if _is_taken(replace(MEMBER, tags=_tags_of(n))))
    assert 0 < count < 63
    troubles = ("t" * TROUBLE_CHARS_MAX,) * TROUBLES_MAX
    assert _is_taken(replace(MEMBER, tags=_tags_of(count), troubles=troubles))


def _tags_of(letters: int) -> tuple[tuple[str, str], ...]:
    """Sixteen tags, each with so many letters of four bytes."""
    return tuple((f"k{i:02}", "🜚" * letters) for i in range(TAGS_MAX))


def _is_taken(told: Member) -> bool:
    try:
        told.check()
    except EncodingError:
        return False
    return True


def test_a_record_at_its_bounds_is_taken() -> None:
    replace(
        MEMBER,
        name="x" * NODE_NAME_CHARS_MAX,
        peer=Address("h" * ADDRESS_CHARS_MAX),
        generation=Generation((1 << 32) - 1),
        version=(1 << 48) - 1,
        zone="z" * ZONE_CHARS_MAX,
        tags=(("k" * TAG_KEY_CHARS_MAX, "v" * TAG_VALUE_CHARS_MAX),) * TAGS_MAX,
        troubles=("t" * TROUBLE_CHARS_MAX,) * TROUBLES_MAX,
    ).check()
