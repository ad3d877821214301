"""Canonical encoding: the traps of the field, each by name."""

import tracemalloc

import pytest

from kvgossip.config import KEY_BYTES_MAX, STAMP_MS_MAX
from kvgossip.errors import EncodingError, KeyNameError, LimitError
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import decode_clock, decode_entry, encode_entry, peek_stamp
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, Kind, ReplicaId, check_key, kind_of, make_key, name_of
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import DEFAULT_CONTENT_TYPE, Value
from tests.model.values import KEYS

R1, R2 = ReplicaId(1), ReplicaId(2)
DOT = Dot(R1, 1)
STAMP = Stamp(1 << 16)
KV = KvEntry(DOT, STAMP, Value(b"body", "text/plain", 9))
PUT = Sibling(DOT, STAMP, Value(b"a"))
GONE = Sibling(Dot(R1, 2), STAMP, None)
VECTOR = VersionVector.of([Dot(R1, 2), Dot(R2, 1)])
MV = MvEntry(VECTOR, (PUT, GONE))


def refused(entry: Entry, kind: Kind, match: str) -> None:
    with pytest.raises(EncodingError, match=match):
        decode_entry(KEYS[kind], encode_entry(entry))


@pytest.mark.parametrize(("kind", "entry"), [(Kind.KV, KV), (Kind.MV, MV)])
def test_every_truncation_is_refused_or_is_another_entry(kind: Kind, entry: Entry) -> None:
    data = encode_entry(entry)
    for length in range(len(data)):
        try:
            shorter = decode_entry(KEYS[kind], data[:length])
        except EncodingError:
            continue
        assert kind is Kind.KV, "only a kv body may be cut unnoticed: its length is that of the row"
        assert encode_entry(shorter) == data[:length]


@pytest.mark.parametrize(("kind", "entry"), [(Kind.KV, KV), (Kind.MV, MV)])
def test_another_format_version_is_refused(kind: Kind, entry: Entry) -> None:
    with pytest.raises(EncodingError, match="format 2 is unknown"):
        decode_entry(KEYS[kind], b"\x02" + encode_entry(entry)[1:])


def test_the_default_content_type_has_one_spelling() -> None:
    refused(KvEntry(DOT, STAMP, Value(b"", DEFAULT_CONTENT_TYPE)), Kind.KV, "spelled out")


def test_a_content_type_that_could_split_a_header_is_refused() -> None:
    refused(KvEntry(DOT, STAMP, Value(b"", "a\r\nSet-Cookie: b")), Kind.KV, "printable")
    data = encode_entry(KvEntry(DOT, STAMP, Value(b"", "ab")))
    with pytest.raises(EncodingError):
        decode_entry(KEYS[Kind.KV], data.replace(b"ab", b"a\xff"))


def test_an_expiry_beyond_the_year_3000_is_refused() -> None:
    latest = KvEntry(DOT, STAMP, Value(b"", "", STAMP_MS_MAX))
    assert decode_entry(KEYS[Kind.KV], encode_entry(latest)) == latest
    refused(KvEntry(DOT, STAMP, Value(b"", "", STAMP_MS_MAX + 1)), Kind.KV, "expiry")


def test_an_expiry_of_zero_has_one_spelling() -> None:
    data = bytearray(encode_entry(KvEntry(DOT, STAMP, Value(b"", "", 9))))
    data[data.index(9)] = 0
    with pytest.raises(EncodingError, match="expiry"):
        decode_entry(KEYS[Kind.KV], bytes(data))


def test_bytes_behind_a_tombstone_are_refused() -> None:
    tombstone = encode_entry(KvEntry(DOT, STAMP, None))
    with pytest.raises(EncodingError, match="tombstone"):
        decode_entry(KEYS[Kind.KV], tombstone + b"\0")


@pytest.mark.parametrize("flags", [2 | 1, 4, 0x80])
def test_unknown_flags_are_refused(flags: int) -> None:
    data = bytearray(encode_entry(KvEntry(DOT, STAMP, Value(b"a"))))
    data[1] = flags
    with pytest.raises(EncodingError, match="flags"):
        decode_entry(KEYS[Kind.KV], bytes(data))


def test_a_dot_is_of_a_replica_and_counted_from_1() -> None:
    refused(KvEntry(Dot(ReplicaId(0), 1), STAMP, None), Kind.KV, "dot")
    refused(KvEntry(Dot(R1, 0), STAMP, None), Kind.KV, "dot")
    refused(MvEntry(VersionVector((Dot(R1, 0),)), ()), Kind.MV, "dot")


def test_siblings_and_vector_have_one_order() -> None:
    refused(MvEntry(VECTOR, (GONE, PUT)), Kind.MV, "order of dot")
    refused(MvEntry(VECTOR, (PUT, PUT)), Kind.MV, "order of dot")
    refused(MvEntry(VersionVector((Dot(R2, 1), Dot(R1, 2))), ()), Kind.MV, "order of replica")
    refused(MvEntry(VersionVector((Dot(R1, 1), Dot(R1, 2))), ()), Kind.MV, "order of replica")


def test_a_sibling_that_the_vector_does_not_cover_is_refused() -> None:
    refused(MvEntry(VersionVector.of([Dot(R1, 1)]), (PUT, GONE)), Kind.MV, "cover")


def test_counts_and_lengths_that_lie_cost_nothing() -> None:
    lies = [
        (Kind.MV, b"\x01\xff\xff\xff\xff"),
        (Kind.MV, b"\x01\0\0\0\0\xff\xff\xff\xff"),
        (Kind.MV, encode_entry(MV)[:-4] + b"\xff\xff\xff\xff"),
        (Kind.KV, encode_entry(KV)[:35] + b"\xff"),
    ]
    tracemalloc.start()
    try:
        for kind, data in lies:
            with pytest.raises(EncodingError):
                decode_entry(KEYS[kind], data)
        with pytest.raises(EncodingError):
            decode_clock(b"\x01\xff\xff\xff\xff")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000


def test_the_stamp_of_a_kv_entry_is_read_without_decoding_it() -> None:
    for entry in (KV, KvEntry(DOT, STAMP, None)):
        assert peek_stamp(KEYS[Kind.KV], encode_entry(entry)) == STAMP
    assert peek_stamp(KEYS[Kind.MV], encode_entry(MV)) == 0, "no stamp alone decides between siblings"


# -- keys --------------------------------------------------------------------------------------------------


def test_a_key_is_its_kind_and_its_name() -> None:
    key = make_key(Kind.MV, "a/é".encode())
    assert (kind_of(key), name_of(key)) == (Kind.MV, "a/é".encode())
    assert check_key(bytes(key)) == key
    assert make_key(Kind.KV, b"a") != make_key(Kind.MV, b"a")


@pytest.mark.parametrize("name", [b"\0", b".", b"..", b"a//b", b"a/", b" ", b"x" * KEY_BYTES_MAX])
def test_a_key_is_opaque_bytes(name: bytes) -> None:
    assert name_of(make_key(Kind.KV, name)) == name


def test_a_key_out_of_bounds_is_refused() -> None:
    with pytest.raises(KeyNameError, match="empty"):
        make_key(Kind.KV, b"")
    with pytest.raises(KeyNameError, match="UTF-8"):
        make_key(Kind.KV, b"\xff")
    with pytest.raises(LimitError, match="1025 bytes: at most 1024") as caught:
        make_key(Kind.KV, b"x" * (KEY_BYTES_MAX + 1))
    assert (caught.value.limit, caught.value.limit_value) == ("key_bytes_max", KEY_BYTES_MAX)


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x00a", b"\x03a", b"\x01\xff", b"\x01" + b"x" * 1025])
def test_a_key_of_a_peer_is_checked(raw: bytes) -> None:
    with pytest.raises(EncodingError):
        check_key(Key(raw))
