"""Membership of one node: the table, who is probed, what is spread, and who is given up.

SWIM (Das, Gupta, Motivala 2002) with Lifeguard's corrections (Dadgar, Phillips, Currey 2017) and phi accrual
(Hayashibara et al. 2004), composed of one machine a file. *Late* by its own history, or by a probe and its
helpers: a member becomes a suspect. Not refuted in time, and not heard meanwhile: it is down.

    frames, acks  -> table.phi, Probing   news, digests -> MemberTable -> MemberNewsQueue, MemberChange
    failed probes -> MemberTable.accuse   Suspicion     -> MemberTable.declare

A node that was itself asleep blames nobody: what was due long ago is excused, not acted upon.

Members that are down, and seeds, keep being tried, one each probe interval, so that islands find each other.
"""

from collections.abc import Iterable, Sequence
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.model.member import Member, MemberRow, MemberState
from kvgossip.protocol.local_health import LocalHealth
from kvgossip.protocol.member_gossip import MemberGossip
from kvgossip.protocol.member_news import MemberNewsQueue
from kvgossip.protocol.member_table import MemberTable, addresses, claim_about
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.peer_choice import PeerChoice
from kvgossip.protocol.probing import Probing
from kvgossip.protocol.suspicion import Suspicion
from kvgossip.wire import messages as m

STALL_MS = 500
"""A deadline met later than this means that this node was asleep or starved."""
TOLD_AGAIN_MS = 200
"""A member that speaks although it is down here is told so at most so often."""
LAST_WORDS = 12
"""How often each node asks a suspect itself, twice a probe timeout, before it gives it up: half of all frames
may be lost. A suspect that answers ends this."""
LAST_WORDS_LATE = 4
"""So many of them come when its time is up."""
SILENT_ASKED_MAX = 3
"""Seeds and silent members that a node without any live peer asks in a round."""

MemberMessage = m.Ping | m.Ack | m.PingReq | m.Nack | m.MemberSyn | m.MemberAck | m.MemberAck2 | m.MemberNews


class Membership:
    """See the module. All times are of the monotonic clock."""

    def __init__(
        self,
        me: Member,
        known: Iterable[MemberRow],
        *,
        tuning: Tuning,
        rng: Random,
        outbox: Outbox,
        now_ms: int,
    ) -> None:
        self._tuning = tuning
        self._rng = rng
        self._outbox = outbox
        self._seeds: Sequence[Address] = ()
        self._next_try_ms = now_ms
        self._next_seed_ms = now_ms
        self.table = MemberTable(me, known, tuning=tuning, spread=self._spread)
        self.health = LocalHealth(tuning)
        self.choice = PeerChoice(self.table, tuning=tuning, rng=rng)
        self.news = MemberNewsQueue(tuning, outbox, self.choice.addresses)
        self.gossip = MemberGossip(self.table, tuning=tuning, rng=rng, outbox=outbox)
        self.probing = Probing(
            self.table,
            self.health,
            tuning=tuning,
            rng=rng,
            outbox=outbox,
            choose_helpers=self.choice.helpers,
            now_ms=now_ms,
        )

    # -- queries

    def live_addresses(self) -> list[Address]:
        return addresses(self.table.live())

    def phi(self, replica: ReplicaId, now_ms: int) -> float:
        """How unlikely the member's silence is by now; 0 for one that was never heard in this start."""
        peer = self.table.peers.get(replica)
        return 0.0 if peer is None else peer.phi.phi(now_ms, self._tuning)

    # -- inputs: this node

    def set_seeds(self, seeds: Sequence[Address]) -> None:
        self._seeds = tuple(seeds)

    def leave(self) -> None:
        """Announce to all live peers, and to whoever asks later, that this node leaves."""
        news = m.MemberNews((), (self.table.leave(),))
        for address in self.live_addresses():
            self._outbox.send(address, news)

    def forget(self, replica: ReplicaId) -> bool:
        """Take a member that is gone out of the table, everywhere. False if it is present, or unknown."""
        peer = self.table.peers.get(replica)
        if peer is None or peer.is_forgotten or peer.standing.is_present:
            return False
        self.table.declare(replica, MemberState.FORGOTTEN)
        return True

    # -- inputs: peers

    def handle_acquainted(self, address: Address, replica: ReplicaId) -> None:
        """``replica`` answers at ``address``: whoever else was known there is gone from it."""
        for other in [p.member.replica for p in self.table.peers.values() if p.member.peer == address]:
            if other != replica:
                self.table.declare(other, MemberState.DOWN)
        peer = self.table.peers.get(replica)
        if peer is None or peer.is_forgotten:
            self.gossip.begin(address)

    def handle_heard(self, replica: ReplicaId, now_ms: int) -> None:
        """Any frame came from ``replica``."""
        peer = self.table.peers.get(replica)
        if peer is None:
            return
        self.table.note_heard(peer, now_ms)
        peer.phi.note(now_ms, self._tuning)
        self.probing.handle_heard(replica)
        self.table.prove(replica)
        is_told = peer.told_ms is not None and now_ms < peer.told_ms + TOLD_AGAIN_MS
        if not peer.standing.is_present and not is_told:
            peer.told_ms = now_ms
            self._outbox.send(peer.member.peer, m.MemberNews((), (claim_about(peer),)))
            self.gossip.begin(peer.member.peer)

    def receive(self, sender: Address, message: MemberMessage, now_ms: int) -> None:
        match message:
            case m.Ping():
                self.probing.handle_ping(sender, message)
            case m.Ack():
                self.probing.handle_ack(sender, message, now_ms)
                if message.table != self.table.fingerprint:
                    self.gossip.begin_if_due(sender, now_ms)
            case m.PingReq():
                self.probing.handle_ping_req(sender, message, now_ms)
            case m.Nack():
                self.probing.handle_nack(message)
            case m.MemberSyn():
                self.gossip.handle_syn(sender, message, now_ms)
            case m.MemberAck():
                self.gossip.handle_ack(sender, message, now_ms)
            case m.MemberAck2() | m.MemberNews():
                self.gossip.take(message, now_ms)

    def handle_send_failed(self, to: Address, now_ms: int) -> None:
        """A link is lost, or was never made."""
        self.probing.handle_send_failed(to, now_ms)

    def handle_late(self, now_ms: int) -> None:
        """This node may have done nothing for a while: nobody is to blame for what it did not hear.

        Comes before any frame that came meanwhile, or that frame's interval would take the stall in.
        """
        overdue_ms = now_ms - self._next_try_ms  # a suspicion's deadline may be hastened into the past
        if overdue_ms > STALL_MS:
            self._next_try_ms = now_ms
            self.excuse(overdue_ms)

    def excuse(self, stall_ms: int) -> None:
        """That much time does not count: it is taken out of every suspicion and every silence."""
        self.health.blame(2)
        self.probing.excuse()
        for suspicion in self.table.suspects.values():
            suspicion.excuse(stall_ms)
        for peer in self.table.peers.values():
            peer.phi.excuse(stall_ms)

    def handle_timer(self, now_ms: int) -> None:
        self.handle_late(now_ms)
        blamed = self.probing.handle_timer(now_ms)
        if blamed is not None:
            self.table.accuse(blamed, now_ms)
        self._end_suspicions(now_ms)
        if now_ms >= self._next_try_ms:
            self._next_try_ms = now_ms + self._jittered(self._tuning.probe_interval_ms)
            self._try_silent(now_ms)
        self.news.handle_timer(now_ms, self.table.present_count)

    def next_deadline_ms(self) -> int:
        due = [self.probing.next_deadline_ms(), self._next_try_ms]
        due += [self._ends_ms(suspicion) for suspicion in self.table.suspects.values()]
        news_ms = self.news.next_deadline_ms()
        return min(due if news_ms is None else [*due, news_ms])

    def take_news(self, bytes_max: int) -> m.MemberNews | None:
        """What to send along with a message."""
        return self.news.take(bytes_max, self.table.present_count) if len(self.news) else None

    def check_invariants(self) -> None:
        self.table.check_invariants()

    # -- details

    def _spread(self, told: m.Record | m.Claim) -> None:
        self.news.add(told)
        if isinstance(told, m.Claim) and told.standing.state is MemberState.SUSPECT:
            self.probing.hurry(told.replica)

    def _end_suspicions(self, now_ms: int) -> None:
        """Time is up: who was heard meanwhile gets it again, all others are asked for a last word."""
        for replica, suspicion in list(self.table.suspects.items()):
            if now_ms < self._ends_ms(suspicion):
                continue
            peer = self.table.peers[replica]
            if peer.heard_ms is not None and peer.heard_ms >= suspicion.started_ms:
                self.table.note_suspicion_renewed(replica, now_ms)
            elif suspicion.asked_count < LAST_WORDS:
                suspicion.asked_count += 1
                suspicion.asked_ms = now_ms
                self.probing.ask(peer)
            else:
                self.table.declare(replica, MemberState.DOWN)

    def _ends_ms(self, suspicion: Suspicion) -> int:
        """When it is asked next, or given up: also if the time was up at once, not before it could answer."""
        timeout_ms = self._tuning.probe_timeout_ms
        late_ms = (suspicion.asked_count - LAST_WORDS + LAST_WORDS_LATE) * timeout_ms // 2
        pause_ms = timeout_ms // 6 if suspicion.asked_count < LAST_WORDS else timeout_ms
        return max(suspicion.deadline_ms + late_ms, suspicion.asked_ms + pause_ms)

    def _try_silent(self, now_ms: int) -> None:
        """Ask a seed or a member that is not live whether it is there by now.

        A ping will do for a member, while there are others to learn from: the digest of a large cluster,
        sent to whoever is gone, would cost more than all else.
        """
        is_seed_due = now_ms >= self._next_seed_ms
        if not self.table.silent and not is_seed_due and self.table.has_live:
            return
        live = {peer.member.peer for peer in self.table.live()}
        members = {peer.member.peer: peer for peer in self.table.silent.values()}
        tried = set(members)
        if is_seed_due or not live:
            self._next_seed_ms = now_ms + self._tuning.seed_interval_ms
            silent_seeds = set(self._seeds) - live
            tried = silent_seeds if live and silent_seeds else tried | silent_seeds
        silent = sorted(tried - live - {self.table.me.peer})
        for address in self._rng.sample(silent, min(len(silent), 1 if live else SILENT_ASKED_MAX)):
            if live and address in members:
                self.probing.ask(members[address])
            else:
                self.gossip.begin(address)

    def _jittered(self, interval_ms: int) -> int:
        return interval_ms * 3 // 4 + self._rng.randrange(interval_ms // 2 + 1)
