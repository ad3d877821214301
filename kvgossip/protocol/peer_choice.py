"""Which of the live members to talk to: mostly those of the own zone, and some of the others.

Each choice falls on another zone with the chance ``cross_zone_share``, whatever the sizes of the zones, and
there on a random member: so the traffic between zones is a bounded share of all, and every zone is reached by
many paths. Without zones, or with nobody in the own one, all choices are uniform.
"""

from collections.abc import Sequence
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.protocol.member_table import MemberTable, Peer


class PeerChoice:
    """Random choices without repetition among the live members."""

    def __init__(self, table: MemberTable, *, tuning: Tuning, rng: Random) -> None:
        self._table = table
        self._tuning = tuning
        self._rng = rng

    def choose(self, count: int) -> list[Peer]:
        """At most ``count`` live members, near ones mostly."""
        return self._choose(count, list(self._table.live()))

    def helpers(self, count: int, target: ReplicaId) -> list[Peer]:
        """The same of those that nobody suspects, other than ``target``."""
        live = self._table.live()
        return self._choose(count, [p for p in live if p.suspicion is None and p.member.replica != target])

    def _choose(self, count: int, peers: list[Peer]) -> list[Peer]:
        zone = self._table.me.zone
        near = [peer for peer in peers if peer.member.zone == zone]
        far = [peer for peer in peers if peer.member.zone != zone]
        chosen: list[Peer] = []
        while len(chosen) < count and (near or far):
            is_far = not near or (far and self._rng.random() < self._tuning.cross_zone_share)
            chosen.append(self._take(far if is_far else near))
        return chosen

    def addresses(self, count: int) -> Sequence[Address]:
        return [peer.member.peer for peer in self.choose(count)]

    def sample(self) -> Peer | None:
        """One live and fit member, uniformly, whatever its zone: independent of all earlier choices."""
        live = list(self._table.live())
        fit = [peer for peer in live if peer.member.is_fit]
        return self._rng.choice(fit or live) if live else None

    def _take(self, peers: list[Peer]) -> Peer:
        """One at random, out of the list: the last one fills its place."""
        index = self._rng.randrange(len(peers))
        peers[index], peers[-1] = peers[-1], peers[index]
        return peers.pop()
