"""Peers of one node: who answers where, who is a member, and what of it the disk keeps.

Joins acquaintance (who is at an address) to membership (who belongs to the cluster): a frame counts as a
proof of life only for the replica that said Hello from its address.
"""

from random import Random

from kvgossip.config import Tuning
from kvgossip.errors import EncodingError
from kvgossip.model.encoding import decode_member, encode_member
from kvgossip.model.ids import Address, format_id
from kvgossip.model.member import Member
from kvgossip.node.convergence import state_of
from kvgossip.node.effects import Event, Now
from kvgossip.node.staging import Staging
from kvgossip.node.status import MemberStatus
from kvgossip.protocol.acquaintance import Acquaintances, shows_copy
from kvgossip.protocol.clock_offsets import ClockOffsets
from kvgossip.protocol.membership import MemberChange, Membership
from kvgossip.protocol.outbox import Outbox
from kvgossip.store.base import Store
from kvgossip.wire import messages as m

META_MEMBERS = "member/"
HELD_MAX = 32
"""Messages that wait for the word of one address; more are dropped, and sent again by their machines."""

WITHOUT_WORD = (m.Hello, m.MemberSyn, m.MemberAck, m.MemberAck2)
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
        self.offsets = ClockOffsets(tuning.clock_drift_ms_max)
        self._held: dict[Address, list[m.Message]] = {}
        self.acquaintances = Acquaintances(outbox, lambda r: staging.committed_clock.greatest(r))
        known, self._garbled = _read_members(store)
        self.membership = Membership(me, known, tuning=tuning, rng=rng, outbox=outbox, now_ms=now_ms)

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
        if to == self.membership.me.peer:
            return []
        if isinstance(message, m.Hello):
            return [message]
        if isinstance(message, WITHOUT_WORD):
            is_stranger = self.acquaintances.is_stranger(to)
            return [self.acquaintances.hello_for(to, me), message] if is_stranger else [message]
        if self.acquaintances.has_word_of(to):
            return [message]
        held = self._held.setdefault(to, [])
        if len(held) < HELD_MAX:
            held.append(message)
        return [self.acquaintances.hello_for(to, me)]

    def handle_send_failed(self, to: Address) -> None:
        self._held.pop(to, None)

    def receive(self, sender: Address, message: m.MemberSyn | m.MemberAck | m.MemberAck2, now: Now) -> None:
        if not isinstance(message, m.MemberAck2) and message.wall_ms:
            replica = self.acquaintances.replica_at(sender)
            if replica is not None:
                self.offsets.note(replica, their_wall_ms=message.wall_ms, wall_ms=now.wall_ms)
        match message:
            case m.MemberSyn():
                self.membership.handle_syn(sender, message, now.monotonic_ms)
            case m.MemberAck():
                self.membership.handle_ack(sender, message, now.monotonic_ms)
            case m.MemberAck2():
                self.membership.handle_ack2(message, now.monotonic_ms)

    def handle_heard(self, sender: Address, now_ms: int) -> None:
        """Any frame came from ``sender``; it is alive here once it has given its word."""
        replica = self.acquaintances.replica_at(sender)
        if replica is not None and self.acquaintances.has_word_of(sender):
            self.membership.handle_heard(replica, now_ms)

    def vote_on_clock(self) -> Event | None:
        """Correct the wall clock by what live peers told; the line for the log if that began or ended."""
        live = {member.replica for member, is_alive, _ in self.membership.members() if is_alive}
        if not self.offsets.vote(live):
            return None
        correction_ms = self.offsets.correction_ms
        if correction_ms:
            return Event("clock-wrong", {"correction_ms": correction_ms, "heard": len(live)})
        return Event("clock-right", {})

    def handle_new_identity(self, me: Member) -> None:
        """This node is another replica from now on."""
        self.membership.set_me(me)
        self.acquaintances.handle_new_identity()

    def take_changes(self) -> list[tuple[MemberChange, Event]]:
        """What changed, each with its line for the log; the member table on disk follows."""
        changes = self.membership.take_changes()
        for change in changes:
            if change.kind not in ("alive", "down"):
                self._stage(change.member)
        return [(change, _event(change)) for change in changes]

    def stage_all(self) -> None:
        """Write the whole member table, after a commit that failed."""
        for member, _, _ in self.membership.members():
            self._stage(member)

    # -- queries

    def statuses(self, now: Now) -> list[MemberStatus]:
        """This node first, then the others by name."""
        others = [
            MemberStatus(
                member=member,
                state=state_of(member, is_alive),
                heard_ms_ago=None if heard_ms is None else now.monotonic_ms - heard_ms,
                is_self=False,
            )
            for member, is_alive, heard_ms in self.membership.members()
        ]
        others.sort(key=lambda status: (status.member.name, status.member.replica))
        return [MemberStatus(self.membership.me, "alive", 0, is_self=True), *others]

    def take_garbled(self) -> list[Event]:
        """Member records on disk that could not be read, once each; gossip brings them anew."""
        taken, self._garbled = self._garbled, []
        return [Event("member-record-garbled", {"record": name}) for name in taken]

    def _stage(self, member: Member) -> None:
        self._staging.stage_meta(f"{META_MEMBERS}{format_id(member.replica)}", encode_member(member))


def _read_members(store: Store) -> tuple[list[Member], list[str]]:
    members: list[Member] = []
    garbled: list[str] = []
    for name, data in store.scan_meta(META_MEMBERS):
        try:
            members.append(decode_member(data))
        except EncodingError:
            garbled.append(name)
    return members, garbled


def _event(change: MemberChange) -> Event:
    member = change.member
    return Event(
        f"member-{change.kind}",
        {"peer": member.peer, "member": member.name, "replica": format_id(member.replica)},
    )
