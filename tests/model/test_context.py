"""Causal contexts are untrusted input: whatever is not ours, for this key, is refused."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgossip.errors import ContextError
from kvgossip.model.context import CONTEXT_CHARS_MAX, decode_context, encode_context
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.ids import ID_MAX, Key, Kind, ReplicaId, make_key
from kvgossip.model.secret import ClusterSecret, mac
from tests.model.values import LAWS, vectors

SECRET = ClusterSecret.derive("test", b"sixteen bytes or more")
KEY = make_key(Kind.MV, b"k")
VECTOR = VersionVector.of([Dot(ReplicaId(1), 5), Dot(ReplicaId(ID_MAX), ID_MAX)])
CONTEXT = encode_context(SECRET, KEY, VECTOR)


def with_mac(body: bytes) -> str:
    """What only a holder of the secret can make."""
    bound = b"%d:%b%b" % (len(KEY), KEY, body)
    return urlsafe_b64encode(body + mac(SECRET.context_key, bound)).decode()


@LAWS
@given(vectors)
def test_a_context_comes_back_as_the_vector_it_was(vector: VersionVector) -> None:
    assert decode_context(SECRET, KEY, encode_context(SECRET, KEY, vector)) == vector
    assert decode_context(SECRET, KEY, CONTEXT) == VECTOR


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        (SECRET, make_key(Kind.MV, b"other")),
        (SECRET, make_key(Kind.KV, b"k")),
        (ClusterSecret.derive("test", b"another secret here"), KEY),
        (ClusterSecret.derive("other", b"sixteen bytes or more"), KEY),
    ],
    ids=["another key", "another kind", "another secret", "another cluster"],
)
def test_a_foreign_context_is_refused(secret: ClusterSecret, key: Key) -> None:
    with pytest.raises(ContextError, match="not one that this cluster gave out"):
        decode_context(secret, key, CONTEXT)


@pytest.mark.parametrize("text", ["", "A", "%%%%", "not base64!", "é", CONTEXT[:-1], CONTEXT + "A", " "])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ContextError):
        decode_context(SECRET, KEY, text)


def test_every_flipped_bit_is_a_forgery() -> None:
    raw = urlsafe_b64decode(CONTEXT)
    for bit in range(8 * len(raw)):
        forged = bytearray(raw)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ContextError):
            decode_context(SECRET, KEY, urlsafe_b64encode(forged).decode())


def test_every_truncation_is_refused() -> None:
    for length in range(0, len(CONTEXT) - 4, 4):
        with pytest.raises(ContextError):
            decode_context(SECRET, KEY, CONTEXT[:length])


@LAWS
@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: urlsafe_b64encode(raw).decode()))
def test_no_text_but_ours_is_taken(text: str) -> None:
    with pytest.raises(ContextError):
        decode_context(SECRET, KEY, text)


@pytest.mark.parametrize("body", [b"", b"\x02", b"\x01" + b"\0" * 15, b"\x00" + b"\0" * 16])
def test_a_context_of_another_format_is_refused_though_its_mac_is_right(body: bytes) -> None:
    with pytest.raises(ContextError, match="unknown version"):
        decode_context(SECRET, KEY, with_mac(body))


def test_an_oversize_context_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ContextError, match=f"at most {CONTEXT_CHARS_MAX}"):
        decode_context(SECRET, KEY, "A" * (CONTEXT_CHARS_MAX + 1))


def test_a_vector_of_3000_replicas_fits_a_context() -> None:
    vector = VersionVector.of(Dot(ReplicaId(r), r) for r in range(1, 3_001))
    assert decode_context(SECRET, KEY, encode_context(SECRET, KEY, vector)) == vector
