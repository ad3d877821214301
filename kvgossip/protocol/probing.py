"""The probe of SWIM: ping a member, ask others to ping it, and blame it only if all of that was in vain.

One probe an interval, by turns of the successor in the ring of replica ids and of the next member in a
shuffled list (Das, Gupta, Motivala 2002, section 4.3). So each is probed every other interval by one node
that knows its rhythm, at random by all others, and within two passes by every one, and nobody becomes a hub.
(By random probes alone, nobody probes a dead member of a large cluster for four intervals once in fifty
times.) Members of other zones have a list of their own, and ``cross_zone_share`` of the turns. Before its
turn comes who is late by its own history (phi), and who stands accused, with a chance that makes some few of
all nodes look for themselves.

    ping -- no frame within probe_timeout --> ping-req to probe_helpers others -- none by the end --> failed

Proof of life is any frame from the target itself, or a helper's ack. A helper that hears nothing answers with
a nack, so that who asks can tell the target's silence from its own deafness (Lifeguard 2017, IV.A). A failed
probe of a member whose history is telling and says that it is not late yet blames nobody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.protocol.local_health import LocalHealth
from kvgossip.protocol.member_table import MemberTable, Peer, claim_about
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import Ack, MemberNews, Nack, Ping, PingReq

RELAYED_MAX = 64
"""Pings that this node does for others at a time."""
SEQUENCE_MASK = (1 << 32) - 1
REPLICA_MASK = (1 << 64) - 1

ChooseHelpers = Callable[[int, ReplicaId], Sequence[Peer]]
"""So many live members other than one."""


@dataclass(slots=True)
class Probe:
    """The one under way."""

    sequence: int
    target: ReplicaId
    address: Address
    started_ms: int
    indirect_ms: int
    """When to ask helpers."""
    deadline_ms: int
    helpers: tuple[Address, ...] = ()
    nack_count: int = 0


@dataclass(frozen=True, slots=True)
class _Relayed:
    """A ping on behalf of another node."""

    asker: Address
    sequence: int
    target: ReplicaId
    nack_ms: int


class Probing:
    """Who is asked for a sign of life, and what came of it."""

    def __init__(
        self,
        table: MemberTable,
        health: LocalHealth,
        *,
        tuning: Tuning,
        rng: Random,
        outbox: Outbox,
        choose_helpers: ChooseHelpers,
        now_ms: int,
    ) -> None:
        self._table = table
        self._health = health
        self._tuning = tuning
        self._rng = rng
        self._outbox = outbox
        self._choose_helpers = choose_helpers
        self._near_order: list[ReplicaId] = []
        self._far_order: list[ReplicaId] = []
        self._watches = False
        """True if the last turn was the successor's."""
        self._far_due = rng.random()
        """Grows by ``cross_zone_share`` a turn; at 1 it is the turn of another zone."""
        self._urgent: dict[ReplicaId, None] = {}
        self._probe: Probe | None = None
        self._timed: Probe | None = None
        """The last one begun, until its own answer is in: any frame ends a probe, only an ack times it."""
        self._relayed: dict[int, _Relayed] = {}
        self._sequence = rng.getrandbits(31)
        self._next_probe_ms = now_ms + rng.randrange(tuning.probe_interval_ms)
        self.sent_count = 0
        self.failed_count = 0

    # -- inputs

    def hurry(self, replica: ReplicaId) -> None:
        """A member stands accused: some few of all nodes look for themselves, soon."""
        share = 2 * (self._tuning.probe_helpers + 1) / max(self._table.present_count, 1)
        if self._rng.random() < share:
            self._urgent[replica] = None

    def handle_ping(self, sender: Address, ping: Ping) -> None:
        """Answer, unless another one is meant, that is gone from this address."""
        if ping.target == self._table.me.replica:
            self._outbox.send(sender, Ack(ping.sequence, self._table.fingerprint))

    def handle_ping_req(self, sender: Address, asked: PingReq, now_ms: int) -> None:
        target = self._table.peers.get(asked.target)
        if target is None or len(self._relayed) >= RELAYED_MAX:
            return
        sequence = self._next_sequence()
        nack_ms = now_ms + self._timeout_ms(target)
        self._relayed[sequence] = _Relayed(sender, asked.sequence, asked.target, nack_ms)
        self._ping(target, sequence)

    def handle_ack(self, sender: Address, ack: Ack, now_ms: int) -> None:
        relayed = self._relayed.pop(ack.sequence, None)
        if relayed is not None:
            self._outbox.send(relayed.asker, Ack(relayed.sequence, self._table.fingerprint))
            return
        timed, probe = self._timed, self._probe
        if timed is not None and ack.sequence == timed.sequence and sender == timed.address:
            self._timed = None
            target = self._table.peers.get(timed.target)
            if target is not None:
                target.round_trip_ms = now_ms - timed.started_ms
        if probe is not None and ack.sequence == probe.sequence:
            self._succeed()

    def handle_nack(self, nack: Nack) -> None:
        if self._probe is not None and nack.sequence == self._probe.sequence:
            self._probe.nack_count += 1

    def handle_heard(self, replica: ReplicaId) -> None:
        """Any frame came from ``replica`` itself."""
        if self._probe is not None and self._probe.target == replica:
            self._succeed()

    def handle_send_failed(self, to: Address, now_ms: int) -> None:
        """The target's link is lost: others are asked at once."""
        if self._probe is not None and self._probe.address == to:
            self._probe.indirect_ms = min(self._probe.indirect_ms, now_ms)

    def handle_timer(self, now_ms: int) -> ReplicaId | None:
        """Do what is due. The member to be blamed, if a probe has failed."""
        self._answer_askers(now_ms)
        probe, blamed = self._probe, None
        if probe is not None and now_ms >= probe.indirect_ms and not probe.helpers:
            self._ask_helpers(probe)
        if probe is not None and now_ms >= probe.deadline_ms:
            self._probe = None
            blamed = self._judge(probe, now_ms)
        if self._probe is None and now_ms >= self._next_probe_ms:
            self._begin(now_ms)
        return blamed

    def ask(self, target: Peer) -> None:
        """Ping a member outside of its turn: any answer will do."""
        self._ping(target, self._next_sequence())

    def excuse(self) -> None:
        """This node was not there: what it did not hear says nothing."""
        self._probe = self._timed = None
        self._relayed.clear()

    def next_deadline_ms(self) -> int:
        due = [relayed.nack_ms for relayed in self._relayed.values()]
        if self._probe is None:
            due.append(self._next_probe_ms)
        else:
            due.append(self._probe.deadline_ms)
            if not self._probe.helpers:
                due.append(self._probe.indirect_ms)
        return min(due)

    # -- the probe

    def _begin(self, now_ms: int) -> None:
        interval_ms = self._tuning.probe_interval_ms * self._health.multiplier
        self._next_probe_ms = now_ms + interval_ms
        target = self._next_target(now_ms)
        if target is None:
            return
        timeout_ms = self._timeout_ms(target) * self._health.multiplier
        replica, address = target.member.replica, target.member.peer
        self._probe = self._timed = Probe(
            self._next_sequence(),
            replica,
            address,
            started_ms=now_ms,
            indirect_ms=now_ms + timeout_ms,
            deadline_ms=now_ms + max(interval_ms, 2 * timeout_ms),
        )
        self.sent_count += 1
        self._ping(target, self._probe.sequence)

    def _ping(self, target: Peer, sequence: int) -> None:
        if target.suspicion is not None:  # it cannot refute what it has not heard
            self._outbox.send(target.member.peer, MemberNews((), (claim_about(target),)))
        self._outbox.send(target.member.peer, Ping(sequence, target.member.replica))

    def _next_target(self, now_ms: int) -> Peer | None:
        while self._urgent:
            replica = next(iter(self._urgent))
            del self._urgent[replica]
            peer = self._table.peers.get(replica)
            if peer is not None and peer.standing.is_present:
                return peer
        late = self._latest(now_ms)
        if late is not None:
            return late
        self._far_due += self._far_share() if self._table.far else 0
        is_far = self._far_due >= 1
        self._far_due -= is_far
        self._watches = not self._watches
        if self._watches and not is_far:
            successor = self._successor()
            if successor is not None:
                return successor
        return self._next_in_turn(is_far=is_far) or self._next_in_turn(is_far=not is_far)

    def _far_share(self) -> float:
        """While a member of another zone is suspected, its zone may be cut off: it gets half of the turns."""
        peers = self._table.peers
        is_far_suspected = any(self._is_far(peers[replica]) for replica in self._table.suspects)
        return max(self._tuning.cross_zone_share, 0.5 * is_far_suspected)

    def _successor(self) -> Peer | None:
        """The next one by replica id, of this zone if there is any: everybody is the successor of one."""
        me, table = self._table.me, self._table
        pool = table.near.order or table.far.order
        if not pool:
            return None
        return table.peers[min(pool, key=lambda replica: (replica - me.replica) & REPLICA_MASK)]

    def _next_in_turn(self, *, is_far: bool) -> Peer | None:
        order = self._far_order if is_far else self._near_order
        for _ in range(2):
            while order:
                peer = self._table.peers.get(order.pop())
                if peer is not None and peer.standing.is_present and self._is_far(peer) == is_far:
                    return peer
            peers = self._table.peers.items()
            order += [r for r, p in peers if p.standing.is_present and self._is_far(p) == is_far]
            self._rng.shuffle(order)
        return None

    def _latest(self, now_ms: int) -> Peer | None:
        """Who is late by its own history, and not yet accused; the one that is most so."""
        overdue_ms = now_ms - 2 * self._tuning.probe_interval_ms
        late: tuple[float, Peer] | None = None
        for peer in self._table.peers.values():
            if peer.heard_ms is None or peer.heard_ms > overdue_ms or not peer.standing.is_present:
                continue
            if peer.suspicion is None and peer.phi.is_telling(self._tuning):
                phi = peer.phi.phi(now_ms, self._tuning)
                if phi >= self._tuning.phi_threshold and (late is None or phi > late[0]):
                    late = (phi, peer)
        return None if late is None else late[1]

    def _ask_helpers(self, probe: Probe) -> None:
        helpers = [p.member.peer for p in self._choose_helpers(self._tuning.probe_helpers, probe.target)]
        probe.helpers = tuple(helpers) or (probe.address,)
        for address in helpers:
            self._outbox.send(address, PingReq(probe.sequence, probe.target))
        if not helpers:  # nobody to ask: ask the target once more
            self._outbox.send(probe.address, Ping(probe.sequence, probe.target))

    def _judge(self, probe: Probe, now_ms: int) -> ReplicaId | None:
        self.failed_count += 1
        # Each helper owes an ack or a nack: if none of them answers, this node may be deaf itself.
        if probe.helpers != (probe.address,) and not probe.nack_count:
            self._health.blame()
        target = self._table.peers.get(probe.target)
        if target is None or not target.standing.is_present:
            return None
        is_late = target.phi.phi(now_ms, self._tuning) >= self._tuning.phi_threshold
        return probe.target if is_late or not target.phi.is_telling(self._tuning) else None

    def _succeed(self) -> None:
        self._probe = None
        self._health.praise()

    # -- pings for others

    def _answer_askers(self, now_ms: int) -> None:
        for sequence in [s for s, relayed in self._relayed.items() if now_ms >= relayed.nack_ms]:
            relayed = self._relayed.pop(sequence)
            self._outbox.send(relayed.asker, Nack(relayed.sequence))

    def _timeout_ms(self, target: Peer) -> int:
        return self._tuning.probe_timeout_far_ms if self._is_far(target) else self._tuning.probe_timeout_ms

    def _is_far(self, target: Peer) -> bool:
        return target.member.zone != self._table.me.zone

    def _next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) & SEQUENCE_MASK
        return self._sequence
