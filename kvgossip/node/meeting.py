"""Meeting peers: what a node does when another one comes, says who it is, falls silent or goes.

The seam between ``Peers``, which knows the other nodes, and the machines that talk to them: nothing else of
a node hears of a change among its members.
"""

from collections.abc import Sequence

from kvgossip.model.ids import Address, format_id
from kvgossip.node.copy_watch import CopyWatch
from kvgossip.node.effects import Now
from kvgossip.node.exchanges import Exchanges
from kvgossip.node.journal import Journal
from kvgossip.node.myself import Myself
from kvgossip.node.peers import Peers
from kvgossip.protocol.member_table import MEMBERS_MAX, addresses
from kvgossip.protocol.membership import MemberMessage
from kvgossip.protocol.rumor import RumorMonger
from kvgossip.wire import messages as m

REFUSED_TOLD_MS = 60_000
"""That strangers are refused is told at most so often."""


class Meeting:
    """Hands what peers say of themselves to ``Peers``, and what follows from it to the machines."""

    def __init__(
        self,
        peers: Peers,
        me: Myself,
        *,
        copies: CopyWatch,
        rumors: RumorMonger,
        exchanges: Exchanges,
        journal: Journal,
    ) -> None:
        self._peers = peers
        self._me = me
        self._copies = copies
        self._rumors = rumors
        self._exchanges = exchanges
        self._journal = journal
        self._refused_count, self._refused_told_ms = 0, 0

    # -- inputs

    def set_seeds(self, seeds: Sequence[Address]) -> None:
        self._peers.membership.set_seeds(seeds)

    def greet(self, to: Address) -> None:
        self._peers.acquaintances.greet(to, self._me.known())

    def receive_hello(self, sender: Address, hello: m.Hello, now_ms: int) -> None:
        was = self._peers.acquaintances.renewed_at(sender, hello.me)
        is_new, copied = self._peers.receive_hello(
            sender, hello, self._me.known(), counter_told=self._me.counter_told
        )
        if copied is not None:
            self._copies.found(copied)
            self.greet(sender)
        if is_new:
            self._exchanges.handle_new_start(sender)
        if was is not None:
            self._journal.tell(
                "peer-was-copy",
                peer=sender,
                replica=format_id(hello.me.replica),
                reason=f"its directory is a copy of that of {format_id(was)}: it goes on as a new replica",
            )
        self._peers.handle_heard(sender, now_ms)

    def admits(self, sender: Address, message: m.Message) -> bool:
        """True if ``sender`` has said enough of itself for this message; else it is asked to."""
        if self._peers.accepts(sender, message):
            return True
        self._journal.count("frames_before_hello")
        self.greet(sender)
        return False

    def receive(self, sender: Address, message: MemberMessage, now: Now) -> None:
        self._peers.receive(sender, message, now)

    def handle_heard(self, sender: Address, now_ms: int) -> None:
        """Any frame came from ``sender``."""
        self._peers.handle_heard(sender, now_ms)

    def handle_send_failed(self, to: Address, now_ms: int) -> None:
        self._peers.handle_send_failed(to, now_ms)

    def handle_late(self, now_ms: int) -> None:
        self._peers.handle_late(now_ms)

    def handle_timer(self, now: Now) -> None:
        self._peers.handle_timer(now)
        self._vote_on_clock()

    def is_far(self, address: Address) -> bool:
        """True if a member of another zone is at ``address``."""
        return self._peers.is_far(address)

    def next_deadline_ms(self) -> int | None:
        return self._peers.membership.next_deadline_ms()

    def check_invariants(self) -> None:
        self._peers.membership.check_invariants()

    # -- after every input

    def react(self, now: Now) -> None:
        """Tell the log and the machines what has changed among the members."""
        table = self._peers.membership.table
        if table.found_copy:
            table.found_copy = False
            self._copies.found("a later start of the same replica is a member")
        if table.strangers_refused > self._refused_count and now.monotonic_ms >= self._refused_told_ms:
            self._tell_refused(table.strangers_refused, now.monotonic_ms)
        changes = self._peers.take_changes(now)
        for change, event in changes:
            self._journal.notify(event)
            if change.kind == "suspect":
                self._journal.count("suspicions")
        if any(change.kind != "suspect" for change, _ in changes):
            self._set_targets()
            self._vote_on_clock()
        for change, _ in changes:
            if change.kind == "alive":
                self._exchanges.meet(change.member.peer, now.monotonic_ms)

    def stage_all(self) -> None:
        """Write this node's identity and all members again."""
        self._me.stage()
        self._peers.stage_all()

    def _tell_refused(self, count: int, now_ms: int) -> None:
        self._journal.tell("members-refused", count=count - self._refused_count, limit=MEMBERS_MAX)
        self._refused_count, self._refused_told_ms = count, now_ms + REFUSED_TOLD_MS

    def _vote_on_clock(self) -> None:
        """Who votes may have changed, or what they say: no longer than that is anybody's clock gone by."""
        voted = self._peers.vote_on_clock()
        if voted is not None:
            self._journal.notify(voted)

    def _set_targets(self) -> None:
        """Who is live may have changed. Data is fetched from those that can serve, if there are any."""
        table = self._peers.membership.table
        live = list(table.live())
        fit = [peer for peer in live if peer.member.is_fit] or live
        far = addresses(peer for peer in live if peer.member.zone != table.me.zone)
        fit_far = addresses(peer for peer in fit if peer.member.zone != table.me.zone)
        self._rumors.set_targets(addresses(live), far)
        self._exchanges.schedule.set_targets(addresses(fit), fit_far)
