"""A node's orderly end: what is hot is handed to a peer first, then all live peers are told that it leaves.

In this order, because peers stop talking to a member that has left. News counts as handed on once one peer
has answered for it; after ``LEAVE_TIMEOUT_MS`` the node leaves all the same, since what it acknowledged is on
its disk. A crash announces nothing: a member that is silent is down, not left.
"""

from kvgossip.node.effects import Done, Left, Ticket
from kvgossip.protocol.membership import Membership
from kvgossip.protocol.rumor import RumorMonger

LEAVE_TIMEOUT_MS = 1_000


class Leaving:
    """Nothing until ``begin``; then one ``Done``."""

    def __init__(self, membership: Membership, rumors: RumorMonger) -> None:
        self._membership = membership
        self._rumors = rumors
        self._ticket: Ticket | None = None
        self._deadline_ms: int | None = None

    def begin(self, ticket: Ticket, now_ms: int) -> None:
        self._ticket = ticket
        self._deadline_ms = now_ms + LEAVE_TIMEOUT_MS
        self._rumors.hurry(now_ms)

    def take_ended(self, now_ms: int) -> list[Done]:
        """Announce the leave if the news is handed on, nobody is there to take it, or the time is up."""
        if self._ticket is None or self._deadline_ms is None:
            return []
        live_count = len(self._membership.live_addresses())
        unshared_count = self._rumors.unshared_count
        if live_count and unshared_count and now_ms < self._deadline_ms:
            return []
        self._membership.leave()
        done = Done(self._ticket, Left(told_count=live_count, unshared_count=unshared_count))
        self._ticket = self._deadline_ms = None
        return [done]

    def next_deadline_ms(self) -> int | None:
        return self._deadline_ms
