"""All messages between replicas, as frozen values. One-way: an answer is another message.

Entries travel as opaque canonical bytes. An entry above ``inline_bytes_max`` is not carried but *offered*,
and fetched in chunks by who needs it. Lists of fixed-width things (fingerprints, rows of hashes) travel
packed in one bytes field, so that no frame decodes into many small objects.
"""

from dataclasses import dataclass
from typing import NamedTuple

from kvgossip.model.aggregate import Mass
from kvgossip.model.dot import Dot
from kvgossip.model.ids import Generation, Key, ReplicaId, StartNumber
from kvgossip.model.member import Member, Standing


class Carried(NamedTuple):
    """An entry, whole."""

    key: Key
    data: bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """An entry too large to carry: fetch it by ``ChunkAsk`` if its ``dots`` or ``digest`` are news to you."""

    key: Key
    digest: int
    size: int
    dots: tuple[Dot, ...]


# -- acquaintance ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """A start of a replica, and the greatest counter of it that is known."""

    replica: ReplicaId
    generation: Generation
    start_number: StartNumber
    counter: int


NO_START = StartNumber(0)


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a connection, answered until both have heard what the other knows of them.

    ``you`` is None until the sender has heard who the other one is; ``has_your_word`` is True once it has
    heard what the other knows of it. Both speak of ``your_start`` (``NO_START``: of none): who has started
    since then is not meant.
    """

    me: Known
    you: Known | None
    has_your_word: bool
    your_start: StartNumber


# -- failure detection (SWIM: Das, Gupta, Motivala 2002; nack: Dadgar, Phillips, Currey 2017) -------------


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there, ``target``? ``wall_ms``: the sender's raw wall time, filled in when it is sent."""

    sequence: int
    target: ReplicaId
    wall_ms: int = 0


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer, also of a helper for the one that it was asked to ping.

    ``table``: the fingerprint of the sender's member table.
    """

    sequence: int
    table: int
    wall_ms: int = 0


@dataclass(frozen=True, slots=True)
class PingReq:
    """Ping ``target`` for me."""

    sequence: int
    target: ReplicaId


@dataclass(frozen=True, slots=True)
class Nack:
    """The helper is well, and has not heard from the target in time."""

    sequence: int


# -- members (SYN, ACK, ACK2: van Renesse et al. 2008) ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody says of a member's life. ``by``: who suspects it; 0 in all other states."""

    replica: ReplicaId
    standing: Standing
    by: ReplicaId


@dataclass(frozen=True, slots=True)
class Record:
    """A member's record, and what the sender holds of its life."""

    member: Member
    standing: Standing


@dataclass(frozen=True, slots=True)
class MemberDigest:
    """A summary of one member: the version of its record, and its standing."""

    replica: ReplicaId
    version: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class MemberSyn:
    """``is_whole``: members that are not mentioned are unknown to the sender."""

    digests: tuple[MemberDigest, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class MemberAck:
    """What the SYN showed to be older at its sender, and what its sender is asked for.

    ``digests``: a part of the answering node's, unless the SYN was whole. ``has_more``: not all fitted.
    """

    digests: tuple[MemberDigest, ...]
    records: tuple[Record, ...]
    claims: tuple[Claim, ...]
    asked: tuple[ReplicaId, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class MemberAck2:
    records: tuple[Record, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class MemberNews:
    """What changed in the member table. Travels alone, or behind another message in its frame."""

    records: tuple[Record, ...]
    claims: tuple[Claim, ...]


# -- rumors (Demers et al. 1987) -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RumorPush:
    sequence: int
    entries: tuple[Carried, ...]
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class RumorAnswer:
    """One byte an item of the push, entries first: 1 if it was news, 0 if "knew that"."""

    sequence: int
    was_news: bytes


@dataclass(frozen=True, slots=True)
class RumorPull:
    """Tell me what is hot; answered by pushes, or by nothing if nothing is."""


# -- transfer of large entries ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChunkAsk:
    key: Key
    digest: int
    offset: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of an entry from ``offset``; empty if the sender no longer holds this version of it."""

    key: Key
    digest: int
    offset: int
    data: bytes


# -- anti-entropy exchange -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExchangeOpen:
    """Compare roots. ``salt`` blinds the truncated fingerprints of this exchange."""

    session: int
    salt: int
    root: int
    row_count: int
    clock_hash: int


@dataclass(frozen=True, slots=True)
class ExchangeOpened:
    """The answer, with the fingerprints of the first level below the root if the roots differ."""

    session: int
    root: int
    row_count: int
    clock_hash: int
    fingerprints: bytes


@dataclass(frozen=True, slots=True)
class RangeChildren:
    """The 32-bit fingerprints of the ranges one level below a range."""

    prefix: int
    bits: int
    fingerprints: bytes


@dataclass(frozen=True, slots=True)
class RangeRows:
    """All rows of a range, each as one number, of 16 bytes where the range has 16 bits.

    From the top: the bits of the hash behind those of the range, in whole bytes; 32 bits of the salted
    digest; 48 bits of the stamp, its milliseconds. They say who has the later entry; 0 where a merge needs
    both.
    """

    prefix: int
    bits: int
    rows: bytes


@dataclass(frozen=True, slots=True)
class Compare:
    """A request: say what differs in these ranges."""

    session: int
    sequence: int
    children: tuple[RangeChildren, ...]
    rows: tuple[RangeRows, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """The answer. For a range compared by children: its differing children, each by rows or split again.

    For a range compared by rows: the sender's entries that are other or more, and in ``wanted`` (8 bytes
    each) the hashes that it lacks. Differing children beyond what one answer describes are only named in
    ``undescribed`` (prefix and bits, 9 bytes each). What is not mentioned is equal.
    """

    session: int
    sequence: int
    children: tuple[RangeChildren, ...]
    rows: tuple[RangeRows, ...]
    entries: tuple[Carried, ...]
    offers: tuple[Offer, ...]
    wanted: bytes
    undescribed: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request for all entries in some ranges of hashes (16 bytes each, both ends included).

    ``after``: resume behind this key at the first hash of the first range; empty at the beginning.
    """

    session: int
    sequence: int
    ranges: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer: all of the first ``done_count`` ranges.

    If that is not all of them, the next one is sent up to the position (``next_hash``, ``next_after``).
    """

    session: int
    sequence: int
    entries: tuple[Carried, ...]
    offers: tuple[Offer, ...]
    done_count: int
    next_hash: int
    next_after: bytes


@dataclass(frozen=True, slots=True)
class Give:
    """A request to merge entries."""

    session: int
    sequence: int
    entries: tuple[Carried, ...]
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """The answer, once they are durable. ``refused_count`` of them could not be merged."""

    session: int
    sequence: int
    refused_count: int


@dataclass(frozen=True, slots=True)
class ClockShare:
    """A part of the clock that opened the exchange; empty if not every difference was settled.

    ``root`` is the sender's root by now. ``index`` counts parts from 0.
    """

    session: int
    sequence: int
    index: int
    clock: bytes
    root: int


@dataclass(frozen=True, slots=True)
class ClockShared:
    """The answer, with the same part of the answering node's clock, of ``part_count`` parts."""

    session: int
    sequence: int
    part_count: int
    clock: bytes
    root: int


@dataclass(frozen=True, slots=True)
class ExchangeOver:
    """The sender holds no such session, whoever opened it. ``is_busy``: it is in another one, try again soon.

    Otherwise it has ended it, or it restarted, or it answers too many already.
    """

    session: int
    is_busy: bool


# -- convergence check -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RootAsk:
    sequence: int


@dataclass(frozen=True, slots=True)
class RootAnswer:
    sequence: int
    root: int
    row_count: int
    clock_hash: int


# -- aggregates (push-sum: Kempe, Dobra, Gehrke 2003) ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class AggregatePush:
    """A half of what the sender held of an epoch, which is named by its number and who began it, ``root``.

    ``sequence`` names the share for its sender, who sends it again until it is answered. ``left_ms``: until
    the epoch ends.
    """

    epoch: int
    root: ReplicaId
    sequence: int
    left_ms: int
    mass: Mass


@dataclass(frozen=True, slots=True)
class AggregateAnswer:
    """The epoch that the answering node is in: it has taken the share if that is the share's."""

    epoch: int
    root: ReplicaId
    sequence: int


ExchangeRequest = Compare | Fetch | Give | ClockShare
ExchangeAnswer = Compared | Fetched | Given | ClockShared
ExchangeMessage = ExchangeOpen | ExchangeOpened | ExchangeRequest | ExchangeAnswer | ExchangeOver
Message = (
    Hello
    | Ping
    | Ack
    | PingReq
    | Nack
    | MemberSyn
    | MemberAck
    | MemberAck2
    | MemberNews
    | RumorPush
    | RumorAnswer
    | RumorPull
    | ChunkAsk
    | Chunk
    | ExchangeMessage
    | RootAsk
    | RootAnswer
    | AggregatePush
    | AggregateAnswer
)
