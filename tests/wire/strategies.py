"""A strategy for every message type, with the extremes of each field common."""

from typing import TypeVar

from hypothesis import strategies as st

from kvgossip.config import KEY_BYTES_MAX, MERGED_ENTRY_BYTES_MAX, STAMP_MS_MAX
from kvgossip.model.aggregate import METRICS, Mass, mass_of
from kvgossip.model.dot import Dot
from kvgossip.model.ids import Address, Generation, Key, Kind, ReplicaId, StartNumber
from kvgossip.model.member import (
    INCARNATION_MAX,
    NUMBER_MAX,
    VERSION_MAX,
    Load,
    Member,
    MemberState,
    Standing,
)
from kvgossip.wire import codec
from kvgossip.wire import messages as m

T = TypeVar("T")


def uints(maximum: int) -> st.SearchStrategy[int]:
    return st.sampled_from([0, 1, maximum - 1, maximum]) | st.integers(0, maximum)


def tuples_of(items: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(items, max_size=3).map(tuple)


def packed(width: int) -> st.SearchStrategy[bytes]:
    return st.integers(0, 3).flatmap(lambda count: st.binary(min_size=count * width, max_size=count * width))


u64 = uints((1 << 64) - 1)
u32 = uints((1 << 32) - 1)
u128 = uints((1 << 128) - 1)
sizes = uints(MERGED_ENTRY_BYTES_MAX)
blobs = st.binary(max_size=40)
keys = st.one_of(st.binary(min_size=1, max_size=20), st.just(b"k" * KEY_BYTES_MAX)).map(
    lambda name: Key(bytes([Kind.KV]) + name)
)
dots = st.builds(Dot, u64.map(ReplicaId), u64)
carried = st.builds(m.Carried, keys, blobs)
offers = st.builds(m.Offer, keys, u128, sizes, tuples_of(dots))
known = st.builds(m.Known, u64.map(ReplicaId), u32.map(Generation), u64.map(StartNumber), u64)
states = st.sampled_from(MemberState)
incarnations = uints(INCARNATION_MAX)
standings = st.builds(Standing, u32.map(Generation), incarnations, states)
digests = st.builds(m.MemberDigest, u64.map(ReplicaId), u64, standings)
claims = st.builds(m.Claim, u64.map(ReplicaId), standings, u64.map(ReplicaId))
texts = st.sampled_from(["n", "é", "10.0.0.1:7701", "x" * 64])
short_texts = st.sampled_from(["n", "é", "x" * 32])
numbers = uints(NUMBER_MAX)
loads = st.builds(Load, numbers, numbers, numbers, numbers, numbers)
_replicas = st.integers(1, (1 << 64) - 1)
_generations = st.integers(1, (1 << 32) - 1)


def members_of(
    *,
    replicas: st.SearchStrategy[int] = _replicas,
    generations: st.SearchStrategy[int] = _generations,
    peers: st.SearchStrategy[str] = texts,
) -> st.SearchStrategy[Member]:
    return st.builds(
        Member,
        replicas.map(ReplicaId),
        generations.map(Generation),
        uints(VERSION_MAX),
        texts,
        peers.map(Address),
        texts,
        texts,
        st.just("") | short_texts,
        uints((1 << 16) - 1),
        tuples_of(st.tuples(short_texts, st.just("") | texts)),
        tuples_of(short_texts),
        loads,
        u128,
    )


def records_of(members: st.SearchStrategy[Member]) -> st.SearchStrategy[m.Record]:
    return st.builds(
        lambda member, incarnation, state: m.Record(member, Standing(member.generation, incarnation, state)),
        members,
        incarnations,
        states,
    )


def member_messages_of(records: st.SearchStrategy[m.Record]) -> dict[type, st.SearchStrategy[m.Message]]:
    """Of those that carry records."""
    return {
        m.MemberAck: st.builds(
            m.MemberAck,
            tuples_of(digests),
            tuples_of(records),
            tuples_of(claims),
            tuples_of(u64.map(ReplicaId)),
            st.booleans(),
        ),
        m.MemberAck2: st.builds(m.MemberAck2, tuples_of(records), tuples_of(claims)),
        m.MemberNews: news_of(records),
    }


def news_of(records: st.SearchStrategy[m.Record]) -> st.SearchStrategy[m.MemberNews]:
    return st.builds(m.MemberNews, tuples_of(records), tuples_of(claims))


records = records_of(members_of())
news = news_of(records)
wall_times = uints(STAMP_MS_MAX)
bits = uints(64)
children = st.builds(m.RangeChildren, u64, bits, packed(8))
rows = st.builds(m.RangeRows, u64, bits, packed(24))
positions = st.just(b"") | keys


def halves(load: Load, is_root: bool, count: int) -> Mass:
    mass = mass_of(load, is_root=is_root)
    for _ in range(count):
        mass = mass.halved()
    return mass


own_masses = st.builds(
    halves,
    st.builds(Load, *(uints((1 << 63) - 1) for _ in METRICS)),
    st.booleans(),
    st.sampled_from([0, 1, 99]),
)
masses = st.builds(Mass.plus, own_masses, own_masses)
epochs = uints((1 << 48) - 1)

MESSAGES: dict[type, st.SearchStrategy[m.Message]] = {
    m.Hello: st.builds(m.Hello, known, st.none() | known, st.booleans(), u64.map(StartNumber)),
    m.Ping: st.builds(m.Ping, u64, u64.map(ReplicaId), wall_times),
    m.Ack: st.builds(m.Ack, u64, u64, wall_times),
    m.PingReq: st.builds(m.PingReq, u64, u64.map(ReplicaId)),
    m.Nack: st.builds(m.Nack, u64),
    m.MemberSyn: st.builds(m.MemberSyn, tuples_of(digests), st.booleans()),
    **member_messages_of(records),
    m.RumorPush: st.builds(m.RumorPush, u64, tuples_of(carried), tuples_of(offers)),
    m.RumorAnswer: st.builds(m.RumorAnswer, u64, blobs),
    m.RumorPull: st.builds(m.RumorPull),
    m.ChunkAsk: st.builds(m.ChunkAsk, keys, u128, sizes),
    m.Chunk: st.builds(m.Chunk, keys, u128, sizes, blobs),
    m.ExchangeOpen: st.builds(m.ExchangeOpen, u64, u64, u128, u64, u128),
    m.ExchangeOpened: st.builds(m.ExchangeOpened, u64, u128, u64, u128, packed(8)),
    m.Compare: st.builds(m.Compare, u64, u64, tuples_of(children), tuples_of(rows)),
    m.Compared: st.builds(
        m.Compared,
        u64,
        u64,
        tuples_of(children),
        tuples_of(rows),
        tuples_of(carried),
        tuples_of(offers),
        packed(8),
        packed(9),
    ),
    m.Fetch: st.builds(m.Fetch, u64, u64, packed(16), positions),
    m.Fetched: st.builds(m.Fetched, u64, u64, tuples_of(carried), tuples_of(offers), u32, u64, positions),
    m.Give: st.builds(m.Give, u64, u64, tuples_of(carried), tuples_of(offers)),
    m.Given: st.builds(m.Given, u64, u64, u32),
    m.ClockShare: st.builds(m.ClockShare, u64, u64, u32, blobs, u128),
    m.ClockShared: st.builds(m.ClockShared, u64, u64, u32, blobs, u128),
    m.ExchangeOver: st.builds(m.ExchangeOver, u64, st.booleans()),
    m.RootAsk: st.builds(m.RootAsk, u64),
    m.RootAnswer: st.builds(m.RootAnswer, u64, u128, u64, u128),
    m.AggregatePush: st.builds(
        m.AggregatePush, epochs, u64.map(ReplicaId), u32, uints(codec.EPOCH_MS_MAX), masses
    ),
    m.AggregateAnswer: st.builds(m.AggregateAnswer, epochs, u64.map(ReplicaId), u32),
}
"""A message type without a strategy fails the suite."""

messages = st.one_of(list(MESSAGES.values()))
