"""What a replica asks of its world, as values; and what it answers to its callers."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, NewType

from kvgossip.errors import CorruptRowError, EncodingError
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.ids import Address, Key
from kvgossip.model.member import Member, Standing
from kvgossip.model.stamp import Stamp
from kvgossip.node.status import Checked
from kvgossip.store.base import Batch


class Now(NamedTuple):
    """The two clocks of the world: one that never goes back, and one that people read."""

    monotonic_ms: int
    wall_ms: int


Ticket = NewType("Ticket", int)
"""Names one local write until its ``Done``."""


class Written(NamedTuple):
    """A local write is durable. ``etag`` is the entry's version; ``created``: no live value was here before.

    ``context`` is the vector of the entry, for ``mv`` keys; None for ``kv``.
    """

    dot: Dot
    stamp: Stamp
    etag: str
    created: bool
    context: VersionVector | None


@dataclass(frozen=True, slots=True)
class Condition:
    """What a client demands of the entry that it replaces, as this node holds it (RFC 9110, section 13.1).

    Versions without quotes; ``("*",)`` means any live value, and None no demand.
    """

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None

    def holds(self, etag: str | None, *, is_live: bool) -> bool:
        """``etag``: the version of the entry; a tombstone's is matched by nothing, as there is no value."""
        if self.if_match is not None and not _matches(self.if_match, etag, is_live):
            return False
        return self.if_none_match is None or not _matches(self.if_none_match, etag, is_live)


def _matches(etags: tuple[str, ...], etag: str | None, is_live: bool) -> bool:
    return is_live and (etags == ("*",) or etag in etags)


class Refusal(Enum):
    """Why a local write stored nothing (but for ``OUTCOME_UNKNOWN``, which may have)."""

    TOO_MANY_SIBLINGS = "too-many-siblings"
    ENTRY_TOO_LARGE = "entry-too-large"
    DISK_FULL = "disk-full"
    DISK_FAILED = "disk-failed"
    OUTCOME_UNKNOWN = "outcome-unknown"
    READ_ONLY = "read-only"
    OVERLOADED = "overloaded"
    STAMPS_EXHAUSTED = "stamps-exhausted"
    PRECONDITION_FAILED = "precondition-failed"


@dataclass(frozen=True, slots=True)
class Refused:
    """A local write was refused. ``context`` lets an ``mv`` client resolve what stands in its way."""

    reason: Refusal
    detail: str
    context: VersionVector | None = None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of each of the writes that were begun together, in order.

    A row that cannot be read fails the write that would replace it, and no other.
    """

    of_each: tuple[Written | Refused | CorruptRowError | EncodingError, ...]

    @staticmethod
    def refused(refused: Refused, count: int) -> "Outcomes":
        """The same for each of ``count`` writes."""
        return Outcomes((refused,) * count)


@dataclass(frozen=True, slots=True)
class Left:
    """This node has announced that it leaves to ``told_count`` live peers.

    ``unshared_count``: news that no peer has answered for, so that it may be on this node's disk alone.
    """

    told_count: int
    unshared_count: int


Result = Written | Refused | Outcomes | Checked | Left


@dataclass(frozen=True, slots=True)
class Commit:
    """Perform ``store.write(batch)``; then call ``handle_committed`` or ``handle_commit_failed``.

    There is never a second one before that answer.
    """

    batch: Batch


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to a ticket. It may be shown to the client."""

    ticket: Ticket
    result: Result


@dataclass(frozen=True, slots=True)
class Send:
    """Carry ``data`` to the node at ``to``, in order, at most once. ``is_bulk`` may be overtaken."""

    to: Address
    data: bytes
    is_bulk: bool


@dataclass(frozen=True, slots=True)
class Visible:
    """A read now shows these dots of a key; for traces and watches."""

    key: Key
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Replicated:
    """Entries from peers are visible by now; ``lags_ms``: how long ago each was written, by its stamp."""

    lags_ms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A change of state that a person may want to read in a log: one line a change, never one a round.

    ``name`` is a stable identifier such as ``member-alive``; ``fields`` are plain values.
    """

    name: str
    fields: dict[str, str | int]


@dataclass(frozen=True, slots=True)
class MemberEvent(Event):
    """A change among the other members; ``name`` is ``member-`` and the kind of a ``MemberChange``.

    ``member`` and ``standing`` are as they were then: by now there may be later ones.
    """

    member: Member
    standing: Standing


@dataclass(frozen=True, slots=True)
class Notify:
    event: Event | Visible | Replicated


Effect = Commit | Done | Send | Notify
