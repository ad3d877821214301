"""The codec: what is encoded is decoded, and whatever else comes is refused at a bounded cost."""

import tracemalloc
from collections.abc import Callable
from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvgossip.config import FRAME_BYTES_MAX, KEY_BYTES_MAX, WIRE_VERSION
from kvgossip.errors import EncodingError
from kvgossip.model.ids import Address, Generation, Key, ReplicaId, StartNumber
from kvgossip.model.member import Member, Standing
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.model.values import LAWS, mutated
from tests.wire.strategies import MESSAGES, messages, news

VERSION = bytes([WIRE_VERSION])
KEY = Key(b"\x01k")
HOSTILE_FRAME_COST_BYTES = 32 << 20
"""What a frame of 1 MiB may cost for the moment of its decoding, the frame itself aside."""

A_FEW = settings(LAWS, max_examples=50)
types = pytest.mark.parametrize("message_type", list(MESSAGES), ids=lambda cls: cls.__name__)


def leaves(union: object) -> set[type]:
    return {leaf for arm in get_args(union) for leaf in (leaves(arm) or {arm})}


def frame(*fields: Any) -> bytes:
    packed: bytes = msgpack.packb(fields)
    return VERSION + packed


def number_of(message: m.Message) -> int:
    number: int = plain(message)[0]
    return number


def plain(message: m.Message) -> list[Any]:
    """The fields of a message as msgpack holds them."""
    fields: list[Any] = msgpack.unpackb(codec.encode(message)[1:])
    return fields


def test_every_message_has_a_number_and_is_in_this_suite() -> None:
    assert set(MESSAGES) == leaves(m.Message)
    assert {cls for _, cls, _, _ in codec._TABLE} == set(MESSAGES)
    numbers = [number for number, *_ in codec._TABLE]
    assert len(set(numbers)) == len(numbers)


@types
@A_FEW
@given(data=st.data())
def test_what_is_encoded_is_decoded(message_type: type, data: st.DataObject) -> None:
    message = data.draw(MESSAGES[message_type])
    decoded = codec.decode(codec.encode(message))
    assert decoded == message
    assert type(decoded) is message_type
    assert codec.encode(decoded) == codec.encode(message)


@LAWS
@given(
    st.binary(max_size=200)
    | st.binary(max_size=200).map(lambda raw: VERSION + raw)
    | mutated(messages.map(codec.encode))
    | mutated(mutated(messages.map(codec.encode)))
)
def test_decoding_is_total(raw: bytes) -> None:
    """A message or an ``EncodingError``; what is a message is one for its encoder, too."""
    try:
        message = codec.decode(raw)
    except EncodingError:
        return
    assert codec.decode(codec.encode(message)) == message


@types
@A_FEW
@given(data=st.data())
def test_every_truncation_is_refused(message_type: type, data: st.DataObject) -> None:
    encoded = codec.encode(data.draw(MESSAGES[message_type]))
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(EncodingError):
        codec.decode(encoded[:cut])


@types
@A_FEW
@given(data=st.data())
def test_fields_that_a_later_version_appends_are_ignored(message_type: type, data: st.DataObject) -> None:
    message = data.draw(MESSAGES[message_type])
    later = [*plain(message), {"a": [1, 2.5]}, [[None]], msgpack.ExtType(5, b"x")]
    assert codec.decode(frame(*later)) == message


def test_fields_that_a_later_version_appends_to_a_record_are_ignored() -> None:
    known = m.Known(ReplicaId(1), Generation(2), StartNumber(3), 4)
    hello = codec.decode(frame(1, (1, 2, 3, 4, "new"), (1, 2, 3, 4, {}), True, 3))
    assert hello == m.Hello(known, known, True, StartNumber(3))
    carried = codec.decode(frame(20, 7, [(KEY, b"data", [1])], []))
    assert carried == m.RumorPush(7, (m.Carried(KEY, b"data"),), ())


@types
@A_FEW
@given(data=st.data())
def test_a_message_with_a_field_too_few_is_refused(message_type: type, data: st.DataObject) -> None:
    fields = plain(data.draw(MESSAGES[message_type]))
    with pytest.raises(EncodingError, match=r"fields instead of|begins with its type"):
        codec.decode(frame(*fields[:-1]))


@pytest.mark.parametrize("version", [0, WIRE_VERSION + 1, 0x93, 255])
def test_another_wire_version_is_refused(version: int) -> None:
    with pytest.raises(EncodingError, match=f"wire version {version}"):
        codec.decode(bytes([version]) + frame(60, 1)[1:])


@pytest.mark.parametrize("number", [0, 6, 99, -1, 1 << 63])
def test_an_unknown_type_is_refused(number: int) -> None:
    with pytest.raises(EncodingError, match="unknown"):
        codec.decode(frame(number, 1))


@pytest.mark.parametrize("number", [True, 60.0, "60", b"60", None, [60]])
def test_a_type_number_is_an_integer(number: object) -> None:
    with pytest.raises(EncodingError):
        codec.decode(frame(number, 1))


@pytest.mark.parametrize("raw", [b"\x90", b"\xc0", b"\x3c", b"\x80", b"\xa1a", b"\xc1", b"\x81\x3c\x01"])
def test_a_message_is_an_array(raw: bytes) -> None:
    with pytest.raises(EncodingError):
        codec.decode(VERSION + raw)


def test_bytes_behind_a_message_are_refused() -> None:
    for behind in (b"\x00", frame(60, 1)[1:], b"\x90"):
        with pytest.raises(EncodingError):
            codec.decode(frame(60, 1) + behind)


def test_a_frame_has_two_bytes_at_least_and_a_mebibyte_at_most() -> None:
    overhead = len(codec.encode(m.Chunk(KEY, 0, 0, bytes(1 << 17)))) - (1 << 17)
    largest = codec.encode(m.Chunk(KEY, 0, 0, bytes(FRAME_BYTES_MAX - overhead)))
    assert len(largest) == FRAME_BYTES_MAX
    codec.decode(largest)
    for raw in (b"", VERSION, largest + b"\x00"):
        with pytest.raises(EncodingError, match=f"2 to {FRAME_BYTES_MAX}"):
            codec.decode(raw)


NO_UINTS = [
    -1,
    1 << 64,
    -(1 << 63),
    True,
    False,
    1.0,
    float("nan"),
    float("inf"),
    "1",
    b"1",
    None,
    [],
    [1],
    {},
]


@pytest.mark.parametrize("value", [value for value in NO_UINTS if value != 1 << 64], ids=repr)
def test_an_integer_is_exactly_an_integer_in_its_range(value: object) -> None:
    """1, 1.0 and true are equal in Python."""
    with pytest.raises(EncodingError):
        codec.decode(frame(60, value))


def news_of_member(**changes: object) -> list[Any]:
    """A ``MemberNews`` of one record that would be accepted, but for ``changes``."""
    fields: dict[str, object] = {
        "replica": 1,
        "generation": 1,
        "version": 1,
        "name": "n",
        "peer": "a:1",
        "api": "a:1",
        "software": "0",
        "zone": "z",
        "wire_version": 1,
        "tags": [("rack", "7")],
        "troubles": ["disk-full"],
        "load": (0, 0, 0, 0, 0),
        "root": bytes(16),
        "incarnation": 0,
        "state": 0,
    }
    assert set(changes) <= set(fields)
    return [13, [tuple((fields | changes).values())], []]


def test_the_record_that_the_wrong_ones_are_made_from_is_accepted() -> None:
    decoded = codec.decode(frame(*news_of_member()))
    assert isinstance(decoded, m.MemberNews)
    [record] = decoded.records
    assert record.member.tags == (("rack", "7"),)


MASS = (0.5, 1.0, (2.0,) * 5, (2,) * 5, (2,) * 5)


def aggregate(**changes: Any) -> list[Any]:
    """An ``AggregatePush`` with another mass."""
    names = ("weight", "count", "sums", "least", "greatest")
    return [70, 1, 1, 1, 1, [changes.get(name, field) for name, field in zip(names, MASS, strict=True)]]


def test_the_mass_that_is_spoiled_below_is_sound() -> None:
    assert isinstance(codec.decode(frame(*aggregate())), m.AggregatePush)


WRONG_FIELDS: list[tuple[str, list[Any]]] = [
    ("a text where bytes are due", [21, 1, "news"]),
    ("bytes where a text is due", news_of_member(name=b"n")),
    ("a bool where an int is due", news_of_member(replica=True)),
    ("a text that is too long", news_of_member(name="n" * 65)),
    ("a text that could break a log line", news_of_member(name="a\nb")),
    ("a zone that is too long", news_of_member(zone="z" * 33)),
    ("a tag that is no pair", news_of_member(tags=[("rack",)])),
    ("more tags than are allowed", news_of_member(tags=[("rack", "7")] * 17)),
    ("a trouble without a name", news_of_member(troubles=[""])),
    ("more troubles than are allowed", news_of_member(troubles=["disk-full"] * 9)),
    ("a negative load", news_of_member(load=(-1, 0, 0, 0, 0))),
    ("a load beyond its bound", news_of_member(load=(1 << 63, 0, 0, 0, 0))),
    ("a load of four numbers", news_of_member(load=(0, 0, 0, 0))),
    ("replica 0", news_of_member(replica=0)),
    ("an incarnation beyond its bound", news_of_member(incarnation=1 << 24)),
    ("an incarnation of 2^63", news_of_member(incarnation=1 << 63)),
    ("a state that there is not", news_of_member(state=5)),
    ("a state that is a bool", news_of_member(state=True)),
    ("a claim of a state that there is not", [13, [], [(1, (1, 0, 5), 0)]]),
    ("a claim of an incarnation beyond its bound", [13, [], [(1, (1, 1 << 24, 1), 0)]]),
    ("a claim by nil", [13, [], [(1, (1, 0, 1), None)]]),
    ("a digest without a standing", [10, [(1, 1)], True]),
    ("an int where a bool is due", [10, [], 1]),
    ("a wall time beyond any stamp", [2, 1, 1, 1 << 45]),
    ("an empty key", [30, b"\x01", bytes(16), 0]),
    ("a key that is too long", [30, b"\x01" + b"k" * (KEY_BYTES_MAX + 1), bytes(16), 0]),
    ("a digest of 15 bytes", [30, KEY, bytes(15), 0]),
    ("a digest of 17 bytes", [30, KEY, bytes(17), 0]),
    ("an offset beyond any entry", [30, KEY, bytes(16), 1 << 40]),
    ("fingerprints of 7 bytes", [41, 1, bytes(16), 1, bytes(16), bytes(7)]),
    ("a range of 65 bits", [42, 1, 1, [(0, 65, b"")], []]),
    ("ranges of 8 bytes", [44, 1, 1, bytes(8), b""]),
    ("a position longer than a key", [44, 1, 1, b"", bytes(KEY_BYTES_MAX + 2)]),
    ("an entry without data", [20, 1, [(KEY,)], []]),
    ("an entry that is a map", [20, 1, [{b"k": b"v"}], []]),
    ("entries that are no array", [20, 1, b"", []]),
    ("entries that are nil", [20, 1, None, []]),
    ("a dot of one number", [20, 1, [], [(KEY, bytes(16), 1, [(1,)])]]),
    ("a Hello without who", [1, (), (), True, 0]),
    ("mass that is not a number", aggregate(weight=float("nan"))),
    ("mass without end", aggregate(sums=(float("inf"),) * 5)),
    ("mass below nothing", aggregate(count=-1.0)),
    ("mass of no node", aggregate(count=0.0)),
    ("mass of more nodes than any cluster has", aggregate(count=1e7)),
    ("mass that is an integer", aggregate(weight=1)),
    ("sums above what the greatest value allows", aggregate(sums=(1e30,) * 5)),
    ("sums of four metrics", aggregate(sums=(2.0,) * 4)),
    ("sums of six metrics", aggregate(sums=(2.0,) * 6)),
    ("a least value that is a float", aggregate(least=(2.0,) * 5)),
    ("an epoch beyond the last", [70, 1 << 48, 1, 1, 1, MASS]),
    ("an epoch that never ends", [70, 1, 1, 1, 1 << 32, MASS]),
    ("a nil where a record is due", [1, (1, 1, 1, 1), None, True]),
]


@pytest.mark.parametrize(
    "fields", [fields for _, fields in WRONG_FIELDS], ids=[name for name, _ in WRONG_FIELDS]
)
def test_a_field_of_another_type_or_out_of_bounds_is_refused(fields: list[Any]) -> None:
    with pytest.raises(EncodingError):
        codec.decode(frame(*fields))


@LAWS
@given(data=st.data())
def test_any_field_replaced_by_anything_is_refused_or_of_its_type(data: st.DataObject) -> None:
    fields = plain(data.draw(messages))
    at = data.draw(st.integers(0, len(fields) - 1))
    fields[at] = data.draw(
        st.sampled_from([None, True, -1, 1 << 63, 1.5, float("nan"), "x", b"x", [], [[]], {}, {1: 2}])
        | st.lists(st.integers(0, 9) | st.binary(max_size=3), max_size=4)
    )
    try:
        codec.decode(frame(*fields))
    except EncodingError:
        return


def test_members_in_one_message_are_bounded() -> None:
    """Each may cost a message to whom it names."""
    member = Member(ReplicaId(1), Generation(1), 1, "n", Address("a:1"), "a:1", "0")
    record = m.Record(member, Standing(Generation(1)))
    most = m.MemberAck2((record,) * codec.MEMBER_ITEMS_MAX, ())
    assert codec.decode(codec.encode(most)) == most
    for many in (
        m.MemberAck2((record,) * (codec.MEMBER_ITEMS_MAX + 1), ()),
        m.MemberNews(
            (), (m.Claim(ReplicaId(1), record.standing, ReplicaId(2)),) * (codec.MEMBER_ITEMS_MAX + 1)
        ),
        m.MemberSyn((m.MemberDigest(ReplicaId(1), 1, record.standing),) * (codec.MEMBER_ITEMS_MAX + 1), True),
    ):
        with pytest.raises(EncodingError, match="at most"):
            codec.decode(codec.encode(many))


# -- news behind a message ---------------------------------------------------------------------------------


@LAWS
@given(messages, news)
def test_news_behind_a_message_arrives_with_it(message: m.Message, told: m.MemberNews) -> None:
    encoded = codec.encode(message, told)
    assert codec.decode_frame(encoded) == (message, told)
    assert codec.decode(encoded) == message
    assert codec.decode_frame(codec.encode(message)) == (message, None)


@LAWS
@given(messages, news, st.data())
def test_a_frame_cut_within_its_news_is_refused(
    message: m.Message, told: m.MemberNews, data: st.DataObject
) -> None:
    first, whole = codec.encode(message), codec.encode(message, told)
    cut = data.draw(st.integers(len(first) + 1, len(whole) - 1))
    with pytest.raises(EncodingError):
        codec.decode_frame(whole[:cut])


def test_nothing_but_news_follows_a_message_and_only_once() -> None:
    nack, told = codec.encode(m.Nack(1)), codec.encode(m.MemberNews((), ()))[1:]
    assert codec.decode_frame(nack + told) == (m.Nack(1), m.MemberNews((), ()))
    for behind in (nack[1:], told + told, told + b"\x00"):
        with pytest.raises(EncodingError):
            codec.decode_frame(nack + behind)


# -- bombs -------------------------------------------------------------------------------------------------


def fill(head: bytes, unit: bytes) -> bytes:
    """A frame of 1 MiB: ``head``, then ``unit`` again and again."""
    room = FRAME_BYTES_MAX - 1 - len(head)
    return VERSION + head + (unit * (room // len(unit)))


def array(count: int) -> bytes:
    return b"\xdc" + count.to_bytes(2, "big")


PUSH = b"\x94\x14\x01"
OFFER = b"\x94" + b"\xc4\x02\x01k" + b"\xc4\x10" + bytes(16) + b"\x01"
MANY = 16_384

BOMBS: dict[str, bytes] = {
    "nested arrays": fill(b"", b"\x91"),
    "wide and nested arrays": fill(array(1_024), b"\x91" * 1_000 + b"\xc0"),
    "claims of arrays, nested": fill(b"", array(MANY)),
    "claims of large arrays, nested": fill(b"", b"\xdd\xff\xff\xff\xff"),
    "claims where entries are due": fill(PUSH, array(MANY)),
    "claims behind the last field": fill(b"\x9f\x3c\x01", array(0xFFFF)),
    "nested maps": fill(b"", b"\x81\x01"),
    "claims of maps": fill(b"", b"\xdf\xff\xff\xff\xff"),
    "maps where entries are due": fill(PUSH + array(MANY), b"\x81\x01\x02"),
    "a lying length of bytes": VERSION + b"\x93\x15\x01\xc6\xff\xff\xff\xff",
    "a lying length of text": VERSION + b"\x93\x15\x01\xdb\xff\xff\xff\xff",
    "extension types": fill(PUSH, b"\xc7\xff\x01" + bytes(255)),
    "small texts": fill(PUSH + array(MANY), b"\xa2xy"),
    "empty arrays": fill(PUSH + array(MANY), b"\x90"),
    "small entries": fill(PUSH + array(MANY), b"\x92\xc4\x02\x01k\xc4\x02ab"),
    "an offer with more dots than are allowed": fill(
        PUSH + b"\x90\x91" + OFFER + b"\xdd\x00\x05\x00\x00", b"\x92\x01\x01"
    ),
    "small digests": fill(b"\x93\x0a" + array(MANY), b"\x93\x01\x01\x93\x01\x01\x01"),
    "small claims": fill(b"\x93\x0d\x90" + array(1_024), b"\x93\x01\x93\x01\x01\x01\x01"),
    "nested arrays behind a message": fill(b"\x92\x05\x01", b"\x91"),
    "small ranges": fill(b"\x95\x2a\x01\x01" + array(MANY), b"\x93\x01\x00\xc4\x00"),
    "huge integers": fill(b"\x96\x0b\x90\x90\x90" + array(1_024), b"\xcf" + b"\xff" * 8),
    "nothing but nil": fill(PUSH + array(MANY), b"\xc0"),
}


def cost_of(decode: Callable[[], object]) -> int:
    """The most that was allocated at any moment."""
    tracemalloc.start()
    try:
        decode()
    finally:
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak_bytes


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_frame_costs_a_bounded_amount_of_memory(name: str) -> None:
    raw = BOMBS[name]
    assert len(raw) <= FRAME_BYTES_MAX

    def decode() -> None:
        with pytest.raises(EncodingError):
            codec.decode(raw)

    assert cost_of(decode) <= HOSTILE_FRAME_COST_BYTES


def test_a_small_frame_of_claims_costs_little() -> None:
    """msgpack alone makes room for every array that is claimed: 3 KB would cost 76 MiB."""
    raw = VERSION + array(MANY) * 1_000

    def decode() -> None:
        with pytest.raises(EncodingError):
            codec.decode(raw)

    assert cost_of(decode) < 200_000


def test_the_dearest_frame_that_is_a_message_is_within_the_bound() -> None:
    dots = b"\x92\x01\x01" * MANY
    raw = VERSION + PUSH + b"\x90" + array(21) + (OFFER + array(MANY) + dots) * 21
    assert len(raw) <= FRAME_BYTES_MAX + 3
    assert cost_of(lambda: codec.decode(raw)) <= HOSTILE_FRAME_COST_BYTES
