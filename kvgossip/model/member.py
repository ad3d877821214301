"""Members of the cluster, merged like data.

Two joins a member. Its *record* is what it says of itself: only it writes one, under a generation (raised at
every start) and a version (raised at every change); the merge is a maximum by (generation, version), as in
Scuttlebutt (van Renesse, Dumitriu, Gough, Thomas 2008). Its *standing* is what the cluster says of its life,
a maximum by (generation, incarnation, state): anybody may claim a worse state of the present incarnation,
only the member itself raises the incarnation, and so refutes (SWIM: Das, Gupta, Motivala 2002). We leave the
paper where it lets *down* outrank every incarnation: see ADR 0019. Both can travel by any path, any number of
times, in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum

from kvgossip.config import WIRE_VERSION
from kvgossip.errors import EncodingError
from kvgossip.model.ids import Address, Generation, ReplicaId

NODE_NAME_CHARS_MAX = 64
ADDRESS_CHARS_MAX = 262
"""A DNS name has at most 255 characters; then a colon and a port."""
ZONE_CHARS_MAX = 32
TAGS_MAX = 16
TAG_KEY_CHARS_MAX = 32
TAG_VALUE_CHARS_MAX = 64
TROUBLES_MAX = 8
TROUBLE_CHARS_MAX = 32
TEXT_BYTES_MAX = 3 << 10
"""Of all texts of a member together: a record must fit half a message, or it would never be told."""
TROUBLES_BYTES = TROUBLES_MAX * TROUBLE_CHARS_MAX
"""Of these, kept free for troubles: a node whose tags left no room for them would tell, on the day that it is
in trouble, a record that all others refuse."""
VERSION_MAX = (1 << 48) - 1
INCARNATION_MAX = (1 << 24) - 1
"""One a second, for half a year without a restart: whoever claims more is lying."""
NUMBER_MAX = (1 << 63) - 1


class MemberState(IntEnum):
    """In the order in which one outranks another within an incarnation."""

    ALIVE = 0
    SUSPECT = 1
    DOWN = 2
    LEFT = 3
    FORGOTTEN = 4


@dataclass(frozen=True, slots=True)
class Standing:
    """What is claimed of a member's life."""

    generation: Generation
    incarnation: int = 0
    state: MemberState = MemberState.ALIVE

    def merge(self, other: "Standing") -> "Standing":
        """The later claim; ``self`` if ``other`` is no news."""
        return other if other.outranks(self) else self

    def outranks(self, other: "Standing") -> bool:
        return self._rank() > other._rank()

    @property
    def is_present(self) -> bool:
        """True if the member is spoken to: a suspect is innocent until it is down."""
        return self.state <= MemberState.SUSPECT

    def worsened(self, state: MemberState) -> "Standing":
        """The claim of ``state`` about the same incarnation."""
        return replace(self, state=state)

    def refuted(self) -> "Standing":
        """What the member itself answers to this claim. Raises ``EncodingError`` after the last one."""
        if self.incarnation >= INCARNATION_MAX:
            raise EncodingError(f"incarnation {self.incarnation} cannot be refuted")
        return Standing(self.generation, self.incarnation + 1)

    def check(self) -> None:
        """Raise ``EncodingError`` unless every field is within its bounds. For claims of peers."""
        if not (0 < self.generation < 1 << 32 and 0 <= self.incarnation <= INCARNATION_MAX):
            raise EncodingError("a claim's generation or incarnation is out of range")

    def _rank(self) -> tuple[int, int, int]:
        return (self.generation, self.incarnation, self.state)


@dataclass(frozen=True, slots=True)
class Load:
    """What a node tells of its load now and then; the metrics that are aggregated."""

    keys: int = 0
    writes_per_s: int = 0
    cpu_permille: int = 0
    """Of one core."""
    memory_bytes: int = 0
    disk_free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """What a node says of itself. ``peer`` and ``api`` are ``host:port``."""

    replica: ReplicaId
    generation: Generation
    version: int
    name: str
    peer: Address
    api: str
    software: str
    zone: str = ""
    wire_version: int = WIRE_VERSION
    tags: tuple[tuple[str, str], ...] = ()
    """Sorted by key."""
    troubles: tuple[str, ...] = ()
    """Why it should not be chosen to serve, by stable names such as ``disk-full``; sorted."""
    load: Load = field(default_factory=Load)
    root: int = 0
    """The fingerprint of all its entries, some seconds old."""

    @property
    def is_fit(self) -> bool:
        """True if it can serve. One that is alive and cannot is a zombie."""
        return not self.troubles

    def merge(self, other: "Member") -> "Member":
        """The later record; ``self`` if ``other`` is no news."""
        return other if other._rank() > self._rank() else self

    def is_restart_of(self, old: "Member") -> bool:
        """True if this is a later start of the same replica."""
        return self.generation > old.generation

    def differs_durably(self, old: "Member") -> bool:
        """True if more than what comes and goes has changed: then the member table on disk is written."""
        return self._durable() != old._durable()

    def check(self) -> None:
        """Raise ``EncodingError`` unless every field is within its bounds. For records of peers."""
        needed = (
            (self.name, NODE_NAME_CHARS_MAX),
            (self.peer, ADDRESS_CHARS_MAX),
            (self.api, ADDRESS_CHARS_MAX),
            (self.software, NODE_NAME_CHARS_MAX),
            *((trouble, TROUBLE_CHARS_MAX) for trouble in self.troubles),
        )
        if not all(text for text, _ in needed):
            raise EncodingError("a member's name, address or trouble is empty")
        if not all(_fits(text, limit) for text, limit in (*needed, (self.zone, ZONE_CHARS_MAX))):
            raise EncodingError("a text of a member is too long or not printable")
        if len(self.troubles) > TROUBLES_MAX:
            raise EncodingError(f"a member has more than {TROUBLES_MAX} troubles")
        check_tags(self.tags)
        names = (self.name, self.peer, self.api, self.software, self.zone)
        bytes_count = _bytes(names) + sum(map(_bytes, self.tags))
        bytes_max = TEXT_BYTES_MAX - TROUBLES_BYTES
        if bytes_count > bytes_max or bytes_count + _bytes(self.troubles) > TEXT_BYTES_MAX:
            raise EncodingError(f"the texts of a member have more than {bytes_max:,} bytes together")
        if not (0 < self.replica < 1 << 64 and 0 < self.generation < 1 << 32):
            raise EncodingError("a member's replica id or generation is out of range")
        if not (0 <= self.version <= VERSION_MAX and 0 <= self.wire_version < 1 << 16):
            raise EncodingError("a member's version is out of range")

    def _durable(self) -> tuple[object, ...]:
        texts = (self.name, self.peer, self.api, self.software, self.zone)
        return (self.generation, texts, self.wire_version, self.tags)

    def _rank(self) -> tuple[object, ...]:
        load = self.load
        numbers = (load.keys, load.writes_per_s, load.cpu_permille, load.memory_bytes, load.disk_free_bytes)
        durable = self._durable()[1:]
        return (self.generation, self.version, durable, self.troubles, numbers, self.root)


def check_tags(tags: tuple[tuple[str, str], ...]) -> None:
    """Raise ``EncodingError`` unless each is within its bounds."""
    if len(tags) > TAGS_MAX:
        raise EncodingError(f"{len(tags)} tags: at most {TAGS_MAX} are allowed")
    for key, value in tags:
        if not (key and _fits(key, TAG_KEY_CHARS_MAX) and _fits(value, TAG_VALUE_CHARS_MAX)):
            raise EncodingError(
                f"the key of a tag has 1 to {TAG_KEY_CHARS_MAX} printable characters,"
                f" its value at most {TAG_VALUE_CHARS_MAX}"
            )


def _bytes(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _fits(text: str, chars_max: int) -> bool:
    return len(text) <= chars_max and text.isprintable()


@dataclass(frozen=True, slots=True)
class MemberRow:
    """What a node keeps of a member on its disk. ``since_wall_ms``: when its standing became this one."""

    member: Member
    standing: Standing
    since_wall_ms: int
