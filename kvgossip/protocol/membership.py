"""Who is in the cluster: records spread by digest and delta, and a simple notion of who is alive.

Source: van Renesse, Dumitriu, Gough, Thomas, "Efficient Reconciliation and Flow Control for Anti-Entropy
Protocols" (2008): SYN carries a digest (replica, generation, version of each record), ACK the records that
the digest shows to be older and a request for those that are newer, ACK2 what was asked for. We add a
heartbeat to the digest, so that life is proven without sending records.

A member is *alive* while proof of life is fresh: any frame from it, or a newer heartbeat of it in a digest.
Each round goes to one live peer, and one more to a member that is not alive or a seed, so that islands find
each other whichever came up first.

Invariants: a message is at most ``member_message_bytes_max``; digests above that are a random part of the
whole, the own one always in it. Nobody but a member itself changes its record.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.model.member import Member
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import MemberAck, MemberAck2, MemberDigest, MemberSyn

DIGEST_BYTES = 36
"""The most that one digest takes on the wire."""
RECORD_HEAD_BYTES = 40
"""The most that a record takes besides its texts."""
ASKED_MAX = 64
"""Records asked for at a time; one answer would hardly bring more."""
SILENT_ASKED_MAX = 3
"""Seeds and silent members that a node without any live peer asks in a round."""


@dataclass(slots=True)
class _Peer:
    """A member other than this node, and when there was last proof of its life."""

    member: Member
    heartbeat: int = 0
    heard_ms: int | None = None
    is_alive: bool = False


@dataclass(frozen=True, slots=True)
class MemberChange:
    """``kind``: ``joined`` (new here), ``restarted``, ``alive``, ``down``, ``left``, ``changed``."""

    kind: str
    member: Member


class Membership:
    """The member table of one node."""

    def __init__(
        self, me: Member, known: Iterable[Member], *, tuning: Tuning, rng: Random, outbox: Outbox, now_ms: int
    ) -> None:
        self.me = me
        self._heartbeat = 1
        self._tuning = tuning
        self._rng = rng
        self._outbox = outbox
        self._peers = {m.replica: _Peer(m) for m in known if m.replica != me.replica}
        self._seeds: Sequence[Address] = ()
        self._replaced: dict[ReplicaId, Address] = {}
        """Where another replica answers by now than the one that was known there. A later record may tell
        another address, for which this says nothing."""
        self._next_round_ms = now_ms
        self._next_seed_ms = now_ms
        self._changes: list[MemberChange] = []
        self.found_copy = False
        """Set when a later start of this node's own replica id is heard of; cleared by who reacts."""

    # -- queries

    def members(self) -> list[tuple[Member, bool, int | None]]:
        """(member, is it alive, when it was last heard) of every other member."""
        return [(p.member, p.is_alive, p.heard_ms) for p in self._peers.values()]

    def live_addresses(self) -> list[Address]:
        """Where live members answer; never at this node's own address, whoever had it before."""
        live = {peer.member.peer for peer in self._peers.values() if peer.is_alive}
        return sorted(live - {self.me.peer})

    def find(self, replica: ReplicaId) -> Member | None:
        peer = self._peers.get(replica)
        return None if peer is None else peer.member

    def take_changes(self) -> list[MemberChange]:
        """What changed since the last call, for the log, the table on disk, and whoever reacts to a heal."""
        taken, self._changes = self._changes, []
        return taken

    # -- inputs

    def set_me(self, me: Member) -> None:
        """This node's own record has changed."""
        self.me = me

    def leave(self) -> None:
        """Announce to all live peers, and to whoever asks later, that this node leaves."""
        self.me = with_leave(self.me)
        for address in self.live_addresses():
            self._outbox.send(address, MemberAck2((self.me,)))

    def set_seeds(self, seeds: Sequence[Address]) -> None:
        self._seeds = tuple(seeds)

    def handle_acquainted(self, address: Address, replica: ReplicaId) -> None:
        """``replica`` answers at ``address``: whoever else was known there is gone from it."""
        if self._replaced.get(replica) == address:
            del self._replaced[replica]
        for peer in self._peers.values():
            if peer.member.peer == address and peer.member.replica != replica:
                self._replaced[peer.member.replica] = address
                self._set_alive(peer, False)

    def handle_heard(self, replica: ReplicaId, now_ms: int) -> None:
        """Any frame came from ``replica``."""
        peer = self._peers.get(replica)
        if peer is not None:
            peer.heard_ms = now_ms
            self._set_alive(peer, True)

    def handle_syn(self, sender: Address, syn: MemberSyn, now_ms: int) -> None:
        records, asked, unmentioned = self._compare(syn.digests, now_ms)
        records += unmentioned
        ack = MemberAck(self._digests(), self._bounded(records), tuple(asked[:ASKED_MAX]))
        self._outbox.send(sender, ack)

    def handle_ack(self, sender: Address, ack: MemberAck, now_ms: int) -> None:
        self._take_records(ack.records, now_ms)
        records, _, _ = self._compare(ack.digests, now_ms)
        wanted = {record.replica: record for record in records}
        for replica in ack.asked:
            record = self.me if replica == self.me.replica else self.find(replica)
            if record is not None:
                wanted[replica] = record
        if wanted:
            self._outbox.send(sender, MemberAck2(self._bounded(wanted.values())))

    def handle_ack2(self, ack2: MemberAck2, now_ms: int) -> None:
        self._take_records(ack2.records, now_ms)

    def handle_timer(self, now_ms: int) -> None:
        for peer in self._peers.values():
            if peer.is_alive and now_ms >= self._silent_at(peer):
                self._set_alive(peer, False)
        if now_ms >= self._next_round_ms:
            interval = self._tuning.gossip_interval_ms
            self._next_round_ms = now_ms + interval * 3 // 4 + self._rng.randrange(interval // 2 + 1)
            self._heartbeat += 1
            self._gossip(now_ms)

    def next_deadline_ms(self) -> int:
        """The next round: a member's silence is noticed by the first round after it, a second at most."""
        return self._next_round_ms

    def check_invariants(self) -> None:
        assert self.me.replica not in self._peers
        assert all(replica == peer.member.replica for replica, peer in self._peers.items())

    # -- rounds

    def _gossip(self, now_ms: int) -> None:
        live = self.live_addresses()
        others = {p.member.peer for p in self._peers.values() if not p.is_alive and not p.member.has_left}
        if now_ms >= self._next_seed_ms or not live:
            self._next_seed_ms = now_ms + self._tuning.seed_interval_ms
            silent_seeds = set(self._seeds) - set(live)
            others = silent_seeds if live and silent_seeds else others | silent_seeds
        silent = sorted(others - set(live) - {self.me.peer})
        syn = MemberSyn(self._digests())
        if live:
            self._outbox.send(self._rng.choice(live), syn)
        for address in self._rng.sample(silent, min(len(silent), 1 if live else SILENT_ASKED_MAX)):
            self._outbox.send(address, syn)

    def _digests(self) -> tuple[MemberDigest, ...]:
        room = self._tuning.member_message_bytes_max // 2 // DIGEST_BYTES
        peers = [p for p in self._peers.values() if not self._is_replaced(p.member)]
        if len(peers) >= room:
            peers = self._rng.sample(peers, room - 1)
        own = MemberDigest(self.me.replica, self.me.generation, self.me.version, self._heartbeat)
        return (own, *(_digest(peer) for peer in peers))

    def _bounded(self, records: Iterable[Member]) -> tuple[Member, ...]:
        """As many of ``records`` as fit a message beside its digests."""
        room = self._tuning.member_message_bytes_max // 2 - 9 * ASKED_MAX
        kept: list[Member] = []
        for record in records:
            room -= _record_bytes(record)
            if room < 0:
                break
            kept.append(record)
        return tuple(kept)

    def _is_replaced(self, member: Member) -> bool:
        return self._replaced.get(member.replica) == member.peer

    def _silent_at(self, peer: _Peer) -> int:
        return (peer.heard_ms or 0) + self._tuning.member_timeout_ms

    # -- records

    def _compare(
        self, digests: Sequence[MemberDigest], now_ms: int
    ) -> tuple[list[Member], list[ReplicaId], list[Member]]:
        """(records newer here, replicas newer there, records of members not mentioned)."""
        newer_here: list[Member] = []
        newer_there: list[ReplicaId] = []
        mentioned = {digest.replica for digest in digests}
        for digest in digests:
            if digest.replica == self.me.replica:
                # About this node nobody knows better, unless there are two of it.
                self.found_copy |= digest.generation > self.me.generation
                continue
            peer = self._peers.get(digest.replica)
            if peer is None:
                newer_there.append(digest.replica)
                continue
            mine, theirs = _rank(peer), (digest.generation, digest.version, digest.heartbeat)
            if theirs[:2] > mine[:2]:
                newer_there.append(digest.replica)
            elif theirs[:2] < mine[:2]:
                newer_here.append(peer.member)
            elif theirs > mine:
                peer.heartbeat = digest.heartbeat
                self._prove_alive(peer, now_ms)
        everyone = [self.me, *(p.member for p in self._peers.values())]
        unmentioned = [m for m in everyone if m.replica not in mentioned and not self._is_replaced(m)]
        return newer_here, newer_there, unmentioned

    def _take_records(self, records: Iterable[Member], now_ms: int) -> None:
        for record in records:
            if record.replica == self.me.replica:
                continue
            peer = self._peers.get(record.replica)
            if peer is None:
                self._peers[record.replica] = _Peer(record)
                self._changes.append(MemberChange("joined", record))
                self._outbox.send(record.peer, MemberSyn(self._digests()))
                continue
            merged = peer.member.merge(record)
            if merged is peer.member:
                continue
            old, peer.member = peer.member, merged
            peer.heartbeat = 0
            if merged.peer != old.peer:
                peer.is_alive = False  # it comes alive below, at its new address, and all are told
            if merged.is_restart_of(old):
                self._changes.append(MemberChange("restarted", merged))
            elif merged.has_left and not old.has_left:
                self._changes.append(MemberChange("left", merged))
            elif merged.differs_durably(old):
                self._changes.append(MemberChange("changed", merged))
            self._prove_alive(peer, now_ms)

    def _prove_alive(self, peer: _Peer, now_ms: int) -> None:
        peer.heard_ms = now_ms
        self._set_alive(peer, True)

    def _set_alive(self, peer: _Peer, is_alive: bool) -> None:
        is_alive = is_alive and not peer.member.has_left and not self._is_replaced(peer.member)
        if peer.is_alive != is_alive:
            peer.is_alive = is_alive
            self._changes.append(MemberChange("alive" if is_alive else "down", peer.member))


def with_leave(me: Member) -> Member:
    """The record by which a node announces that it leaves."""
    return replace(me, version=me.version + 1, has_left=True)


def _digest(peer: _Peer) -> MemberDigest:
    return MemberDigest(peer.member.replica, peer.member.generation, peer.member.version, peer.heartbeat)


def _record_bytes(record: Member) -> int:
    """At most this on the wire; up to four bytes a character."""
    texts = (record.name, record.peer, record.api, record.software)
    return RECORD_HEAD_BYTES + sum(len(text.encode()) for text in texts)


def _rank(peer: _Peer) -> tuple[int, int, int]:
    return (peer.member.generation, peer.member.version, peer.heartbeat)
