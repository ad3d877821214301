"""Fault injection between this node and named peers: frames vanish, as behind a firewall that drops.

It sits below the protocol and above the socket: what goes to a cut peer is thrown away without a word, what
comes from one is not shown to anybody, and a handshake with one hangs. So the replica, and a person who
watches it, see what a cut network shows. Exists only in a node started with ``--allow-faults``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kvgossip.model.ids import Address


@dataclass(slots=True)
class Faults:
    """Which peers are cut off, by the address that they advertise, and what that has dropped so far."""

    _to: frozenset[Address] = field(default=frozenset())
    _from: frozenset[Address] = field(default=frozenset())
    frames_dropped_to: int = 0
    frames_dropped_from: int = 0
    handshakes_dropped: int = 0
    """Handshakes that hung, for a while or for good."""

    @property
    def dropping_to(self) -> frozenset[Address]:
        return self._to

    @property
    def dropping_from(self) -> frozenset[Address]:
        return self._from

    def replace(self, *, to: Iterable[Address], from_: Iterable[Address]) -> None:
        """Drop exactly this from now on; two empty lists heal everything. The counters stay."""
        self._to = frozenset(to)
        self._from = frozenset(from_)

    def drops_to(self, peer: Address) -> bool:
        """True if a frame to ``peer`` must vanish; then it is counted."""
        if peer not in self._to:
            return False
        self.frames_dropped_to += 1
        return True

    def drops_from(self, peer: Address) -> bool:
        """True if a frame from ``peer`` must vanish; then it is counted."""
        if peer not in self._from:
            return False
        self.frames_dropped_from += 1
        return True

    def cuts(self, peer: Address) -> bool:
        """A handshake needs both directions: one that is cut is enough for it to hang."""
        return peer in self._to or peer in self._from
