"""Members of the cluster, merged like data.

A member writes only its own record, under a *generation* (raised at every start) and a *version* (raised at
every change, and as a heartbeat). The merge is a maximum by (generation, version), as in Scuttlebutt (van
Renesse, Dumitriu, Gough, Thomas 2008), so records can travel by any path, any number of times, in any order.
"""

from dataclasses import dataclass, replace

from kvgossip.errors import EncodingError
from kvgossip.model.ids import Address, Generation, ReplicaId

NODE_NAME_CHARS_MAX = 64
ADDRESS_CHARS_MAX = 262
"""A DNS name has at most 255 characters; then a colon and a port."""


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
    has_left: bool = False

    def merge(self, other: "Member") -> "Member":
        """The later record; ``self`` if ``other`` is no news."""
        return other if other._rank() > self._rank() else self

    def is_restart_of(self, old: "Member") -> bool:
        """True if this is a later start of the same replica."""
        return self.generation > old.generation

    def differs_durably(self, old: "Member") -> bool:
        """True if more than the heartbeat changed: then the member table on disk is written."""
        return replace(self, version=old.version) != old

    def check(self) -> None:
        """Raise ``EncodingError`` unless every field is within its bounds. For records of peers."""
        texts = (
            (self.name, NODE_NAME_CHARS_MAX),
            (self.peer, ADDRESS_CHARS_MAX),
            (self.api, ADDRESS_CHARS_MAX),
            (self.software, NODE_NAME_CHARS_MAX),
        )
        if not all(0 < len(text) <= limit and text.isprintable() for text, limit in texts):
            raise EncodingError("a member's name or address is empty, too long or not printable")
        if not (0 < self.replica < 1 << 64 and 0 < self.generation < 1 << 32 and 0 <= self.version < 1 << 48):
            raise EncodingError("a member's replica id, generation or version is out of range")

    def _rank(self) -> tuple[object, ...]:
        return (self.generation, self.version, self.has_left, self.name, self.peer, self.api, self.software)
