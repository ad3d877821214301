"""Member records merge like data, and those of peers are checked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgossip.errors import EncodingError
from kvgossip.model.encoding import decode_member, encode_member
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import ADDRESS_CHARS_MAX, NODE_NAME_CHARS_MAX, Member
from tests.model.values import LAWS, members, mutated

MEMBER = Member(
    replica=ReplicaId(7),
    generation=Generation(2),
    version=3,
    name="n1",
    peer=Address("127.0.0.1:7701"),
    api="127.0.0.1:7700",
    software="0.1",
)


@LAWS
@given(members, members, members)
def test_merge_is_a_join_and_says_what_was_news(a: Member, b: Member, c: Member) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(replace(a)) is a
    assert (a.merge(b) is a) == (encode_member(a.merge(b)) == encode_member(a))


def test_a_later_start_wins_over_any_version_of_an_earlier_one() -> None:
    restarted = replace(MEMBER, generation=Generation(3), version=0, peer=Address("10.0.0.9:7701"))
    assert MEMBER.merge(restarted) is restarted
    assert restarted.merge(MEMBER) is restarted
    assert restarted.is_restart_of(MEMBER)
    assert not replace(MEMBER, version=4).is_restart_of(MEMBER)


def test_a_heartbeat_alone_is_not_worth_the_disk() -> None:
    assert not replace(MEMBER, version=9).differs_durably(MEMBER)
    assert replace(MEMBER, version=9, has_left=True).differs_durably(MEMBER)


@LAWS
@given(members)
def test_a_member_survives_its_bytes(member: Member) -> None:
    assert decode_member(encode_member(member)) == member


@LAWS
@given(st.binary(max_size=80) | mutated(members.map(encode_member)))
def test_decoding_a_member_is_total(raw: bytes) -> None:
    try:
        member = decode_member(raw)
    except EncodingError:
        return
    member.check()
    assert encode_member(member) == raw


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
        {"replica": 0},
        {"replica": 1 << 64},
        {"generation": 0},
        {"generation": 1 << 32},
        {"version": -1},
        {"version": 1 << 48},
    ],
    ids=str,
)
def test_a_record_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(EncodingError):
        replace(MEMBER, **change).check()  # type: ignore[arg-type]


def test_a_record_at_its_bounds_is_taken() -> None:
    replace(
        MEMBER,
        name="x" * NODE_NAME_CHARS_MAX,
        peer=Address("h" * ADDRESS_CHARS_MAX),
        generation=Generation((1 << 32) - 1),
        version=(1 << 48) - 1,
    ).check()
