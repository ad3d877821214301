"""A node of the membership simulator: the real machine and the real codec, and nothing else of a node.

What is simplified: nobody says Hello. A frame counts as a sign of life of whoever runs at its address, and
the first frame of a new start stands for its Hello.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import Member, MemberRow, MemberState
from kvgossip.protocol.member_table import MemberChange
from kvgossip.protocol.membership import Membership
from kvgossip.protocol.outbox import Outbox
from kvgossip.sim.checkers.base import Violation
from kvgossip.wire import codec
from kvgossip.wire import messages as m

TABLE_MESSAGES = (m.MemberSyn, m.MemberAck, m.MemberAck2, m.MemberNews)
MEMBER_MESSAGES = (m.Ping, m.Ack, m.PingReq, m.Nack, *TABLE_MESSAGES)


class MemberNode:
    """One start of one member."""

    def __init__(
        self,
        me: Member,
        known: Iterable[MemberRow],
        *,
        seeds: tuple[Address, ...],
        met: Mapping[Address, ReplicaId],
        tuning: Tuning,
        rng: Random,
        now_ms: int,
    ) -> None:
        self.replica = me.replica
        self.address = me.peer
        self.is_running = True
        self.is_frozen = False
        self.is_leaving = False
        self.backlog: list[tuple[Address, ReplicaId, bytes]] = []
        """Frames that came while this node was frozen."""
        self.timer_us: int | None = None
        self.sent_bytes = 0
        self.sent_frames: Counter[str] = Counter()
        self._tuning = tuning
        self._outbox = Outbox()
        self._met_before, self._met = met, dict[Address, ReplicaId]()
        self.membership = Membership(me, known, tuning=tuning, rng=rng, outbox=self._outbox, now_ms=now_ms)
        self.membership.set_seeds(seeds)

    # -- inputs

    def receive(self, sender: Address, replica: ReplicaId, data: bytes, now_ms: int) -> None:
        """A frame of the replica that runs at ``sender``."""
        message, news = codec.decode_frame(data)
        assert isinstance(message, MEMBER_MESSAGES)
        if self._met.get(sender, self._met_before.get(sender)) != replica:
            self._met[sender] = replica
            self.membership.handle_acquainted(sender, replica)
        self.membership.handle_heard(replica, now_ms)
        self.membership.receive(sender, message, now_ms)
        if news is not None:
            self.membership.receive(sender, news, now_ms)

    def handle_timer(self, now_ms: int) -> None:
        self.membership.handle_timer(now_ms)

    def leave(self) -> None:
        self.is_leaving = True
        self.membership.leave()

    # -- outputs

    def take_frames(self) -> Iterator[tuple[Address, bytes]]:
        """What is to be sent by now; news of members rides along."""
        for to, message in self._outbox.take():
            is_alone = isinstance(message, TABLE_MESSAGES)
            news = None if is_alone else self.membership.take_news(self._tuning.news_bytes_max)
            data = codec.encode(message, news)
            self.sent_bytes += len(data)
            self.sent_frames[type(message).__name__] += 1
            yield to, data

    def take_changes(self) -> list[MemberChange]:
        self.membership.table.take_dropped()
        return self.membership.table.take_changes()

    # -- queries

    @property
    def is_awake(self) -> bool:
        return self.is_running and not self.is_frozen

    @property
    def me(self) -> Member:
        return self.membership.table.me

    @property
    def incarnation(self) -> int:
        return self.membership.table.standing.incarnation

    def holds(self, replica: ReplicaId) -> MemberState | None:
        """What this node holds another one to be; None if it does not know it."""
        peer = self.membership.table.peers.get(replica)
        return None if peer is None else peer.standing.state

    def holds_alive(self, replica: ReplicaId, generation: Generation) -> bool:
        peer = self.membership.table.peers.get(replica)
        return (
            peer is not None
            and peer.standing.state is MemberState.ALIVE
            and peer.is_proven
            and peer.standing.generation == generation
        )

    def rows(self) -> list[MemberRow]:
        """What its disk keeps."""
        peers = self.membership.table.peers.values()
        return [MemberRow(peer.member, peer.standing, 0) for peer in peers]

    def check(self) -> None:
        """Raises ``Violation``: what must hold at any time, whatever happens."""
        try:
            self.membership.check_invariants()
        except AssertionError as error:
            raise Violation("Invariants", f"{self.address}: {error}") from None
        standing = self.membership.table.standing
        expected = MemberState.LEFT if self.is_leaving else MemberState.ALIVE
        if standing.state is not expected:
            raise Violation("OwnWordOnly", f"{self.address} holds itself {standing.state.name.lower()}")
