"""Bytes at rest and in clients' hands, held still. Changing one means raising the version of its format."""

import pytest

from kvgossip.model.clock import NodeClock
from kvgossip.model.context import decode_context, encode_context
from kvgossip.model.digest import bytes_digest, entry_digest, key_hash
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import decode_clock, decode_entry, encode_clock, encode_entry
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address, Generation, Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.member import Member, MemberRow, MemberState, Standing
from kvgossip.model.member_encoding import decode_member, encode_member
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value

R1, R2 = ReplicaId(0x0102030405060708), ReplicaId(0xFFFEFDFCFBFAF9F8)
DOT = Dot(R1, 300)
STAMP = Stamp((1_700_000_000_000 << 16) | 7)
SECRET = ClusterSecret.derive("golden", b"a secret of sixteen bytes")
KEY = make_key(Kind.MV, b"a/key")
VECTOR = VersionVector.of([Dot(R1, 301), Dot(R2, 2)])

ENTRIES: dict[str, tuple[Kind, Entry]] = {
    "kv value": (Kind.KV, KvEntry(DOT, STAMP, Value(b"hello"))),
    "kv empty value": (Kind.KV, KvEntry(DOT, STAMP, Value(b""))),
    "kv content type": (Kind.KV, KvEntry(DOT, STAMP, Value(b"{}", "application/json"))),
    "kv expiry": (Kind.KV, KvEntry(DOT, STAMP, Value(b"hello", "", 1_800_000_000_000))),
    "kv tombstone": (Kind.KV, KvEntry(DOT, STAMP, None)),
    "mv value": (Kind.MV, MvEntry(VersionVector.of([DOT]), (Sibling(DOT, STAMP, Value(b"hello")),))),
    "mv siblings": (
        Kind.MV,
        MvEntry(
            VECTOR,
            (
                Sibling(Dot(R1, 301), STAMP, Value(b"one", "text/plain", 1_800_000_000_000)),
                Sibling(Dot(R2, 2), STAMP, Value(b"two")),
            ),
        ),
    ),
    "mv tombstone sibling": (
        Kind.MV,
        MvEntry(VECTOR, (Sibling(DOT, STAMP, Value(b"one")), Sibling(Dot(R2, 2), STAMP, None))),
    ),
}
CLOCK = NodeClock({R1: ((1, 300), (302, 302)), R2: ((2, 9),)})
MEMBER = MemberRow(
    Member(
        R1,
        Generation(3),
        5,
        "n1",
        Address("10.0.0.1:7701"),
        "10.0.0.1:7700",
        "0.1.0",
        "paris",
        1,
        (("rack", "7"), ("tier", "")),
    ),
    Standing(Generation(3), 9, MemberState.DOWN),
    1_700_000_000_000,
)

GOLDEN: dict[str, str] = {
    "kv value": "0100018bcfe5680000070102030405060708000000000000012c0068656c6c6f",
    "kv empty value": "0100018bcfe5680000070102030405060708000000000000012c00",
    "kv content type": (
        "0100018bcfe5680000070102030405060708000000000000012c106170706c69636174696f6e2f6a736f6e7b7d"
    ),
    "kv expiry": "0102018bcfe5680000070102030405060708000000000000012c000001a3185c50000068656c6c6f",
    "kv tombstone": "0101018bcfe5680000070102030405060708000000000000012c",
    "mv value": (
        "01000000010102030405060708000000000000012c000000010102030405060708000000000000012c018bcfe5680000"
        "0700000000000568656c6c6f"
    ),
    "mv siblings": (
        "01000000020102030405060708000000000000012dfffefdfcfbfaf9f800000000000000020000000201020304050607"
        "08000000000000012d018bcfe56800000702000001a3185c50000a746578742f706c61696e000000036f6e65fffefdfc"
        "fbfaf9f80000000000000002018bcfe56800000700000000000374776f"
    ),
    "mv tombstone sibling": (
        "01000000020102030405060708000000000000012dfffefdfcfbfaf9f800000000000000020000000201020304050607"
        "08000000000000012c018bcfe5680000070000000000036f6e65fffefdfcfbfaf9f80000000000000002018bcfe56800"
        "000701"
    ),
    "clock": (
        "0100000002010203040506070800020000000000000001000000000000012c000000000000012e000000000000012eff"
        "fefdfcfbfaf9f8000100000000000000020000000000000009"
    ),
    "member": (
        "0202020102030405060708000000030000000000000005000000090000018bcfe56800000100026e31000d31302e302e"
        "302e313a37373031000d31302e302e302e313a373730300005302e312e300005706172697300047261636b0001370004"
        "746965720000"
    ),
    "key hash": "ce9cb342345049ba",
    "entry digest": "b8afc73e99ca087bdb7674c0171bff3a",
    "bytes digest": "501a61a6373f42f87c7f183f347f67cb",
    "digest seed": "95557ada4e8f82a5",
    "context key": "67e6bb9f7c32e75438f0ae30934b6355c677f00c9a5bb01ee75214b4ad314e75",
    "handshake key": "817b5b33f0b3fe316141378a8f53be5ad903df6a1fa575e5207641456b3539b9",
    "check": "1ca2631f5cb3e5533dfe5ad836eadd4ce4c75258cb27a668b59e11573cc20389",
    "context": "AQECAwQFBgcIAAAAAAAAAS3__v38-_r5-AAAAAAAAAACo6khaE6aem1kIQG6EtwIAg==",
}


@pytest.mark.parametrize("name", ENTRIES)
def test_the_bytes_of_entries_stand_still(name: str) -> None:
    kind, entry = ENTRIES[name]
    assert encode_entry(entry).hex() == GOLDEN[name]
    assert decode_entry(make_key(kind, b"k"), bytes.fromhex(GOLDEN[name])) == entry


def test_the_bytes_of_a_clock_stand_still() -> None:
    assert encode_clock(CLOCK).hex() == GOLDEN["clock"]
    assert decode_clock(bytes.fromhex(GOLDEN["clock"])) == CLOCK


def test_the_bytes_of_a_member_stand_still() -> None:
    assert encode_member(MEMBER).hex() == GOLDEN["member"]
    assert decode_member(bytes.fromhex(GOLDEN["member"])) == MEMBER


def test_the_hash_of_a_key_and_the_digest_of_an_entry_stand_still() -> None:
    """They are at rest in the Merkle tree, and what peers compare."""
    data = bytes.fromhex(GOLDEN["kv value"])
    key = make_key(Kind.KV, b"k")
    assert f"{key_hash(SECRET.digest_seed, key):016x}" == GOLDEN["key hash"]
    assert f"{entry_digest(SECRET.digest_seed, key, data):032x}" == GOLDEN["entry digest"]
    assert f"{bytes_digest(SECRET.digest_seed, data):032x}" == GOLDEN["bytes digest"]


def test_the_digest_tells_kind_key_and_every_byte_of_the_entry_apart() -> None:
    seen = {
        entry_digest(seed, make_key(kind, name), data)
        for seed in (1, 2)
        for kind in Kind
        for name, data in ((b"k", b"v"), (b"kv", b""), (b"k", b"vv"), (b"k", b""))
    }
    assert len(seen) == 16


def test_the_keys_derived_from_a_secret_stand_still() -> None:
    assert f"{SECRET.digest_seed:016x}" == GOLDEN["digest seed"]
    assert SECRET.context_key.hex() == GOLDEN["context key"]
    assert SECRET.handshake_key.hex() == GOLDEN["handshake key"]
    assert SECRET.check.hex() == GOLDEN["check"]


def test_a_context_stands_still() -> None:
    """Clients keep contexts across an upgrade of the cluster."""
    assert encode_context(SECRET, KEY, VECTOR) == GOLDEN["context"]
    assert decode_context(SECRET, KEY, GOLDEN["context"]) == VECTOR
