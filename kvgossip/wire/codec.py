"""The codec of messages: a version byte, then one msgpack array (type number, fields...).

Decoding is total: whatever the bytes, it gives a message whose every field is of its exact type and within
its bounds, or raises ``EncodingError``. The frame is read field by field as its type prescribes, never as a
whole, because msgpack makes room for every length that a frame claims before it sees the items: 3 KB of
nested claims would cost 76 MiB. So no array is made but one that is due, maps (and with them duplicate keys)
and extension types are refused, and a hostile frame of 1 MiB costs at most some 25 MiB for the moment of its
decoding. Fields that a later version appends are skipped; a type that this version does not know is refused.

Entries are not looked into: whoever merges one decodes it, one by one, so that a poisonous entry spoils
itself and not its frame.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import msgpack

from kvgossip.config import FRAME_BYTES_MAX, KEY_BYTES_MAX, MERGED_ENTRY_BYTES_MAX, STAMP_MS_MAX, WIRE_VERSION
from kvgossip.errors import EncodingError
from kvgossip.model.aggregate import METRICS, Mass
from kvgossip.model.dot import Dot
from kvgossip.model.ids import Key
from kvgossip.model.member import (
    ADDRESS_CHARS_MAX,
    INCARNATION_MAX,
    NODE_NAME_CHARS_MAX,
    NUMBER_MAX,
    TAG_KEY_CHARS_MAX,
    TAG_VALUE_CHARS_MAX,
    TAGS_MAX,
    TROUBLE_CHARS_MAX,
    TROUBLES_MAX,
    ZONE_CHARS_MAX,
    Load,
    Member,
    MemberState,
    Standing,
)
from kvgossip.wire import messages as m

_U64_MAX = (1 << 64) - 1
_ITEMS_MAX = 16_384
MEMBER_ITEMS_MAX = 1_024
"""Of digests or records in one message: each record may cost a message to whom it names."""
EPOCH_MAX = (1 << 48) - 1
EPOCH_MS_MAX = 60_000

_new = tuple.__new__

Read = Callable[[msgpack.Unpacker], Any]
"""Takes the next field from a frame, or raises."""
Fields = tuple[Read, ...]


def encode(message: m.Message, news: m.MemberNews | None = None) -> bytes:
    """A frame with ``message``, and ``news`` behind it."""
    return _VERSION + _packed(message) + (b"" if news is None else _packed(news))


def decode(frame: bytes) -> m.Message:
    """The message of a frame, without the news behind it. Raises ``EncodingError``."""
    return decode_frame(frame)[0]


def decode_frame(frame: bytes) -> tuple[m.Message, m.MemberNews | None]:
    """Raises ``EncodingError``: the sender's fault; nothing happened."""
    if not 2 <= len(frame) <= FRAME_BYTES_MAX:
        raise EncodingError(f"a frame has 2 to {FRAME_BYTES_MAX} bytes, this one {len(frame)}")
    if frame[0] != WIRE_VERSION:
        raise EncodingError(f"wire version {frame[0]}: this node speaks {WIRE_VERSION}")
    # With no room for containers, ``unpack`` reads one scalar; an array that is due is read by its header.
    unpacker = msgpack.Unpacker(
        read_size=4096, max_buffer_size=FRAME_BYTES_MAX, max_array_len=0, max_map_len=0, max_ext_len=0
    )
    unpacker.feed(memoryview(frame)[1:])
    try:
        message = _read_message(unpacker)
        news = _read_message(unpacker) if unpacker.tell() != len(frame) - 1 else None
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise EncodingError(f"no message within the limits: {type(error).__name__}: {error}") from None
    if unpacker.tell() != len(frame) - 1 or not (news is None or isinstance(news, m.MemberNews)):
        raise EncodingError("bytes follow the message")
    return message, news


def _packed(message: m.Message) -> bytes:
    number = _NUMBERS[type(message)]
    packed: bytes = _pack((number, *_ENCODERS[number](message)))
    return packed


def _read_message(unpacker: msgpack.Unpacker) -> m.Message:
    count = unpacker.read_array_header()
    number = unpacker.unpack() if count else None
    if type(number) is not int:
        raise EncodingError("a message is an array that begins with its type number")
    known = _READERS.get(number)
    if known is None:
        raise EncodingError(f"message type {number} is unknown")
    make, fields = known
    try:
        message: m.Message = make(*_read_fields(unpacker, count - 1, fields))
        return message
    except EncodingError as error:
        raise EncodingError(f"message type {number}: {error}") from None


# -- fields: each reader takes one and returns it as the message holds it, or raises -------------------------


def _read_fields(unpacker: msgpack.Unpacker, count: int, fields: Fields) -> list[Any]:
    """The fields of an array of ``count``; further ones, of a later version, are skipped."""
    if count < len(fields):
        raise EncodingError(f"{count} fields instead of {len(fields)}")
    values = [read(unpacker) for read in fields]
    for _ in range(count - len(fields)):
        unpacker.skip()
    return values


def _uint(maximum: int) -> Read:
    def read(unpacker: msgpack.Unpacker) -> int:
        raw = unpacker.unpack()
        if type(raw) is not int or not 0 <= raw <= maximum:
            raise EncodingError(f"no integer from 0 to {maximum}")
        return raw

    return read


def _blob(maximum: int, *, multiple: int = 1) -> Read:
    def read(unpacker: msgpack.Unpacker) -> bytes:
        raw = unpacker.unpack()
        if type(raw) is not bytes or len(raw) > maximum or len(raw) % multiple:
            raise EncodingError(f"no bytes of length at most {maximum}, a multiple of {multiple}")
        return raw

    return read


def _text(chars_max: int) -> Read:
    def read(unpacker: msgpack.Unpacker) -> str:
        raw = unpacker.unpack()
        if type(raw) is not str or len(raw) > chars_max:
            raise EncodingError(f"no text of at most {chars_max} characters")
        return raw

    return read


def _flag(unpacker: msgpack.Unpacker) -> bool:
    raw = unpacker.unpack()
    if type(raw) is not bool:
        raise EncodingError("no bool")
    return raw


def _float(unpacker: msgpack.Unpacker) -> float:
    """Finite and not negative: whoever makes a value of it looks closer."""
    raw = unpacker.unpack()
    if type(raw) is not float or not 0 <= raw < inf:
        raise EncodingError("no finite float from 0 on")
    return raw


def _state(unpacker: msgpack.Unpacker) -> MemberState:
    raw = unpacker.unpack()
    if type(raw) is not int or not 0 <= raw <= MemberState.FORGOTTEN:
        raise EncodingError("no state of a member")
    return MemberState(raw)


def _key(unpacker: msgpack.Unpacker) -> Key:
    raw = unpacker.unpack()
    if type(raw) is not bytes or not 2 <= len(raw) <= KEY_BYTES_MAX + 1:
        raise EncodingError(f"no key of 1 to {KEY_BYTES_MAX} bytes")
    return Key(raw)


def _u128(unpacker: msgpack.Unpacker) -> int:
    raw = unpacker.unpack()
    if type(raw) is not bytes or len(raw) != 16:
        raise EncodingError("no 16 bytes")
    return int.from_bytes(raw, "big")


def _many(read: Read, *, items_max: int = _ITEMS_MAX) -> Read:
    def read_all(unpacker: msgpack.Unpacker) -> tuple[Any, ...]:
        count = unpacker.read_array_header()
        if count > items_max:
            raise EncodingError(f"{count} items: at most {items_max} are allowed")
        return tuple([read(unpacker) for _ in range(count)])

    return read_all


def _record(make: Callable[..., Any], fields: Fields) -> Read:
    def read(unpacker: msgpack.Unpacker) -> Any:
        return make(*_read_fields(unpacker, unpacker.read_array_header(), fields))

    return read


def _optional_record(make: Callable[..., Any], fields: Fields) -> Read:
    """None travels as an array without fields."""

    def read(unpacker: msgpack.Unpacker) -> Any:
        count = unpacker.read_array_header()
        return make(*_read_fields(unpacker, count, fields)) if count else None

    return read


def _carried(unpacker: msgpack.Unpacker) -> m.Carried:
    """Written out: there are hundreds in a frame. ``_new`` makes a named tuple in a third of the time."""
    count = unpacker.read_array_header()
    key, data = unpacker.unpack(), unpacker.unpack()
    if count < 2 or type(key) is not bytes or type(data) is not bytes:
        raise EncodingError("no key and entry")
    if not 2 <= len(key) <= KEY_BYTES_MAX + 1:
        raise EncodingError(f"no key of 1 to {KEY_BYTES_MAX} bytes")
    for _ in range(count - 2):
        unpacker.skip()
    return _new(m.Carried, (key, data))


def _each(read: Read, count: int) -> Read:
    """Exactly ``count`` of them."""
    read_all = _many(read, items_max=count)

    def read_each(unpacker: msgpack.Unpacker) -> tuple[Any, ...]:
        items: tuple[Any, ...] = read_all(unpacker)
        if len(items) != count:
            raise EncodingError(f"{len(items)} items instead of {count}")
        return items

    return read_each


def _make_mass(*fields: Any) -> Mass:
    mass = Mass(*fields)
    mass.check()
    return mass


def _make_record(*fields: Any) -> m.Record:
    """From the fields of a member, and the incarnation and state of its standing."""
    *texts, incarnation, state = fields
    member = Member(*texts)
    member.check()
    return m.Record(member, Standing(member.generation, incarnation, state))


_u64 = _uint(_U64_MAX)
_u32 = _uint((1 << 32) - 1)
_size = _uint(MERGED_ENTRY_BYTES_MAX)
_bits = _uint(64)
_wall_ms = _uint(STAMP_MS_MAX)
_replica = _u64
_any_blob = _blob(FRAME_BYTES_MAX)
_fingerprints = _blob(FRAME_BYTES_MAX, multiple=4)
_hashes = _blob(FRAME_BYTES_MAX, multiple=8)
_pairs = _blob(FRAME_BYTES_MAX, multiple=16)
_ranges = _blob(FRAME_BYTES_MAX, multiple=9)
_listed = _blob(FRAME_BYTES_MAX)
_position = _blob(KEY_BYTES_MAX + 1)

_dot = _record(Dot, (_replica, _u64))
_entries = _many(_carried)
_offers = _many(_record(m.Offer, (_key, _u128, _size, _many(_dot))))
_KNOWN_FIELDS: Fields = (_replica, _u32, _u64, _u64)
_known = _record(m.Known, _KNOWN_FIELDS)
_maybe_known = _optional_record(m.Known, _KNOWN_FIELDS)
_incarnation = _uint(INCARNATION_MAX)
_standing = _record(Standing, (_u32, _incarnation, _state))
_digests = _many(_record(m.MemberDigest, (_replica, _u64, _standing)), items_max=MEMBER_ITEMS_MAX)
_claims = _many(_record(m.Claim, (_replica, _standing, _replica)), items_max=MEMBER_ITEMS_MAX)
_number = _uint(NUMBER_MAX)
_tag = _record(lambda key, value: (key, value), (_text(TAG_KEY_CHARS_MAX), _text(TAG_VALUE_CHARS_MAX)))
_member_record = _record(
    _make_record,
    (
        _replica,
        _u32,
        _u64,
        _text(NODE_NAME_CHARS_MAX),
        _text(ADDRESS_CHARS_MAX),
        _text(ADDRESS_CHARS_MAX),
        _text(NODE_NAME_CHARS_MAX),
        _text(ZONE_CHARS_MAX),
        _uint((1 << 16) - 1),
        _many(_tag, items_max=TAGS_MAX),
        _many(_text(TROUBLE_CHARS_MAX), items_max=TROUBLES_MAX),
        _record(Load, (_number,) * 5),
        _u128,
        _incarnation,
        _state,
    ),
)
_members = _many(_member_record, items_max=MEMBER_ITEMS_MAX)
_per_metric = _each(_number, len(METRICS))
_mass = _record(_make_mass, (_float, _float, _each(_float, len(METRICS)), _per_metric, _per_metric))
_epoch = _uint(EPOCH_MAX)
_asked = _many(_replica, items_max=MEMBER_ITEMS_MAX)
_children = _many(_record(m.RangeChildren, (_u64, _bits, _fingerprints)))
_rows = _many(_record(m.RangeRows, (_u64, _bits, _listed)))


# -- values as msgpack takes them ------------------------------------------------------------------------


def _plain_offers(offers: Sequence[m.Offer]) -> list[tuple[Any, ...]]:
    return [(o.key, o.digest.to_bytes(16, "big"), o.size, o.dots) for o in offers]


def _plain_known(known: m.Known | None) -> tuple[int, ...]:
    return () if known is None else (known.replica, known.generation, known.start_number, known.counter)


def _plain_standing(standing: Standing) -> tuple[int, int, int]:
    return (standing.generation, standing.incarnation, int(standing.state))


def _plain_digests(digests: Sequence[m.MemberDigest]) -> list[tuple[Any, ...]]:
    return [(d.replica, d.version, _plain_standing(d.standing)) for d in digests]


def _plain_claims(claims: Sequence[m.Claim]) -> list[tuple[Any, ...]]:
    return [(c.replica, _plain_standing(c.standing), c.by) for c in claims]


def _plain_records(records: Sequence[m.Record]) -> list[tuple[Any, ...]]:
    return [(*_plain_member(r.member), r.standing.incarnation, int(r.standing.state)) for r in records]


def _plain_member(x: Member) -> tuple[Any, ...]:
    texts = (x.name, x.peer, x.api, x.software, x.zone)
    load = _plain_load(x.load)
    return (
        x.replica,
        x.generation,
        x.version,
        *texts,
        x.wire_version,
        x.tags,
        x.troubles,
        load,
        _b16(x.root),
    )


def _plain_load(load: Load) -> tuple[int, ...]:
    return (load.keys, load.writes_per_s, load.cpu_permille, load.memory_bytes, load.disk_free_bytes)


def _plain_mass(x: Mass) -> tuple[Any, ...]:
    return (x.weight, x.count, x.sums, x.least, x.greatest)


def _plain_children(ranges: Sequence[m.RangeChildren]) -> list[tuple[int, int, bytes]]:
    return [(r.prefix, r.bits, r.fingerprints) for r in ranges]


def _plain_rows(ranges: Sequence[m.RangeRows]) -> list[tuple[int, int, bytes]]:
    return [(r.prefix, r.bits, r.rows) for r in ranges]


def _b16(number: int) -> bytes:
    return number.to_bytes(16, "big")


# -- the table: number, class, how its fields are written, how they are read. Numbers are never reused. ---

_TABLE: tuple[tuple[int, type, Callable[[Any], tuple[Any, ...]], Fields], ...] = (
    (
        1,
        m.Hello,
        lambda x: (_plain_known(x.me), _plain_known(x.you), x.has_your_word, x.your_start),
        (_known, _maybe_known, _flag, _u64),
    ),
    (2, m.Ping, lambda x: (x.sequence, x.target, x.wall_ms), (_u64, _replica, _wall_ms)),
    (3, m.Ack, lambda x: (x.sequence, x.table, x.wall_ms), (_u64, _u64, _wall_ms)),
    (4, m.PingReq, lambda x: (x.sequence, x.target), (_u64, _replica)),
    (5, m.Nack, lambda x: (x.sequence,), (_u64,)),
    (10, m.MemberSyn, lambda x: (_plain_digests(x.digests), x.is_whole), (_digests, _flag)),
    (
        11,
        m.MemberAck,
        lambda x: (
            _plain_digests(x.digests),
            _plain_records(x.records),
            _plain_claims(x.claims),
            x.asked,
            x.has_more,
        ),
        (_digests, _members, _claims, _asked, _flag),
    ),
    (
        12,
        m.MemberAck2,
        lambda x: (_plain_records(x.records), _plain_claims(x.claims)),
        (_members, _claims),
    ),
    (
        13,
        m.MemberNews,
        lambda x: (_plain_records(x.records), _plain_claims(x.claims)),
        (_members, _claims),
    ),
    (
        20,
        m.RumorPush,
        lambda x: (x.sequence, x.entries, _plain_offers(x.offers)),
        (_u64, _entries, _offers),
    ),
    (21, m.RumorAnswer, lambda x: (x.sequence, x.was_news), (_u64, _any_blob)),
    (22, m.RumorPull, lambda x: (), ()),
    (30, m.ChunkAsk, lambda x: (x.key, _b16(x.digest), x.offset), (_key, _u128, _size)),
    (31, m.Chunk, lambda x: (x.key, _b16(x.digest), x.offset, x.data), (_key, _u128, _size, _any_blob)),
    (
        40,
        m.ExchangeOpen,
        lambda x: (x.session, x.salt, _b16(x.root), x.row_count, _b16(x.clock_hash)),
        (_u64, _u64, _u128, _u64, _u128),
    ),
    (
        41,
        m.ExchangeOpened,
        lambda x: (x.session, _b16(x.root), x.row_count, _b16(x.clock_hash), x.fingerprints),
        (_u64, _u128, _u64, _u128, _fingerprints),
    ),
    (
        42,
        m.Compare,
        lambda x: (x.session, x.sequence, _plain_children(x.children), _plain_rows(x.rows)),
        (_u64, _u64, _children, _rows),
    ),
    (
        43,
        m.Compared,
        lambda x: (
            x.session,
            x.sequence,
            _plain_children(x.children),
            _plain_rows(x.rows),
            x.entries,
            _plain_offers(x.offers),
            x.wanted,
            x.undescribed,
        ),
        (_u64, _u64, _children, _rows, _entries, _offers, _hashes, _ranges),
    ),
    (44, m.Fetch, lambda x: (x.session, x.sequence, x.ranges, x.after), (_u64, _u64, _pairs, _position)),
    (
        45,
        m.Fetched,
        lambda x: (
            x.session,
            x.sequence,
            x.entries,
            _plain_offers(x.offers),
            x.done_count,
            x.next_hash,
            x.next_after,
        ),
        (_u64, _u64, _entries, _offers, _u32, _u64, _position),
    ),
    (
        46,
        m.Give,
        lambda x: (x.session, x.sequence, x.entries, _plain_offers(x.offers)),
        (_u64, _u64, _entries, _offers),
    ),
    (47, m.Given, lambda x: (x.session, x.sequence, x.refused_count), (_u64, _u64, _u32)),
    (
        48,
        m.ClockShare,
        lambda x: (x.session, x.sequence, x.index, x.clock, _b16(x.root)),
        (_u64, _u64, _u32, _any_blob, _u128),
    ),
    (
        49,
        m.ClockShared,
        lambda x: (x.session, x.sequence, x.part_count, x.clock, _b16(x.root)),
        (_u64, _u64, _u32, _any_blob, _u128),
    ),
    (50, m.ExchangeOver, lambda x: (x.session, x.is_busy), (_u64, _flag)),
    (60, m.RootAsk, lambda x: (x.sequence,), (_u64,)),
    (
        61,
        m.RootAnswer,
        lambda x: (x.sequence, _b16(x.root), x.row_count, _b16(x.clock_hash)),
        (_u64, _u128, _u64, _u128),
    ),
    (
        70,
        m.AggregatePush,
        lambda x: (x.epoch, x.root, x.sequence, x.left_ms, _plain_mass(x.mass)),
        (_epoch, _replica, _u32, _uint(EPOCH_MS_MAX), _mass),
    ),
    (71, m.AggregateAnswer, lambda x: (x.epoch, x.root, x.sequence), (_epoch, _replica, _u32)),
)

_VERSION = bytes([WIRE_VERSION])
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack
_NUMBERS: dict[type, int] = {cls: number for number, cls, _, _ in _TABLE}
_ENCODERS = {number: write for number, _, write, _ in _TABLE}
_READERS: dict[int, tuple[type, Fields]] = {number: (cls, fields) for number, cls, _, fields in _TABLE}
