"""Acquaintance: who answers at which address, told by the first message of a connection.

The runtime has proven only that the other side holds the cluster secret. A ``Hello`` says which replica it
is, which start of it, and what its sender knows of the other one. Nothing else is accepted from an address
before its Hello; a frame without one is answered by ours, so a lost Hello costs one frame.

A peer that knows this node's replica id with a higher generation, with another start number of the same one,
or with more dots than this node has issued, shows that this node is a copy of a data directory.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from kvgossip.model.ids import Address, ReplicaId
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import Hello, Known

Greatest = Callable[[ReplicaId], int]
"""The greatest counter of a replica that this node has seen."""


@dataclass(slots=True)
class _Acquaintance:
    """Who is at an address, and whether it has been told what we know of it."""

    known: Known | None = None
    was_told: bool = False


class Acquaintances:
    """All addresses that were heard from or spoken to in this start."""

    def __init__(self, outbox: Outbox, greatest: Greatest) -> None:
        self._outbox = outbox
        self._greatest = greatest
        self._at: dict[Address, _Acquaintance] = {}
        self._latest: dict[ReplicaId, Known] = {}

    def replica_at(self, address: Address) -> ReplicaId | None:
        """The replica that said Hello from ``address``; None if none has since the last connection."""
        acquaintance = self._at.get(address)
        return None if acquaintance is None or acquaintance.known is None else acquaintance.known.replica

    def is_stranger(self, address: Address) -> bool:
        """True if nothing was ever heard from or said to ``address``: then a Hello goes first."""
        return address not in self._at

    def handle_connected(self, to: Address, me: Known) -> None:
        """A new connection: both sides introduce themselves anew."""
        self._at[to] = _Acquaintance()
        self.greet(to, me)

    def greet(self, to: Address, me: Known) -> None:
        """Say Hello, with what is known of whoever is there."""
        known = self._at.setdefault(to, _Acquaintance()).known
        self._outbox.send(to, Hello(me, None if known is None else self._told(known)))

    def handle_hello(self, sender: Address, hello: Hello, me: Known) -> bool:
        """Take it in, and answer until both sides have told what they know of the other.

        True if another replica, or another start of the same, is at this address now.
        """
        acquaintance = self._at.setdefault(sender, _Acquaintance())
        old = acquaintance.known
        is_new = old is None or (old.replica, old.start_number) != (hello.me.replica, hello.me.start_number)
        told = self._told(hello.me)
        acquaintance.known = hello.me
        if is_new or not acquaintance.was_told or hello.you is None:
            acquaintance.was_told = True
            self._outbox.send(sender, Hello(me, told))
        return is_new

    def _told(self, known: Known) -> Known:
        """The latest start of a replica that was heard of, and the most of its dots."""
        latest = self._latest.get(known.replica)
        if latest is None or known.generation > latest.generation:
            latest = known
        counter = max(latest.counter, known.counter, self._greatest(known.replica))
        self._latest[known.replica] = replace(latest, counter=counter)
        return self._latest[known.replica]


def shows_copy(me: Known, you: Known) -> bool:
    """True if ``you``, what a peer knows of this replica id, cannot come from this node's own past."""
    if you.replica != me.replica:
        return False
    is_twin = you.generation == me.generation and you.start_number != me.start_number
    return is_twin or you.generation > me.generation or you.counter > me.counter
