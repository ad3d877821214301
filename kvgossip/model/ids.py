"""Names of things: keys, replicas, starts and addresses.

A *key* is the identity of an entry: one byte for the kind, then the name that clients use. Because the kind
is part of the key, two kinds never meet in a merge, and everything below HTTP handles one bytes object.
"""

from enum import IntEnum
from typing import NewType

from kvgossip.config import KEY_BYTES_MAX
from kvgossip.errors import EncodingError, KeyNameError, LimitError

ReplicaId = NewType("ReplicaId", int)
"""64 random bits made with the data directory: the actor of dots. Never zero."""

Generation = NewType("Generation", int)
"""Raised and persisted at every start of a replica."""

StartNumber = NewType("StartNumber", int)
"""64 random bits drawn at every start: tells two starts of one generation (a copied directory) apart."""

Address = NewType("Address", str)
"""``host:port`` of a peer listener, as that peer advertises it."""

Key = NewType("Key", bytes)

ID_MAX = (1 << 64) - 1


class Kind(IntEnum):
    """How the entries of a key merge. The numbers are at rest and on the wire."""

    KV = 1
    MV = 2


_KIND_BYTES = {kind: bytes([kind]) for kind in Kind}
_KINDS = {int(kind): kind for kind in Kind}


def make_key(kind: Kind, name: bytes) -> Key:
    """The key of ``name``, as a client gave it: 1 to ``KEY_BYTES_MAX`` bytes of UTF-8, compared as bytes.

    Raises ``KeyNameError`` or ``LimitError`` (the client's fault).
    """
    if not name:
        raise KeyNameError("the key is empty: a key has 1 to 1,024 bytes")
    if len(name) > KEY_BYTES_MAX:
        raise LimitError(
            f"the key has {len(name)} bytes: at most {KEY_BYTES_MAX} are allowed",
            limit="key_bytes_max",
            limit_value=KEY_BYTES_MAX,
        )
    try:
        name.decode()
    except UnicodeDecodeError as error:
        raise KeyNameError(f"the key is not UTF-8: {error.reason} at byte {error.start}") from None
    return Key(_KIND_BYTES[kind] + name)


def check_key(raw: bytes) -> Key:
    """``raw`` as a key that came from a peer or a disk. Raises ``EncodingError``."""
    if not raw or raw[0] not in _KINDS:
        raise EncodingError(f"no key of a known kind: {raw[:16]!r}")
    if 1 < len(raw) <= KEY_BYTES_MAX and raw.isascii():  # nearly always
        return Key(raw)
    try:
        make_key(_KINDS[raw[0]], raw[1:])
    except (KeyNameError, LimitError) as error:
        raise EncodingError(str(error)) from None
    return Key(raw)


def kind_of(key: Key) -> Kind:
    return _KINDS[key[0]]


def name_of(key: Key) -> bytes:
    """What clients call the key."""
    return key[1:]


def format_id(number: int) -> str:
    """A replica id or start number as people and JSON read it: 16 hexadecimal digits."""
    return f"{number:016x}"
