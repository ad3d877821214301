"""Acquaintance: who answers at which address, told by the first message of a connection.

The runtime has proven only that the other side holds the cluster secret. A ``Hello`` says which replica it
is, which start of it, and what its sender knows of the other one. Nothing else is accepted from an address
before its Hello; a frame without one is answered by ours, so a lost Hello costs one frame.

A peer that knows this node's replica id with a higher generation, with another start number of the same one,
or with more dots than this node has issued, shows that this node is a copy of a data directory.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from kvgossip.model.ids import Address, Generation, ReplicaId, StartNumber
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import NO_START, Hello, Known

REPLICAS_MAX = 4_096
"""Of so many replicas, the last heard of, it is known which start was there before."""
TWINS_TOLD_MAX = 4
"""A replica lives at one address, and at two or three while a copy has not found out."""

Greatest = Callable[[ReplicaId], int]
"""The greatest counter of a replica that this node has seen."""


@dataclass(slots=True)
class _Acquaintance:
    """Who is at an address, and whether it has told us what it knows of us."""

    known: Known | None = None
    has_its_word: bool = False


class Acquaintances:
    """All addresses that were heard from or spoken to in this start."""

    def __init__(self, outbox: Outbox, greatest: Greatest) -> None:
        self._outbox = outbox
        self._greatest = greatest
        self._at: dict[Address, _Acquaintance] = {}
        self._latest: dict[ReplicaId, Known] = {}
        self._before: dict[ReplicaId, Known] = {}

    def replica_at(self, address: Address) -> ReplicaId | None:
        """The replica that said Hello from ``address``; None if none has since the last connection."""
        acquaintance = self._at.get(address)
        return None if acquaintance is None or acquaintance.known is None else acquaintance.known.replica

    def has_word_of(self, address: Address) -> bool:
        """True once whoever is at ``address`` has told what it knows of this node: then data may go there."""
        acquaintance = self._at.get(address)
        return acquaintance is not None and acquaintance.has_its_word

    def is_stranger(self, address: Address) -> bool:
        """True if nothing was ever heard from or said to ``address``: then a Hello goes first."""
        return address not in self._at

    def renewed_at(self, address: Address, known: Known) -> ReplicaId | None:
        """Which replica ``known`` was until now, if it has found that it is a copy; None if it has not.

        The same start of a process under another replica id: nothing else leads to that.
        """
        acquaintance = self._at.get(address)
        old = None if acquaintance is None else acquaintance.known
        if old is None or old.start_number != known.start_number or old.replica == known.replica:
            return None
        return old.replica

    def handle_new_identity(self) -> None:
        """This node is another replica from now on: nobody has told what it knows of that one."""
        for acquaintance in self._at.values():
            acquaintance.has_its_word = False

    def greet(self, to: Address, me: Known) -> None:
        """Say Hello, as at every new connection. Who was there stays known until another start says Hello:
        a new start is a stranger to everybody, so a Hello is the first that comes from it.
        """
        self._outbox.send(to, self.hello_for(to, me))

    def hello_for(self, to: Address, me: Known) -> Hello:
        """A Hello with what is known of whoever is at ``to``."""
        acquaintance = self._at.setdefault(to, _Acquaintance())
        known = acquaintance.known
        if known is None:
            return Hello(me, None, acquaintance.has_its_word, NO_START)
        return Hello(me, self._told(known), acquaintance.has_its_word, known.start_number)

    def handle_hello(self, sender: Address, hello: Hello, me: Known) -> bool:
        """Take it in, and answer until both sides have told what they know of the other.

        True if another replica, or another start of the same, is at this address now.
        """
        acquaintance = self._at.setdefault(sender, _Acquaintance())
        old, acquaintance.known = acquaintance.known, hello.me
        is_new = old is None or (old.replica, old.start_number) != (hello.me.replica, hello.me.start_number)
        if is_new:
            acquaintance.has_its_word = False
        means_me = hello.your_start == me.start_number  # and no earlier start, of which it heard last
        if means_me and hello.you is not None and hello.you.replica == me.replica:
            acquaintance.has_its_word = True
        told = self._told(hello.me)
        if not (means_me and hello.has_your_word):
            self._outbox.send(sender, Hello(me, told, acquaintance.has_its_word, hello.me.start_number))
        if is_new:
            self._tell_twins(sender, hello.me, me)
        return is_new

    def _tell_twins(self, sender: Address, known: Known, me: Known) -> None:
        """Whoever was known by the same replica id elsewhere hears of this start."""
        twins = [
            address
            for address, other in self._at.items()
            if other.known is not None and other.known.replica == known.replica and address != sender
        ]
        for address in twins[:TWINS_TOLD_MAX]:
            self.greet(address, me)

    def _told(self, known: Known) -> Known:
        """What was known of a replica before its present start was first heard of.

        That is what shows a copy: what is known by now may come from the present start itself.
        """
        latest = self._latest.get(known.replica)
        if latest is not None and latest.start_number == known.start_number:
            return self._before[known.replica]
        if latest is not None and known.generation < latest.generation:
            return latest  # an older start than the one that is known: a copy without doubt
        before = latest or Known(known.replica, Generation(0), StartNumber(0), 0)
        counter = max(before.counter, self._greatest(known.replica))
        self._before[known.replica] = replace(before, counter=counter)
        self._latest[known.replica] = known
        if len(self._latest) > REPLICAS_MAX:
            oldest = next(iter(self._latest))
            del self._latest[oldest], self._before[oldest]
        return self._before[known.replica]


def shows_copy(me: Known, you: Known, *, counter_told: int) -> bool:
    """True if ``you``, what a peer knows of this replica id, cannot come from this node's own past.

    ``counter_told``: the greatest counter that a peer can know of this replica without having met this start
    of it: what it had issued at its start, or since then sent to anybody.
    """
    if you.replica != me.replica:
        return False
    if you.start_number == me.start_number:
        return you.counter > me.counter
    return you.generation >= me.generation or you.counter > counter_told
