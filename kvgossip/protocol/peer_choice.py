"""Which of the live members to talk to: some at random, mostly of the own zone; or one of all, uniformly."""

from collections.abc import Iterable, Sequence
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.protocol.member_table import MemberTable, Peer
from kvgossip.protocol.zones import choose_by_zone


class PeerChoice:
    """Random choices without repetition among the live members."""

    def __init__(self, table: MemberTable, *, tuning: Tuning, rng: Random) -> None:
        self._table = table
        self._tuning = tuning
        self._rng = rng

    def choose(self, count: int) -> list[Peer]:
        """At most ``count`` live members, near ones mostly."""
        table, share = self._table, self._tuning.cross_zone_share
        near, far = table.near.order, table.far.order
        chosen = choose_by_zone(self._rng, near, far, count=count, far_share=share)
        return [table.peers[replica] for replica in chosen]

    def helpers(self, count: int, target: ReplicaId) -> list[Peer]:
        """The same of those that nobody suspects, other than ``target``."""
        live = self._table.live()
        return self._choose(count, (p for p in live if p.suspicion is None and p.member.replica != target))

    def addresses(self, count: int) -> Sequence[Address]:
        return [peer.member.peer for peer in self.choose(count)]

    def sample(self) -> Peer | None:
        """One live and fit member, uniformly, whatever its zone: independent of all earlier choices."""
        fit = [peer for peer in self._table.live() if peer.member.is_fit]
        return self._rng.choice(fit) if fit else None

    def _choose(self, count: int, peers: Iterable[Peer]) -> list[Peer]:
        near: list[Peer] = []
        far: list[Peer] = []
        zone = self._table.me.zone
        for peer in peers:
            (near if peer.member.zone == zone else far).append(peer)
        share = self._tuning.cross_zone_share
        return choose_by_zone(self._rng, near, far, count=count, far_share=share)
