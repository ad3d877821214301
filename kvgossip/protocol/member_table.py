"""The member table of one node: records and standings, merged from anybody, and what changed by it.

Invariants: this node alone writes its own record and raises its own incarnation. The standing of a member is
one of the generation of its record. Nobody is declared down on another's word: such a claim makes it a
suspect here, and hastens a suspicion that is under way. ``fingerprint`` is the sum of the hashes of all rows,
so two nodes that agree on every member, but those forgotten, have the same one.

There are at most ``MEMBERS_MAX`` others. Beyond that a stranger that is present takes the place of a *ghost*,
a member that is gone and that was never heard here but only told of; if there is none it is refused and
counted. So whoever invents members without end pushes nobody out that this node has met.

A member is *live* here when it is present (alive or suspect) and proven: heard of since this start.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from xxhash import xxh3_64_intdigest

from kvgossip.config import Tuning
from kvgossip.errors import EncodingError
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.model.member import Member, MemberRow, MemberState, Standing
from kvgossip.protocol.phi import PhiHistory
from kvgossip.protocol.replica_pool import ReplicaPool
from kvgossip.protocol.suspicion import Suspicion
from kvgossip.wire.messages import Claim, Record

MEMBERS_MAX = 4_096
"""Other members that a node remembers, those that are gone among them: some 1 KiB each."""
NOBODY = ReplicaId(0)
_ROW = struct.Struct(">QIQIB")
_U64_MASK = (1 << 64) - 1


@dataclass(slots=True)
class Peer:
    """A member other than this node."""

    member: Member
    standing: Standing
    is_proven: bool
    changed: int
    """The table's count of changes when this row last changed: what is freshest goes first."""
    suspicion: Suspicion | None = None
    is_hearsay: bool = False
    """True until a frame of it comes, if others told of it in this start."""
    heard_ms: int | None = None
    told_ms: int | None = None
    """When it was last told that it is gone here, although it speaks."""
    round_trip_ms: int | None = None
    """Of the last probe that it answered itself."""
    phi: PhiHistory = field(default_factory=PhiHistory)

    @property
    def is_live(self) -> bool:
        return self.is_proven and self.standing.is_present

    @property
    def is_forgotten(self) -> bool:
        return self.standing.state is MemberState.FORGOTTEN

    @property
    def is_ghost(self) -> bool:
        """True if it is gone, and this node has nothing but the word of others that it ever was."""
        return self.is_hearsay and not self.standing.is_present

    @property
    def is_silent(self) -> bool:
        """True if it keeps being tried: it is down, or not heard of in this start."""
        return self.standing.state is MemberState.DOWN or (self.standing.is_present and not self.is_proven)


@dataclass(frozen=True, slots=True)
class MemberChange:
    """``kind``: ``joined`` (new here), ``restarted``, ``changed`` (its record), or what it is by now."""

    kind: str
    member: Member
    standing: Standing


class MemberTable:
    """Merges, and tells what was news: to ``spread``, which passes it on, and by ``take_changes``."""

    def __init__(
        self,
        me: Member,
        known: Iterable[MemberRow],
        *,
        tuning: Tuning,
        spread: Callable[[Record | Claim], None],
    ) -> None:
        self.me = me
        self.standing = Standing(me.generation)
        self.peers: dict[ReplicaId, Peer] = {}
        self.fingerprint = _hash(me, self.standing)
        self.present_count = 1
        """Of members that are spoken to, this node among them."""
        self.near, self.far = ReplicaPool(), ReplicaPool()
        """The live members of this node's zone, and those of the others."""
        self.silent: dict[ReplicaId, Peer] = {}
        self.suspects: dict[ReplicaId, Suspicion] = {}
        self._ghosts: dict[ReplicaId, Peer] = {}
        self._dropped: list[ReplicaId] = []
        self.found_copy = False
        """Set when a later start of this node's own replica id is heard of; cleared by who reacts."""
        self.refuted_count = 0
        self.strangers_refused = 0
        self._is_leaving = False
        self._tuning = tuning
        self._spread = spread
        self._change_count = 0
        self._changes: list[MemberChange] = []
        for row in known:
            if row.member.replica != me.replica:
                self._insert(Peer(row.member, row.standing, is_proven=False, changed=0))

    # -- queries

    def find(self, replica: ReplicaId) -> Member | None:
        peer = self.peers.get(replica)
        return None if peer is None else peer.member

    def live(self) -> Iterator[Peer]:
        """Never at this node's own address, whoever had it before."""
        own = self.me.peer
        return (peer for peer in self.peers.values() if peer.is_live and peer.member.peer != own)

    @property
    def has_live(self) -> bool:
        return bool(self.near) or bool(self.far)

    def has_room_for(self, standing: Standing) -> bool:
        """True if a stranger of that standing would be remembered: in a full table none that is gone."""
        return len(self.peers) < MEMBERS_MAX or (bool(self._ghosts) and standing.is_present)

    def known(self) -> Iterator[Peer]:
        """All that are not forgotten."""
        return (peer for peer in self.peers.values() if not peer.is_forgotten)

    def record_of(self, replica: ReplicaId) -> Record | None:
        if replica == self.me.replica:
            return Record(self.me, self.standing)
        peer = self.peers.get(replica)
        return None if peer is None or peer.is_forgotten else Record(peer.member, peer.standing)

    def take_changes(self) -> list[MemberChange]:
        """What changed since the last call, for the log, the table on disk, and whoever reacts to a heal."""
        taken, self._changes = self._changes, []
        return taken

    def take_dropped(self) -> list[ReplicaId]:
        """Who is not even remembered any more, since the last call."""
        taken, self._dropped = self._dropped, []
        return taken

    def check_invariants(self) -> None:
        assert self.me.replica not in self.peers
        fingerprint = _hash(self.me, self.standing)
        for replica, peer in self.peers.items():
            assert replica == peer.member.replica
            assert peer.standing.generation == peer.member.generation
            assert (peer.suspicion is not None) == (peer.standing.state is MemberState.SUSPECT)
            assert (replica in self.suspects) == (peer.suspicion is not None)
            fingerprint += _hash(peer.member, peer.standing)
            assert (replica in self.near or replica in self.far) == peer.is_live
            assert not (replica in self.near and replica in self.far)
            assert (replica in self.silent) == peer.is_silent
            assert (replica in self._ghosts) == peer.is_ghost
        assert len(self.peers) <= MEMBERS_MAX
        for found in (self.silent, self._ghosts, self.suspects, self.near.order, self.far.order):
            assert all(replica in self.peers for replica in found)
        assert self.fingerprint == fingerprint & _U64_MASK
        assert self.present_count == 1 + sum(p.standing.is_present for p in self.peers.values())

    # -- this node

    def set_me(self, me: Member) -> None:
        """This node's own record has changed: its version is raised. Another replica id begins anew."""
        if me.replica != self.me.replica:
            gone = self.peers.pop(me.replica, None)
            assert gone is None, "a new replica id is nobody's"
            self._set_own(replace(me, version=1), Standing(me.generation))
            self._is_leaving = False
        else:
            self._set_own(replace(me, version=self.me.version + 1), self.standing)
        self._spread(Record(self.me, self.standing))

    def set_my_load(self, me: Member) -> None:
        """The same for what comes and goes: it is found by digests, and not spread at once."""
        self._set_own(replace(me, version=self.me.version + 1), self.standing)

    def leave(self) -> Claim:
        """This node leaves; what it claims from now on."""
        self._is_leaving = True
        self._set_own(self.me, self.standing.worsened(MemberState.LEFT))
        claim = Claim(self.me.replica, self.standing, NOBODY)
        self._spread(claim)
        return claim

    # -- merges

    def take_record(self, record: Record, now_ms: int) -> None:
        """A member's record, from anybody."""
        member, standing = record.member, record.standing
        if member.replica == self.me.replica:
            self.hear_of_me(member.version, standing, member)
            return
        peer = self.peers.get(member.replica)
        if peer is None:
            self._meet(record, now_ms)
            return
        merged = peer.member.merge(member)
        if merged is not peer.member:
            self._update(peer, merged)
        if standing.generation == peer.member.generation:
            self.take_claim(Claim(member.replica, standing, NOBODY), now_ms)

    def take_claim(self, claim: Claim, now_ms: int) -> None:
        """A claim about a member's life, from anybody. About a stranger or another start it is ignored."""
        if claim.replica == self.me.replica:
            self.hear_of_me(0, claim.standing)
            return
        peer = self.peers.get(claim.replica)
        if peer is None or claim.standing.generation != peer.member.generation:
            return
        standing = claim.standing
        if standing.state is MemberState.DOWN and peer.standing.is_present:
            if standing.incarnation < peer.standing.incarnation:
                return
            standing = standing.worsened(MemberState.SUSPECT)
            self._suspect(peer, standing, claim.by, now_ms)
            if peer.suspicion is not None:
                peer.suspicion.hasten()
        elif standing.state is MemberState.SUSPECT:
            self._suspect(peer, standing, claim.by, now_ms)
        elif standing.outranks(peer.standing):
            self._set_standing(peer, standing)

    def hear_of_me(self, version: int, standing: Standing, member: Member | None = None) -> None:
        """About this node nobody knows better, unless there are two of it."""
        if standing.generation != self.me.generation:
            self.found_copy |= standing.generation > self.me.generation
            return
        if standing.outranks(self.standing):
            self._refute(standing)
        is_forged = member is not None and member.merge(self.me) is member and member != self.me
        if version > self.me.version or is_forged:
            self._set_own(replace(self.me, version=version + 1), self.standing)
            self._spread(Record(self.me, self.standing))

    def prove(self, replica: ReplicaId) -> None:
        """Somebody who should know says that this member's row is as it is here."""
        peer = self.peers.get(replica)
        if peer is not None and not peer.is_proven:
            peer.is_proven = True
            self._sort(peer)
            if peer.standing.is_present:
                self._note("alive", peer)

    # -- own evidence

    def note_heard(self, peer: Peer, now_ms: int) -> None:
        """A frame came from ``peer`` itself."""
        peer.heard_ms = now_ms
        if peer.is_hearsay:
            peer.is_hearsay = False
            self._sort(peer)

    def accuse(self, replica: ReplicaId, now_ms: int) -> None:
        """This node's probe of a member has failed."""
        peer = self.peers.get(replica)
        if peer is not None and peer.standing.is_present:
            self._suspect(peer, peer.standing.worsened(MemberState.SUSPECT), self.me.replica, now_ms)

    def declare(self, replica: ReplicaId, state: MemberState) -> None:
        """Down, because nobody refuted in time or another replica answers at its address; or forgotten."""
        peer = self.peers.get(replica)
        if peer is not None and peer.standing.state < state:
            self._set_standing(peer, peer.standing.worsened(state))

    def drop(self, replica: ReplicaId) -> None:
        """A member that was forgotten long ago: not even that is remembered."""
        assert self.peers[replica].is_forgotten
        self._remove(self.peers[replica])

    def note_suspicion_renewed(self, replica: ReplicaId, now_ms: int) -> None:
        """The suspect was heard meanwhile, and has not refuted: it gets its time again."""
        peer = self.peers[replica]
        peer.suspicion = self.suspects[replica] = self._new_suspicion(self.me.replica, now_ms)

    # -- details

    def _refute(self, claimed: Standing) -> None:
        try:
            refuted = claimed.refuted()
        except EncodingError:  # somebody lies: only this node raises its incarnation
            self.found_copy = True
            return
        self.refuted_count += 1
        if self._is_leaving:
            refuted = refuted.worsened(MemberState.LEFT)
        self._set_own(self.me, refuted)
        self._spread(Claim(self.me.replica, refuted, NOBODY))

    def _set_own(self, me: Member, standing: Standing) -> None:
        self._add_to_fingerprint(-_hash(self.me, self.standing) + _hash(me, standing))
        self.me, self.standing = me, standing

    def _meet(self, record: Record, now_ms: int) -> None:
        """A stranger. One that is forgotten stays unknown; of one that is gone nothing is told."""
        standing = record.standing
        if standing.state is MemberState.FORGOTTEN:
            return
        if not self.has_room_for(standing):
            self.strangers_refused += 1
            return
        if len(self.peers) >= MEMBERS_MAX:
            self._remove(next(iter(self._ghosts.values())))
        is_suspect = standing.state is MemberState.SUSPECT
        peer = Peer(record.member, standing, is_proven=True, changed=0, is_hearsay=True)
        if is_suspect:
            peer.standing = replace(standing, state=MemberState.ALIVE)
        self._insert(peer)
        self._touch(peer)
        self._note("joined", peer)
        if peer.standing.is_present:
            self._note("alive", peer)
        self._spread(Record(peer.member, peer.standing))
        if is_suspect:
            self._suspect(peer, standing, NOBODY, now_ms)

    def _update(self, peer: Peer, member: Member) -> None:
        """A later record of ``peer``."""
        old = peer.member
        is_restart = member.is_restart_of(old)
        differs = member.differs_durably(old) or member.troubles != old.troubles
        was_live = peer.is_live
        if is_restart:
            peer.is_proven, peer.phi = True, PhiHistory()
            self._replace_row(peer, member, Standing(member.generation))
            self._note("restarted", peer)
        else:
            self._replace_row(peer, member, peer.standing)
            if differs:
                self._note("changed", peer)
        if differs:
            self._spread(Record(member, peer.standing))
        has_moved = member.peer != old.peer and peer.is_live
        if is_restart or has_moved or (peer.is_live and not was_live):
            self._note("alive", peer)

    def _suspect(self, peer: Peer, standing: Standing, by: ReplicaId, now_ms: int) -> None:
        if standing.outranks(peer.standing):
            peer.suspicion = self.suspects[peer.member.replica] = self._new_suspicion(by, now_ms)
            self._replace_row(peer, peer.member, standing)
            self._note("suspect", peer)
        elif standing != peer.standing or peer.suspicion is None or not peer.suspicion.confirm(by):
            return
        self._spread(Claim(peer.member.replica, standing, by))

    def _new_suspicion(self, by: ReplicaId, now_ms: int) -> Suspicion:
        return Suspicion(by, member_count=self.present_count, tuning=self._tuning, now_ms=now_ms)

    def _set_standing(self, peer: Peer, standing: Standing) -> None:
        was_live, old = peer.is_live, peer.standing
        peer.is_proven |= standing.state is MemberState.ALIVE
        self._replace_row(peer, peer.member, standing)
        self._spread(Claim(peer.member.replica, standing, NOBODY))
        if standing.state is MemberState.ALIVE:
            if not was_live or old.state is MemberState.SUSPECT:
                self._note("alive", peer)
        elif standing.state is not old.state:
            self._note(standing.state.name.lower(), peer)

    def _replace_row(self, peer: Peer, member: Member, standing: Standing) -> None:
        self._add_to_fingerprint(-_hash(peer.member, peer.standing) + _hash(member, standing))
        self.present_count += standing.is_present - peer.standing.is_present
        peer.member, peer.standing = member, standing
        if standing.state is not MemberState.SUSPECT:
            peer.suspicion = None
            self.suspects.pop(member.replica, None)
        self._sort(peer)
        self._touch(peer)

    def _insert(self, peer: Peer) -> None:
        if peer.standing.state is MemberState.SUSPECT:  # of an earlier start of this node: it begins anew
            peer.standing = replace(peer.standing, state=MemberState.ALIVE)
        self.peers[peer.member.replica] = peer
        self.present_count += peer.standing.is_present
        self._add_to_fingerprint(_hash(peer.member, peer.standing))
        self._sort(peer)

    def _remove(self, peer: Peer) -> None:
        """One that is gone."""
        assert not peer.standing.is_present
        replica = peer.member.replica
        del self.peers[replica]
        self.silent.pop(replica, None)
        self._ghosts.pop(replica, None)
        self._add_to_fingerprint(-_hash(peer.member, peer.standing))
        self._dropped.append(replica)

    def _sort(self, peer: Peer) -> None:
        """Where it is found by whoever looks for somebody to talk to."""
        replica = peer.member.replica
        pools = (self.near, self.far) if peer.member.zone == self.me.zone else (self.far, self.near)
        pools[1].discard(replica)
        if peer.is_live:
            pools[0].add(replica)
        else:
            pools[0].discard(replica)
        if peer.is_silent:
            self.silent[replica] = peer
        else:
            self.silent.pop(replica, None)
        if peer.is_ghost:
            self._ghosts[replica] = peer
        else:
            self._ghosts.pop(replica, None)

    def _touch(self, peer: Peer) -> None:
        self._change_count += 1
        peer.changed = self._change_count

    def _note(self, kind: str, peer: Peer) -> None:
        self._changes.append(MemberChange(kind, peer.member, peer.standing))

    def _add_to_fingerprint(self, difference: int) -> None:
        self.fingerprint = (self.fingerprint + difference) & _U64_MASK


def _hash(member: Member, standing: Standing) -> int:
    """Of what two nodes must agree on; nothing for a member that is forgotten."""
    if standing.state is MemberState.FORGOTTEN:
        return 0
    row = _ROW.pack(member.replica, standing.generation, member.version, standing.incarnation, standing.state)
    return xxh3_64_intdigest(row)


def claim_about(peer: Peer) -> Claim:
    """What this node holds of a member's life."""
    by = min(peer.suspicion.by) if peer.suspicion is not None else NOBODY
    return Claim(peer.member.replica, peer.standing, by)


def addresses(peers: Iterable[Peer]) -> list[Address]:
    return sorted({peer.member.peer for peer in peers})
