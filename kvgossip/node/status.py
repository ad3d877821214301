"""What a replica tells about itself, as plain values for ``/v1/status``, logs and tests."""

from dataclasses import dataclass

from kvgossip.model.clock import NodeClock
from kvgossip.model.ids import Generation, ReplicaId, StartNumber
from kvgossip.model.member import Member


@dataclass(frozen=True, slots=True)
class Census:
    """What a whole walk through the entries counted; not of one moment, and some minutes old."""

    key_count: int = 0
    """Keys with at least one value; one that has expired counts."""
    tombstone_count: int = 0
    """Keys without any value."""
    sibling_count: int = 0
    """Values of keys that have more than one."""


@dataclass(frozen=True, slots=True)
class Status:
    """One node, as of its last commit."""

    name: str
    cluster: str
    software: str
    replica: ReplicaId
    generation: Generation
    start_number: StartNumber
    root: str
    """32 hexadecimal digits: the fingerprint of all entries. Equal on two nodes exactly if they agree."""
    entry_count: int
    """Tombstones included."""
    clock: NodeClock
    is_started: bool
    """False until the identity of this start is durable; until then nothing is sent or answered."""
    read_only_because: str | None
    """Set once a commit's outcome is unknown; then writes are refused until a restart."""
    clock_correction_ms: int
    """What is added to this node's wall clock because most others' differ from it; 0 if it is right."""
    hot_rumor_count: int
    census: Census | None
    """None before the first walk has ended."""
    counters: dict[str, int]
    """Totals since the start by stable names such as ``frames_refused`` or ``exchange_bytes_sent``."""


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A member as this node sees it. ``heard_ms_ago`` is None if it was never heard of in this start."""

    member: Member
    state: str
    """``alive``, ``suspect``, ``down`` or ``left``."""
    incarnation: int
    heard_ms_ago: int | None
    phi: float
    """How unlikely its silence is, by its history: 8 is one in a hundred million."""
    round_trip_ms: int | None
    """Of the last probe that it answered itself."""
    is_self: bool


@dataclass(frozen=True, slots=True)
class MemberRoot:
    """A member's answer to a convergence check; ``root`` is None if it gave none in time."""

    replica: ReplicaId
    name: str
    state: str
    root: str | None
    entry_count: int
    clock_hash: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The answers of all members that have not left, this node's first."""

    members: tuple[MemberRoot, ...]

    @property
    def converged(self) -> bool:
        """True if every member answered and all roots are equal."""
        roots = {answer.root for answer in self.members}
        return len(roots) == 1 and None not in roots
