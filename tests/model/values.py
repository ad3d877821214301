"""Strategies for values. The alphabets are small, so that ties, shared dots and overlaps are common."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st

from kvgossip.model.clock import NodeClock
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address, Generation, Key, Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.member import Load, Member, MemberRow, MemberState, Standing
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value

LAWS = settings(max_examples=300, deadline=None, print_blob=True)
"""A failure prints the smallest example and the decorator that replays it."""

KEYS: dict[Kind, Key] = {kind: make_key(kind, b"k") for kind in Kind}

replicas = st.integers(1, 3).map(ReplicaId)
dots = st.builds(Dot, replicas, st.integers(1, 5))
stamps = st.sampled_from([0, 1, 1 << 16, (1 << 16) + 1]).map(Stamp)
bodies = st.sampled_from([b"", b"a", b"b", b"\x00\xff"])
values = st.builds(Value, bodies, st.sampled_from(["", "text/plain"]), st.sampled_from([0, 1, 7]))
maybe_values = st.none() | values
kv_entries = st.builds(KvEntry, dots, stamps, maybe_values)
vectors = st.lists(dots, max_size=4).map(VersionVector.of)


@st.composite
def mv_entries(draw: st.DrawFn) -> MvEntry:
    """Any vector, and siblings at any of the dots that it covers."""
    vector = draw(vectors)
    covered = [Dot(replica, i) for replica, last in vector for i in range(1, last + 1)]
    held = draw(st.lists(st.sampled_from(covered), unique=True, max_size=4)) if covered else []
    siblings = tuple(Sibling(dot, draw(stamps), draw(maybe_values)) for dot in sorted(held))
    return MvEntry(vector, siblings)


ENTRIES: dict[Kind, st.SearchStrategy[Entry]] = {Kind.KV: kv_entries, Kind.MV: mv_entries()}
"""A kind without a strategy fails the law suite."""

clocks = st.lists(dots, max_size=10).map(lambda drawn: NodeClock().with_dots(drawn))

texts = st.sampled_from(["n1", "é", "127.0.0.1:7701", "x" * 60])
generations = st.integers(1, 3).map(Generation)
standings = st.builds(Standing, generations, st.integers(0, 2), st.sampled_from(MemberState))
members = st.builds(
    Member,
    st.just(ReplicaId(7)),
    generations,
    st.integers(0, 3),
    texts,
    texts.map(Address),
    texts,
    texts,
    zone=st.sampled_from(["", "paris"]),
    wire_version=st.integers(1, 2),
    tags=st.sampled_from([(), (("rack", "7"),), (("a", ""), ("b", "é"))]),
    troubles=st.sampled_from([(), ("disk-full",)]),
    load=st.builds(Load, st.integers(0, 1), st.integers(0, 1)),
    root=st.integers(0, 1),
)
kept_members = members.map(lambda member: replace(member, troubles=(), load=Load(), root=0))
member_rows = st.builds(
    lambda member, standing, since: MemberRow(member, replace(standing, generation=member.generation), since),
    kept_members,
    standings,
    st.sampled_from([0, 1, (1 << 48) - 1]),
)
"""As a disk has them: of what comes and goes nothing is kept."""


@st.composite
def mutated(draw: st.DrawFn, canonical: st.SearchStrategy[bytes]) -> bytes:
    """Canonical bytes with a few bytes changed, inserted or cut."""
    data = bytearray(draw(canonical))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        byte = draw(st.sampled_from([0, 1, 2, 3, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
        match draw(st.sampled_from(["change", "insert", "cut", "truncate"])):
            case "change" if at < len(data):
                data[at] = byte
            case "insert":
                data.insert(at, byte)
            case "cut":
                del data[at : at + 1]
            case "truncate":
                del data[at:]
    return bytes(data)
