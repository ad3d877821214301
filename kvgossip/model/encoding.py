"""Canonical bytes of entries and clocks: equal states give equal bytes, and no others decode.

All numbers are big-endian and of fixed width, sequences are sorted, and the decoder accepts exactly what the
encoder makes, so there is nothing to normalise and no second encoding of anything. The first byte is the
version of the format; ``tests/model/test_golden.py`` holds the bytes still.

    kv     = version flags stamp replica counter [expires] type-length type body
    mv     = version count (replica counter)* count sibling*
    sibling= replica counter stamp flags [expires] type-length type body-length body
    clock  = version count (replica count (first last)*)*

``flags``: bit 0 tombstone (then nothing follows), bit 1 expires. Decoding is total: whatever the bytes, it
returns a value or raises ``EncodingError``.
"""

import struct
from collections.abc import Callable, Sequence

from kvgossip.config import CLOCK_RANGES_MAX, STAMP_MS_MAX
from kvgossip.errors import EncodingError
from kvgossip.model.clock import NodeClock, Ranges
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, Kind, ReplicaId
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.stamp import STAMP_MAX, STAMP_ZERO, Stamp
from kvgossip.model.value import DEFAULT_CONTENT_TYPE, Value

ENTRY_FORMAT = 1
CLOCK_FORMAT = 1

_TOMBSTONE = 1
_EXPIRES = 2
_KV = int(Kind.KV)

_new = tuple.__new__
"""Makes a named tuple in a third of the time: every read and merge decodes an entry."""
_KV_HEAD = struct.Struct(">BBQQQ")
_MV_SIBLING = struct.Struct(">QQQB")
_DOT = struct.Struct(">QQ")
_RANGE = struct.Struct(">QQ")
_REPLICA_RANGES = struct.Struct(">QH")
_U16 = struct.Struct(">H")
_U64 = struct.Struct(">Q")
_U32 = struct.Struct(">I")


def encode_entry(entry: Entry) -> bytes:
    """The canonical bytes of an entry of either kind."""
    if isinstance(entry, KvEntry):
        return _encode_kv(entry)
    return _encode_mv(entry)


def decode_entry(key: Key, data: bytes) -> Entry:
    """The entry of ``key`` in ``data``. Raises ``EncodingError``."""
    try:
        return _DECODERS[key[0]](data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise EncodingError(f"the entry ends early or is garbled: {error}") from None


def peek_stamp(key: Key, data: bytes) -> Stamp:
    """The stamp of a ``kv`` entry, by which alone one of two is the later; 0 for kinds that have none such.

    ``data`` is canonical, so there is nothing to check.
    """
    return Stamp(int.from_bytes(data[2:10], "big")) if key[0] == _KV else STAMP_ZERO


def encode_clock(clock: NodeClock) -> bytes:
    parts = [bytes([CLOCK_FORMAT]), _U32.pack(len(clock.ranges))]
    for replica in sorted(clock.ranges):
        ranges = clock.ranges[replica]
        parts.append(_REPLICA_RANGES.pack(replica, len(ranges)))
        parts += [_RANGE.pack(first, last) for first, last in ranges]
    return b"".join(parts)


def decode_clock(data: bytes) -> NodeClock:
    """Raises ``EncodingError`` if ``data`` is no canonical clock."""
    try:
        clock, end = _decode_clock(data)
    except (struct.error, IndexError) as error:
        raise EncodingError(f"the clock ends early: {error}") from None
    _require(end == len(data), "bytes follow the clock")
    return clock


# -- kv --------------------------------------------------------------------------------------------------


def _encode_kv(entry: KvEntry) -> bytes:
    value = entry.value
    dot = entry.dot
    if value is None:
        return _KV_HEAD.pack(ENTRY_FORMAT, _TOMBSTONE, entry.stamp, dot.replica, dot.counter)
    head = _KV_HEAD.pack(ENTRY_FORMAT, _flags(value), entry.stamp, dot.replica, dot.counter)
    return head + _encode_attributes(value) + value.body


def _decode_kv(data: bytes) -> KvEntry:
    version, flags, stamp, replica, counter = _KV_HEAD.unpack_from(data)
    if version != ENTRY_FORMAT or not replica or not counter or stamp > STAMP_MAX:
        _require_format(version, ENTRY_FORMAT, "entry")
        _checked_dot(replica, counter)
        _checked_stamp(stamp)
    dot = _new(Dot, (replica, counter))
    end = _KV_HEAD.size
    if flags == 0 and data[end] == 0:  # neither expiry nor content type: what most values are
        return _new(KvEntry, (dot, stamp, _new(Value, (data[end + 1 :], "", 0))))
    if flags == _TOMBSTONE:
        _require(len(data) == end, "bytes follow a tombstone")
        return KvEntry(dot, stamp, None)
    content_type, expires_ms, end = _decode_attributes(data, flags, end)
    return KvEntry(dot, stamp, Value(data[end:], content_type, expires_ms))


# -- mv --------------------------------------------------------------------------------------------------


def _encode_mv(entry: MvEntry) -> bytes:
    parts = [bytes([ENTRY_FORMAT]), _U32.pack(len(entry.vector.dots))]
    parts += [_DOT.pack(*dot) for dot in entry.vector]
    parts.append(_U32.pack(len(entry.siblings)))
    for sibling in entry.siblings:
        value = sibling.value
        flags = _TOMBSTONE if value is None else _flags(value)
        parts.append(_MV_SIBLING.pack(*sibling.dot, sibling.stamp, flags))
        if value is not None:
            parts += [_encode_attributes(value), _U32.pack(len(value.body)), value.body]
    return b"".join(parts)


def _decode_mv(data: bytes) -> MvEntry:
    _require_format(data[0], ENTRY_FORMAT, "entry")
    (count,) = _U32.unpack_from(data, 1)
    end = 5
    _require(count * _DOT.size <= len(data), "the vector is longer than the entry")
    dots = tuple(_checked_dot(*_DOT.unpack_from(data, end + i * _DOT.size)) for i in range(count))
    end += count * _DOT.size
    _require(_ascending([dot.replica for dot in dots]), "the vector is not in order of replica")
    vector = VersionVector(dots)
    (count,) = _U32.unpack_from(data, end)
    end += 4
    siblings: list[Sibling] = []
    for _ in range(count):
        sibling, end = _decode_sibling(data, end)
        siblings.append(sibling)
    _require(end == len(data), "bytes follow the last sibling")
    _require(_ascending([sibling.dot for sibling in siblings]), "siblings are not in order of dot")
    _require(all(vector.covers(s.dot) for s in siblings), "the vector does not cover a sibling")
    return MvEntry(vector, tuple(siblings))


def _decode_sibling(data: bytes, start: int) -> tuple[Sibling, int]:
    replica, counter, stamp, flags = _MV_SIBLING.unpack_from(data, start)
    end = start + _MV_SIBLING.size
    dot = _checked_dot(replica, counter)
    if flags == _TOMBSTONE:
        return Sibling(dot, _checked_stamp(stamp), None), end
    content_type, expires_ms, end = _decode_attributes(data, flags, end)
    (length,) = _U32.unpack_from(data, end)
    end += 4
    _require(end + length <= len(data), "a body is longer than the entry")
    value = Value(data[end : end + length], content_type, expires_ms)
    return Sibling(dot, _checked_stamp(stamp), value), end + length


_DECODERS: dict[int, Callable[[bytes], Entry]] = {Kind.KV.value: _decode_kv, Kind.MV.value: _decode_mv}
"""By the first byte of the key."""


# -- parts -----------------------------------------------------------------------------------------------


def _flags(value: Value) -> int:
    return _EXPIRES if value.expires_ms else 0


def _encode_attributes(value: Value) -> bytes:
    content_type = value.content_type.encode("ascii")
    expires = _U64.pack(value.expires_ms) if value.expires_ms else b""
    return expires + bytes([len(content_type)]) + content_type


def _decode_attributes(data: bytes, flags: int, start: int) -> tuple[str, int, int]:
    """(content type, expires_ms, where the body starts)."""
    _require(flags in (0, _EXPIRES), "unknown flags")
    expires_ms = 0
    if flags == _EXPIRES:
        (expires_ms,) = _U64.unpack_from(data, start)
        start += 8
        _require(0 < expires_ms <= STAMP_MS_MAX, "the expiry is zero or beyond the year 3000")
    length = data[start]
    end = start + 1 + length
    _require(end <= len(data), "the content type is longer than the entry")
    content_type = data[start + 1 : end].decode("ascii")
    _require(content_type.isprintable(), "the content type is not printable")
    _require(content_type != DEFAULT_CONTENT_TYPE, "the default content type is spelled out")
    return content_type, expires_ms, end


def _checked_dot(replica: int, counter: int) -> Dot:
    if replica == 0 or counter == 0:
        raise EncodingError("a dot of replica 0 or with counter 0")
    return Dot(ReplicaId(replica), counter)


def _checked_stamp(stamp: int) -> Stamp:
    if stamp > STAMP_MAX:
        raise EncodingError("a stamp beyond the year 3000")
    return Stamp(stamp)


def _decode_clock(data: bytes) -> tuple[NodeClock, int]:
    _require_format(data[0], CLOCK_FORMAT, "clock")
    (count,) = _U32.unpack_from(data, 1)
    end = 5
    clock: dict[ReplicaId, Ranges] = {}
    previous = 0
    for _ in range(count):
        replica, range_count = _REPLICA_RANGES.unpack_from(data, end)
        end += _REPLICA_RANGES.size
        _require(replica > previous, "the clock is not in order of replica, or names replica 0")
        _require(1 <= range_count <= CLOCK_RANGES_MAX, "no ranges, or too many")
        ranges = tuple(_RANGE.unpack_from(data, end + i * _RANGE.size) for i in range(range_count))
        end += range_count * _RANGE.size
        bounds = [bound for first, last in ranges for bound in (first, last + 1)]
        _require(bounds[0] > 0 and _ascending(bounds), "ranges overlap, touch or are reversed")
        clock[ReplicaId(replica)] = ranges
        previous = replica
    return NodeClock(clock), end


def _ascending(items: Sequence[int] | Sequence[Dot]) -> bool:
    return all(items[i] < items[i + 1] for i in range(len(items) - 1))  # type: ignore[operator]


def _require_format(version: int, known: int, what: str) -> None:
    if version != known:
        raise EncodingError(f"{what} format {version} is unknown: this version reads {known}")


def _require(claim: bool, otherwise: str) -> None:
    if not claim:
        raise EncodingError(otherwise)
