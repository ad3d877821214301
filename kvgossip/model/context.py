"""The causal context that ``mv`` clients carry: what they have seen of one key.

It comes back from clients, so it is untrusted input: bound to its kind and key, and with a MAC keyed from the
cluster secret. Without that a forged one would make all later writes to a key invisible (Riak's doomstones),
and one of another key would delete what nobody saw.

    context = base64url(version (replica counter)* mac16)
"""

import struct
from base64 import b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

from kvgossip.errors import ContextError
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.model.secret import ClusterSecret, mac, mac_is_valid

CONTEXT_FORMAT = 1
CONTEXT_CHARS_MAX = 64 << 10
"""A vector of 3,000 replicas."""

_DOT = struct.Struct(">QQ")
_MAC_BYTES = 16


def encode_context(secret: ClusterSecret, key: Key, vector: VersionVector) -> str:
    body = bytes([CONTEXT_FORMAT]) + b"".join(_DOT.pack(*dot) for dot in vector)
    return urlsafe_b64encode(body + mac(secret.context_key, _bound(key, body))).decode()


def decode_context(secret: ClusterSecret, key: Key, text: str) -> VersionVector:
    """Raises ``ContextError`` (the client's fault) unless this cluster made it for this key."""
    if len(text) > CONTEXT_CHARS_MAX:
        raise ContextError(f"the context has {len(text)} characters: at most {CONTEXT_CHARS_MAX} are allowed")
    try:
        raw = b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (Base64Error, UnicodeEncodeError, ValueError):
        raise ContextError("the context is no base64: send back what Kv-Context held, unchanged") from None
    body, code = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not mac_is_valid(secret.context_key, _bound(key, body), code):
        raise ContextError("the context is not one that this cluster gave out for this kind and key")
    if body[:1] != bytes([CONTEXT_FORMAT]) or len(body) % _DOT.size != 1:
        raise ContextError("the context is of an unknown version: read the key again")
    return VersionVector.of(Dot(ReplicaId(r), c) for r, c in _DOT.iter_unpack(body[1:]))


def _bound(key: Key, body: bytes) -> bytes:
    return b"%d:%b%b" % (len(key), key, body)
