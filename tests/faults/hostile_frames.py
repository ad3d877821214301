"""What a peer that holds the secret, and lies, may send: frames by kind, and what each may change.

Members that are made up have few ids, and addresses on loopback: a node dials whom it is told of.
"""

from collections.abc import Callable
from dataclasses import replace

import msgpack
from hypothesis import strategies as st

from kvgossip.cli.local_cluster import NodeProcess
from kvgossip.config import FRAME_BYTES_MAX, WIRE_VERSION
from kvgossip.errors import EncodingError, RemoteError
from kvgossip.model.encoding import decode_entry, encode_entry
from kvgossip.model.ids import Generation, Key, Kind, ReplicaId, StartNumber, check_key
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.faults.raw_peer import NOBODY, RawPeer, cluster_secret
from tests.model.values import ENTRIES, mutated
from tests.wire import strategies as wire
from tests.wire.test_golden import GOLDEN

VERSION = bytes([WIRE_VERSION])

BOMBS = {
    "nested arrays": VERSION + b"\x91" * (FRAME_BYTES_MAX - 1),
    "nested maps": VERSION + b"\x81" * (FRAME_BYTES_MAX - 1),
    "an array of four billion": VERSION + b"\xdd\xff\xff\xff\xff" + b"\x01" * 1_000,
    "a text of four billion": VERSION + b"\x93\x01\xdb\xff\xff\xff\xff",
    "bytes of four billion": VERSION + b"\x93\x01\xc6\xff\xff\xff\xff" + b"x" * 1_000,
    "an extension of four billion": VERSION + b"\x93\x01\xc9\xff\xff\xff\xff\x01",
    "a million nothings": VERSION + b"\xdc\xff\xff" + b"\xc0" * (FRAME_BYTES_MAX - 4),
    "a million empty arrays": VERSION + b"\xdd\x00\x0f\xff\x00" + b"\x90" * (FRAME_BYTES_MAX - 6),
    "nothing": b"",
    "another version": b"\x7f" + b"x" * 100,
}

BROKEN: dict[str, Callable[[RawPeer], None]] = {
    "too long": lambda peer: peer.send(b"\0" * (FRAME_BYTES_MAX + 1)),
    "claims more than it may": lambda peer: peer.send(b"x", claimed=1 << 62),
    "reserved bits": lambda peer: peer.send(b"x", first_bits=0xF0),
    "garbage": lambda peer: peer.send_raw(b"\xff" * 4_096),
}
"""What is no WebSocket frame, or one that lies about its length. The node hangs up."""

CARRIES_ENTRIES = (m.RumorPush, m.Compared, m.Fetched, m.Give, m.Chunk)

_members = wire.members_of(
    replicas=st.integers(1, 9),
    generations=st.integers(1, 3),
    peers=st.sampled_from([NOBODY, "127.0.0.1:0", "é", "127.0.0.1:70000"]),
)
_of_members = wire.member_messages_of(wire.records_of(_members))
_harmless = st.one_of(
    [
        _of_members.get(kind, messages)
        for kind, messages in wire.MESSAGES.items()
        if kind not in (m.Hello, *CARRIES_ENTRIES)
    ]
)
_golden = st.sampled_from(
    [bytes.fromhex(text).replace(b"10.0.0.1:7701", b"127.0.0.1:777") for text in GOLDEN.values()]
)


def _keyed(key: Key) -> st.SearchStrategy[tuple[Key, bytes]]:
    return ENTRIES[Kind(key[0])].map(lambda entry: (key, encode_entry(entry)))


_own_keys = st.sampled_from([Key(bytes([kind]) + name) for kind in Kind for name in (b"k", b"l", b"\0")])
_entries = _own_keys.flatmap(_keyed)
_poison = st.tuples(_own_keys, mutated(_entries.map(lambda entry: entry[1])) | st.binary(max_size=40))


def _carriers(entries: st.SearchStrategy[tuple[Key, bytes]]) -> st.SearchStrategy[m.Message]:
    carried = wire.tuples_of(entries.map(lambda entry: m.Carried(*entry)))
    return st.builds(m.RumorPush, wire.u64, carried, st.just(())) | st.builds(
        m.Give, wire.u64, wire.u64, carried, st.just(())
    )


_scalars = (
    st.none()
    | st.booleans()
    | wire.uints((1 << 64) - 1)
    | st.integers(-(1 << 63), -1)
    | st.sampled_from([float("nan"), float("inf"), -0.0, 1.0])
    | st.binary(max_size=20)
    | st.text(max_size=5)
)
_trees = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, 30), inner),
    max_leaves=20,
)


def _pack(tree: object) -> bytes:
    packed: bytes = msgpack.packb(tree)
    return VERSION + packed


def _typed(kind: int, fields: list[object]) -> bytes:
    return _pack([kind, *fields])


_doubled = st.builds(
    lambda key, one, two: VERSION + b"\x82" + b"".join(map(msgpack.packb, (key, one, key, two))),
    _scalars,
    _scalars,
    _scalars,
)

FRAMES: dict[str, st.SearchStrategy[bytes]] = {
    "binary": st.binary(max_size=2_000) | st.binary(max_size=2_000).map(lambda rest: VERSION + rest),
    "mutated": mutated(_harmless.map(codec.encode)),
    "mutated golden": mutated(_golden),
    "cut golden": st.builds(lambda frame, at: frame[: at % len(frame)], _golden, st.integers(0, 1_000)),
    "lengthened golden": st.builds(
        lambda frame, more: frame + more, _golden, st.binary(min_size=1, max_size=9)
    ),
    "any msgpack": _trees.map(_pack),
    "any fields": st.builds(_typed, st.integers(-1, 130), st.lists(_trees, max_size=8)),
    "duplicate keys": _doubled,
    "bomb": st.sampled_from(sorted(BOMBS)).map(BOMBS.__getitem__),
    "message": _harmless.map(codec.encode),
    "poisonous entries": _carriers(_poison).map(codec.encode),
    "true entries": _carriers(_entries).map(codec.encode),
}
"""Frames by kind. Of "mutated golden" and the like some are valid messages by chance: ask ``may_write``."""


def decoded(frame: bytes) -> m.Message | None:
    """The message; None if the frame is none and will be refused."""
    try:
        return codec.decode(frame)
    except RemoteError:
        return None


def may_write(frame: bytes) -> bool:
    """True if the frame carries an entry that is well-formed: a peer with the secret may write."""
    message = decoded(frame)
    if isinstance(message, m.Chunk):
        return True
    if isinstance(message, CARRIES_ENTRIES):
        return any(_is_well_formed(carried) for carried in message.entries) or bool(message.offers)
    return False


def is_hello(frame: bytes) -> bool:
    """True if it may tell the node that it is a copy, which then goes on as a new replica."""
    return isinstance(decoded(frame), m.Hello)


def _is_well_formed(carried: m.Carried) -> bool:
    try:
        decode_entry(check_key(carried.key), carried.data)
    except EncodingError:
        return False
    return True


def proven(node: NodeProcess) -> RawPeer:
    """A peer with the secret, known to the node as a replica that holds nothing."""
    peer = RawPeer(node)
    peer.shake_hands(cluster_secret(node))
    mine = m.Known(ReplicaId(7), Generation(1), StartNumber(7), 0)
    heard = codec.decode(peer.receive())
    while not isinstance(heard, m.Hello):  # the node speaks first, too
        heard = codec.decode(peer.receive())
    word = m.Hello(mine, replace(heard.me, counter=0), True, heard.me.start_number)
    peer.send(codec.encode(word))
    return peer


def told_root(peer: RawPeer) -> int:
    """What the node answers to an honest question, after all that was sent before it."""
    peer.send(codec.encode(m.RootAsk(99)))
    while True:
        heard = codec.decode(peer.receive())
        if isinstance(heard, m.RootAnswer) and heard.sequence == 99:
            return heard.root
