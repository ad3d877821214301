"""The bytes of a member on disk: equal rows give equal bytes, and no others decode.

    row = version state tag-count replica generation version incarnation since wire-version (length text)*

The texts are name, peer, api, software, zone, then key and value of each tag. Load, troubles and root come
and go, and are not kept. Decoding is total: whatever the bytes, it returns a row or raises ``EncodingError``.
"""

import struct

from kvgossip.errors import EncodingError
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import TAGS_MAX, Member, MemberRow, MemberState, Standing

MEMBER_FORMAT = 2

_HEAD = struct.Struct(">BBBQIQIQH")
_LENGTH = struct.Struct(">H")
_FIXED_TEXTS = 5


def encode_member(row: MemberRow) -> bytes:
    member, standing = row.member, row.standing
    head = _HEAD.pack(
        MEMBER_FORMAT,
        standing.state,
        len(member.tags),
        member.replica,
        standing.generation,
        member.version,
        standing.incarnation,
        row.since_wall_ms,
        member.wire_version,
    )
    tag_texts = [text for tag in member.tags for text in tag]
    texts = (member.name, member.peer, member.api, member.software, member.zone, *tag_texts)
    return head + b"".join(_encode_text(text) for text in texts)


def decode_member(data: bytes) -> MemberRow:
    """Raises ``EncodingError`` if ``data`` is no row of a member."""
    try:
        return _decode(data)
    except (struct.error, UnicodeDecodeError, ValueError, IndexError) as error:
        raise EncodingError(f"the member record ends early or is garbled: {error}") from None


def _decode(data: bytes) -> MemberRow:
    if data[0] != MEMBER_FORMAT:
        raise EncodingError(f"member format {data[0]} is unknown: this version reads {MEMBER_FORMAT}")
    _, state, tag_count, replica, generation, version, incarnation, since, wire = _HEAD.unpack_from(data)
    if tag_count > TAGS_MAX:
        raise EncodingError(f"{tag_count} tags: at most {TAGS_MAX} are allowed")
    end = _HEAD.size
    texts: list[str] = []
    for _ in range(_FIXED_TEXTS + 2 * tag_count):
        text, end = _decode_text(data, end)
        texts.append(text)
    if end != len(data):
        raise EncodingError("bytes follow the member record")
    name, peer, api, software, zone, *tag_texts = texts
    member = Member(
        ReplicaId(replica),
        Generation(generation),
        version,
        name,
        Address(peer),
        api,
        software,
        zone,
        wire,
        tuple(zip(tag_texts[::2], tag_texts[1::2], strict=True)),
    )
    standing = Standing(Generation(generation), incarnation, MemberState(state))
    member.check()
    standing.check()
    return MemberRow(member, standing, since)


def _encode_text(text: str) -> bytes:
    raw = text.encode()
    return _LENGTH.pack(len(raw)) + raw


def _decode_text(data: bytes, start: int) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(data, start)
    end = start + _LENGTH.size + length
    if end > len(data):
        raise EncodingError("a text is longer than the record")
    return data[start + _LENGTH.size : end].decode(), end
