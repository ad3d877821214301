"""The digest exchange: finds in three messages what two member tables do not share.

Source: van Renesse, Dumitriu, Gough, Thomas, "Efficient Reconciliation and Flow Control for Anti-Entropy
Protocols" (2008): SYN carries digests, ACK what they show to be older there and a request for what is newer,
ACK2 what was asked for. Whoever learns of strangers from the digests of an ACK asks for them by an ACK
without digests, and begins again. It runs when the fingerprints of two tables differ, which every ack to a
probe tells, at a first acquaintance, and with seeds and members that are down: so islands find each other.

Invariants: a message is at most ``member_message_bytes_max``. A digest above half of that is a part of the
whole, one half of it the rows that changed last, the other half random; a SYN says whether it is whole.
"""

from collections.abc import Iterable, Sequence
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.model.member import MemberState
from kvgossip.protocol.member_news import CLAIM_BYTES, record_bytes
from kvgossip.protocol.member_table import NOBODY, MemberTable, Peer, claim_about
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import Claim, MemberAck, MemberAck2, MemberDigest, MemberNews, MemberSyn, Record

DIGEST_BYTES = 34
"""The most that one digest takes on the wire."""
ASKED_MAX = 64
"""Records asked for at a time; one answer would hardly bring more."""
ASKED_BYTES = 9


class MemberGossip:
    """Both sides of the exchange; it remembers nothing between messages but when it last asked."""

    def __init__(self, table: MemberTable, *, tuning: Tuning, rng: Random, outbox: Outbox) -> None:
        self._table = table
        self._tuning = tuning
        self._rng = rng
        self._outbox = outbox
        self._asked_ms: int | None = None

    def begin(self, address: Address) -> None:
        digests, is_whole = self._digests()
        self._outbox.send(address, MemberSyn(digests, is_whole))

    def begin_if_due(self, address: Address, now_ms: int) -> None:
        """The same, once in a while: there is news on its way that may settle it."""
        if self._asked_ms is None or now_ms >= self._asked_ms + self._tuning.digest_interval_ms:
            self._asked_ms = now_ms
            self.begin(address)

    def handle_syn(self, sender: Address, syn: MemberSyn, now_ms: int) -> None:
        records, claims, asked = self._compare(syn.digests, now_ms)
        digests: tuple[MemberDigest, ...] = ()
        if syn.is_whole:
            mentioned = {digest.replica for digest in syn.digests}
            records += self._unmentioned(mentioned)
        else:
            digests, _ = self._digests()
        room = self._tuning.member_message_bytes_max - len(digests) * DIGEST_BYTES - ASKED_MAX * ASKED_BYTES
        sent_records, sent_claims = _fitting(records, claims, room)
        has_more = len(sent_records) + len(sent_claims) < len(records) + len(claims)
        self._outbox.send(
            sender, MemberAck(digests, sent_records, sent_claims, tuple(asked[:ASKED_MAX]), has_more)
        )

    def handle_ack(self, sender: Address, ack: MemberAck, now_ms: int) -> None:
        before = self._table.fingerprint
        self.take(ack, now_ms)
        records, claims, asked = self._compare(ack.digests, now_ms)
        told = {record.member.replica for record in records}
        for replica in ack.asked:
            record = self._table.record_of(replica)
            if record is not None and replica not in told:
                records.append(record)
        room = self._tuning.member_message_bytes_max - ASKED_MAX * ASKED_BYTES
        fitting = _fitting(records, claims, room)
        if asked:
            self._outbox.send(sender, MemberAck((), *fitting, tuple(asked[:ASKED_MAX]), False))
        elif records or claims:
            self._outbox.send(sender, MemberAck2(*fitting))
        if asked or (ack.has_more and self._table.fingerprint != before):
            self.begin(sender)

    def take(self, told: MemberAck | MemberAck2 | MemberNews, now_ms: int) -> None:
        """Records and claims, by whatever message."""
        for record in told.records:
            self._table.take_record(record, now_ms)
        for claim in told.claims:
            self._table.take_claim(claim, now_ms)

    # -- digests

    def _digests(self) -> tuple[tuple[MemberDigest, ...], bool]:
        """(digests that fit, are they of all)."""
        table = self._table
        room = self._tuning.member_message_bytes_max // 2 // DIGEST_BYTES - 1
        peers = list(table.known())
        is_whole = len(peers) <= room
        if not is_whole:
            peers.sort(key=lambda peer: -peer.changed)
            fresh = room // 2
            peers = peers[:fresh] + self._rng.sample(peers[fresh:], room - fresh)
        own = MemberDigest(table.me.replica, table.me.version, table.standing)
        return (own, *map(_digest, peers)), is_whole

    def _compare(
        self, digests: Sequence[MemberDigest], now_ms: int
    ) -> tuple[list[Record], list[Claim], list[ReplicaId]]:
        """(records newer here, claims newer here, replicas with newer records there)."""
        table = self._table
        records: list[Record] = []
        claims: list[Claim] = []
        newer_there: list[ReplicaId] = []
        for digest in digests:
            replica, told = digest.replica, digest.standing
            if replica == table.me.replica:
                table.hear_of_me(digest.version, told)
                theirs = (told.generation, digest.version)
                if theirs < (table.me.generation, table.me.version):
                    records.append(Record(table.me, table.standing))
                elif table.standing.outranks(told):
                    claims.append(Claim(replica, table.standing, NOBODY))
                continue
            peer = table.peers.get(replica)
            if peer is None:
                if told.state is not MemberState.FORGOTTEN and table.has_room_for(told):
                    newer_there.append(replica)
                continue
            mine = (peer.member.generation, peer.member.version)
            theirs = (told.generation, digest.version)
            if theirs > mine:
                newer_there.append(replica)
            elif theirs < mine and not peer.is_forgotten:
                records.append(Record(peer.member, peer.standing))
            if peer.standing.outranks(told) and theirs >= mine:
                claims.append(claim_about(peer))
            elif told.generation == peer.member.generation:
                table.take_claim(Claim(replica, told, NOBODY), now_ms)
                table.prove(replica)
        return records, claims, newer_there

    def _unmentioned(self, mentioned: set[ReplicaId]) -> list[Record]:
        """Those changed last come first."""
        table = self._table
        peers = [peer for peer in table.known() if peer.member.replica not in mentioned]
        peers.sort(key=lambda peer: -peer.changed)
        records = [Record(peer.member, peer.standing) for peer in peers]
        return records if table.me.replica in mentioned else [Record(table.me, table.standing), *records]


def _digest(peer: Peer) -> MemberDigest:
    return MemberDigest(peer.member.replica, peer.member.version, peer.standing)


def _fitting(
    records: Iterable[Record], claims: Iterable[Claim], room: int
) -> tuple[tuple[Record, ...], tuple[Claim, ...]]:
    """As many as fit ``room`` bytes, claims first."""
    kept_claims = tuple(claims)[: room // CLAIM_BYTES]
    room -= len(kept_claims) * CLAIM_BYTES
    kept: list[Record] = []
    for record in records:
        size = record_bytes(record.member)
        if size <= room:
            room -= size
            kept.append(record)
    return tuple(kept), kept_claims
