"""The convergence check of an operator: every member's root, side by side."""

from collections.abc import Callable
from dataclasses import replace

from kvgossip.model.ids import Address, ReplicaId
from kvgossip.model.member import MemberState, Standing
from kvgossip.node.effects import Done, Ticket
from kvgossip.node.local_writes import format_etag
from kvgossip.node.staging import Staging
from kvgossip.node.status import Checked, MemberRoot
from kvgossip.protocol.member_table import Peer, addresses
from kvgossip.protocol.membership import Membership
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.root_check import RootCheck, RootChecks
from kvgossip.store.base import Store
from kvgossip.wire.messages import RootAnswer, RootAsk

ReplicaAt = Callable[[Address], ReplicaId | None]


class ConvergenceChecks:
    """Checks under way, and the ticket of each."""

    def __init__(
        self,
        membership: Membership,
        replica_at: ReplicaAt,
        outbox: Outbox,
        *,
        store: Store,
        staging: Staging,
    ) -> None:
        self._membership = membership
        self._replica_at = replica_at
        self._outbox = outbox
        self._store = store
        self._staging = staging
        self._checks = RootChecks(outbox)
        self._tickets: dict[int, Ticket] = {}

    def begin(self, ticket: Ticket, now_ms: int) -> None:
        """Ask every member that has not left."""
        check = self._checks.begin(addresses(self._asked()), now_ms)
        self._tickets[check.sequence] = ticket

    def handle_ask(self, sender: Address, ask: RootAsk) -> None:
        """Another node checks."""
        root = self._store.tree.root
        clock_hash = self._staging.committed_clock_hash
        self._outbox.send(sender, RootAnswer(ask.sequence, root.sum, root.row_count, clock_hash))

    def handle_answer(self, sender: Address, answer: RootAnswer) -> None:
        self._checks.handle_answer(sender, answer)

    def take_ended(self, now_ms: int) -> list[Done]:
        """Checks that all have answered, or whose time is up; the own answer is read at the end."""
        return [
            Done(self._tickets.pop(check.sequence), Checked((self._my_root(), *self._others(check))))
            for check in self._checks.take_ended(now_ms)
        ]

    def next_deadline_ms(self) -> int | None:
        return self._checks.next_deadline_ms()

    def _my_root(self) -> MemberRoot:
        me, root = self._membership.table.me, self._store.tree.root
        clock_hash = format_etag(self._staging.committed_clock_hash)
        return MemberRoot(me.replica, me.name, "alive", format_etag(root.sum), root.row_count, clock_hash)

    def _others(self, check: RootCheck) -> list[MemberRoot]:
        others = [self._answer_of(peer, check.answers.get(peer.member.peer)) for peer in self._asked()]
        return sorted(others, key=lambda answer: (answer.name, answer.replica))

    def _asked(self) -> list[Peer]:
        return [peer for peer in self._membership.table.known() if peer.standing.state < MemberState.LEFT]

    def _answer_of(self, peer: Peer, answer: RootAnswer | None) -> MemberRoot:
        member, state = peer.member, state_of(peer)
        if answer is None or self._replica_at(member.peer) != member.replica:
            return MemberRoot(member.replica, member.name, state, None, 0, "")
        root, clock_hash = format_etag(answer.root), format_etag(answer.clock_hash)
        return MemberRoot(member.replica, member.name, state, root, answer.row_count, clock_hash)


def state_of(peer: Peer) -> str:
    """A member's state as people read it. One that was not heard of since this start is a suspect to them."""
    if peer.standing.is_present and not peer.is_proven:
        return state_name(replace(peer.standing, state=MemberState.SUSPECT))
    return state_name(peer.standing)


def state_name(standing: Standing) -> str:
    return standing.state.name.lower()
