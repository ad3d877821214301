"""Peers of one node: who answers where, who is a member, and what of it the disk keeps.

Joins acquaintance (who is at an address) to membership (who belongs to the cluster): a frame counts as a
proof of life only for the replica that said Hello from its address.
"""

from random import Random

from kvgossip.config import Tuning
from kvgossip.errors import EncodingError
from kvgossip.model.ids import Address, ReplicaId, format_id
from kvgossip.model.member import Member, MemberRow
from kvgossip.model.member_encoding import decode_member, encode_member
from kvgossip.node.convergence import state_name, state_of
from kvgossip.node.effects import Event, MemberEvent, Now
from kvgossip.node.staging import Staging
from kvgossip.node.status import MemberStatus
from kvgossip.protocol.acquaintance import Acquaintances, shows_copy
from kvgossip.protocol.clock_offsets import ClockOffsets
from kvgossip.protocol.member_table import MemberChange, Peer
from kvgossip.protocol.membership import MemberMessage, Membership
from kvgossip.protocol.outbox import Outbox
from kvgossip.store.base import Store
from kvgossip.wire import messages as m

META_MEMBERS = "member/"
HELD_MAX = 32
"""Messages that wait for the word of one address; more are dropped, and sent again by their machines."""

MEMBER_TABLE_MESSAGES = (m.MemberSyn, m.MemberAck, m.MemberAck2, m.MemberNews)
MEMBER_MESSAGES = (m.Ping, m.Ack, m.PingReq, m.Nack, *MEMBER_TABLE_MESSAGES)
AGGREGATE_MESSAGES = (m.AggregatePush, m.AggregateAnswer)
WITHOUT_WORD = (m.Hello, *MEMBER_MESSAGES, *AGGREGATE_MESSAGES)
"""What may be exchanged before both sides have told what they know of each other. No data: a node must
learn that it is a copy before any of its dots is seen."""


class Peers:
    """The other nodes, as this one knows them."""

    def __init__(
        self,
        me: Member,
        store: Store,
        staging: Staging,
        *,
        tuning: Tuning,
        rng: Random,
        outbox: Outbox,
        now_ms: int,
    ) -> None:
        self._staging = staging
        self._outbox = outbox
        self._tuning = tuning
        self.offsets = ClockOffsets(tuning.clock_drift_ms_max)
        self._held: dict[Address, list[m.Message]] = {}
        self.gives_no_data = False
        """True while this node issues its writes again: its rows may have dots that it gives up."""
        self.acquaintances = Acquaintances(outbox, lambda r: staging.committed_clock.greatest(r))
        rows, self._garbled = _read_members(store)
        self._since_wall_ms = {
            row.member.replica: row.since_wall_ms for row in rows if not row.standing.is_present
        }
        """When those that are gone went."""
        self.membership = Membership(me, rows, tuning=tuning, rng=rng, outbox=outbox, now_ms=now_ms)

    # -- inputs

    def receive_hello(
        self, sender: Address, hello: m.Hello, me: m.Known, *, counter_told: int
    ) -> tuple[bool, str | None]:
        """(is another start there, how it shows that this node's directory is a copy, or None)."""
        if hello.me.replica == me.replica:
            return False, f"the node at {sender} has the same replica id"
        copied = None
        if hello.you is not None and shows_copy(me, hello.you, counter_told=counter_told):
            copied = f"the node at {sender} knows a later state of this replica"
        is_new = self.acquaintances.handle_hello(sender, hello, me)
        if is_new:
            self.membership.handle_acquainted(sender, hello.me.replica)
        if self.acquaintances.has_word_of(sender):
            for message in self._held.pop(sender, ()):
                self._outbox.send(sender, message)
        return is_new, copied

    def accepts(self, sender: Address, message: m.Message) -> bool:
        """True if whoever is at ``sender`` has said enough of itself for this message."""
        if isinstance(message, WITHOUT_WORD):
            return self.acquaintances.replica_at(sender) is not None
        return self.acquaintances.has_word_of(sender)

    def outgoing(self, to: Address, message: m.Message, me: m.Known) -> list[m.Message]:
        """What to send by now: a Hello goes first, and data waits until ``to`` has given its word.

        Nothing goes to this node itself: a member may be known at its address that it was before its
        directory was deleted.
        """
        if to == self.membership.table.me.peer:
            return []
        if isinstance(message, m.Hello):
            return [message]
        if isinstance(message, WITHOUT_WORD):
            is_stranger = self.acquaintances.is_stranger(to)
            return [self.acquaintances.hello_for(to, me), message] if is_stranger else [message]
        if self.gives_no_data:
            return []
        if self.acquaintances.has_word_of(to):
            return [message]
        held = self._held.setdefault(to, [])
        if len(held) < HELD_MAX:
            held.append(message)
        return [self.acquaintances.hello_for(to, me)]

    def handle_send_failed(self, to: Address, now_ms: int) -> None:
        self._held.pop(to, None)
        self.membership.handle_send_failed(to, now_ms)

    def receive(self, sender: Address, message: MemberMessage, now: Now) -> None:
        if isinstance(message, m.Ping | m.Ack) and message.wall_ms:
            replica = self.acquaintances.replica_at(sender)
            if replica is not None:
                self.offsets.note(replica, their_wall_ms=message.wall_ms, wall_ms=now.wall_ms)
        self.membership.receive(sender, message, now.monotonic_ms)

    def handle_heard(self, sender: Address, now_ms: int) -> None:
        """Any frame came from ``sender``; it is alive here once it has given its word."""
        replica = self.acquaintances.replica_at(sender)
        if replica is not None and self.acquaintances.has_word_of(sender):
            self.membership.handle_heard(replica, now_ms)

    def vote_on_clock(self) -> Event | None:
        """Correct the wall clock by what live peers told; the line for the log if that began or ended."""
        live = {peer.member.replica for peer in self.membership.table.live()}
        if not self.offsets.vote(live):
            return None
        correction_ms = self.offsets.correction_ms
        if correction_ms:
            return Event("clock-wrong", {"correction_ms": correction_ms, "heard": len(live)})
        return Event("clock-right", {})

    def handle_new_identity(self, me: Member) -> None:
        """This node is another replica from now on. What waited to be sent is dropped: it has old dots."""
        self._held.clear()
        self.membership.table.set_me(me)
        self.acquaintances.handle_new_identity()

    def handle_late(self, now_ms: int) -> None:
        self.membership.handle_late(now_ms)

    def handle_timer(self, now: Now) -> None:
        self.membership.handle_timer(now.monotonic_ms)
        self._forget_expired(now)

    def take_changes(self, now: Now) -> list[tuple[MemberChange, MemberEvent]]:
        """What changed, each with its line for the log; the member table on disk follows."""
        changes = self.membership.table.take_changes()
        for change in changes:
            if not change.standing.is_present:
                self._since_wall_ms[change.member.replica] = now.wall_ms
            if change.kind not in ("alive", "suspect"):
                self._stage(change.member.replica)
        for replica in self.membership.table.take_dropped():
            self._stage(replica)
        return [(change, _event(change)) for change in changes]

    def stage_all(self) -> None:
        """Write the whole member table, after a commit that failed."""
        for replica in self.membership.table.peers:
            self._stage(replica)

    def _forget_expired(self, now: Now) -> None:
        """Who was gone for long is forgotten, by a majority of those known: a minority may be what is gone.

        As long again the claim is kept, so that nobody who was away brings the member back.
        """
        if not self._since_wall_ms:
            return
        table = self.membership.table
        is_majority = 2 * table.present_count > 1 + sum(1 for _ in table.known())
        for replica, since_ms in list(self._since_wall_ms.items()):
            peer = table.peers.get(replica)
            is_due = now.wall_ms - since_ms >= self._tuning.forget_after_ms
            if peer is None or peer.standing.is_present:
                del self._since_wall_ms[replica]
            elif is_due and peer.is_forgotten:
                table.drop(replica)
            elif is_due and is_majority:
                self.membership.forget(replica)

    # -- queries

    def is_far(self, address: Address) -> bool:
        """True if a member of another zone answers at ``address``."""
        replica = self.acquaintances.replica_at(address)
        member = None if replica is None else self.membership.table.find(replica)
        return member is not None and member.zone != self.membership.table.me.zone

    def statuses(self, now: Now) -> list[MemberStatus]:
        """This node first, then the others by name."""
        table = self.membership.table
        others = [self._status(peer, now.monotonic_ms) for peer in table.known()]
        others.sort(key=lambda status: (status.member.name, status.member.replica))
        incarnation = table.standing.incarnation
        return [
            MemberStatus(table.me, state_name(table.standing), incarnation, 0, 0.0, 0, is_self=True),
            *others,
        ]

    def sample(self, now: Now) -> MemberStatus | None:
        """One live and fit member other than this node, independent of all earlier choices."""
        peer = self.membership.choice.sample()
        return None if peer is None else self._status(peer, now.monotonic_ms)

    def _status(self, peer: Peer, now_ms: int) -> MemberStatus:
        replica = peer.member.replica
        return MemberStatus(
            member=peer.member,
            state=state_of(peer),
            incarnation=peer.standing.incarnation,
            heard_ms_ago=None if peer.heard_ms is None else now_ms - peer.heard_ms,
            phi=self.membership.phi(replica, now_ms),
            round_trip_ms=peer.round_trip_ms,
            is_self=False,
        )

    def take_garbled(self) -> list[Event]:
        """Member records on disk that could not be read, once each; gossip brings them anew."""
        taken, self._garbled = self._garbled, []
        return [Event("member-record-garbled", {"record": name}) for name in taken]

    def _stage(self, replica: ReplicaId) -> None:
        peer = self.membership.table.peers.get(replica)
        name = f"{META_MEMBERS}{format_id(replica)}"
        since_ms = self._since_wall_ms.get(replica, 0)
        row = None if peer is None else MemberRow(peer.member, peer.standing, since_ms)
        self._staging.stage_meta(name, None if row is None else encode_member(row))


def _read_members(store: Store) -> tuple[list[MemberRow], list[str]]:
    rows: list[MemberRow] = []
    garbled: list[str] = []
    for name, data in store.scan_meta(META_MEMBERS):
        try:
            rows.append(decode_member(data))
        except EncodingError:
            garbled.append(name)
    return rows, garbled


def _event(change: MemberChange) -> MemberEvent:
    member = change.member
    return MemberEvent(
        f"member-{change.kind}",
        {"peer": member.peer, "member": member.name, "replica": format_id(member.replica)},
        member,
        change.standing,
    )
