"""Membership of some nodes by hand: frames through the codec, and a clock that moves when told."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import Member, MemberRow, MemberState, Standing
from kvgossip.protocol.member_table import MemberChange
from kvgossip.protocol.membership import MemberMessage, Membership
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire import codec
from kvgossip.wire import messages as m

ALIVE, SUSPECT, DOWN = MemberState.ALIVE, MemberState.SUSPECT, MemberState.DOWN
LEFT, FORGOTTEN = MemberState.LEFT, MemberState.FORGOTTEN


def member(
    number: int, *, generation: int = 1, version: int = 1, at: str | None = None, zone: str = ""
) -> Member:
    return Member(
        replica=ReplicaId(number),
        generation=Generation(generation),
        version=version,
        name=f"n{number}",
        peer=Address(at or f"n{number}:1"),
        api=f"n{number}:2",
        software="0.1",
        zone=zone,
    )


def standing(state: MemberState = ALIVE, *, incarnation: int = 0, generation: int = 1) -> Standing:
    return Standing(Generation(generation), incarnation, state)


def record(told: Member, state: MemberState = ALIVE, *, incarnation: int = 0) -> m.Record:
    return m.Record(told, Standing(told.generation, incarnation, state))


def claim(
    number: int, state: MemberState, *, incarnation: int = 0, generation: int = 1, by: int = 0
) -> m.Claim:
    told = standing(state, incarnation=incarnation, generation=generation)
    return m.Claim(ReplicaId(number), told, ReplicaId(by))


def news(*told: m.Record | m.Claim) -> m.MemberNews:
    records = tuple(item for item in told if isinstance(item, m.Record))
    return m.MemberNews(records, tuple(item for item in told if isinstance(item, m.Claim)))


def rows(members: Iterable[Member]) -> list[MemberRow]:
    return [MemberRow(known, Standing(known.generation), 0) for known in members]


class Hand:
    """The membership of one node."""

    def __init__(
        self,
        me: Member | int,
        *known: Member,
        seeds: tuple[str, ...] = (),
        tuning: Tuning | None = None,
        now_ms: int = 0,
        rng_seed: int | None = None,
    ) -> None:
        me = member(me) if isinstance(me, int) else me
        self.outbox = Outbox()
        self.tuning = tuning or Tuning()
        self.membership = Membership(
            me,
            rows(known),
            tuning=self.tuning,
            rng=Random(me.replica if rng_seed is None else rng_seed),
            outbox=self.outbox,
            now_ms=now_ms,
        )
        self.membership.set_seeds([Address(seed) for seed in seeds])
        self.table = self.membership.table

    @property
    def address(self) -> Address:
        return self.table.me.peer

    @property
    def replica(self) -> ReplicaId:
        return self.table.me.replica

    def sent(self) -> list[tuple[Address, m.Message]]:
        self.membership.check_invariants()
        return self.outbox.take()

    def receive(self, sender: "Hand", message: m.Message, now_ms: int) -> None:
        """As the replica does: something was heard, and then the message."""
        frame = codec.encode(message)
        assert len(frame) <= self.tuning.member_message_bytes_max
        received = codec.decode(frame)
        assert isinstance(received, MemberMessage)
        self.membership.handle_heard(sender.replica, now_ms)
        self.membership.receive(sender.address, received, now_ms)
        self.membership.check_invariants()

    def changes(self) -> list[tuple[str, int]]:
        return [(change.kind, change.member.replica) for change in self.take_changes()]

    def take_changes(self) -> list[MemberChange]:
        return self.table.take_changes()

    def knows(self) -> set[int]:
        return {peer.member.replica for peer in self.table.known()}

    def live(self) -> set[int]:
        return {peer.member.replica for peer in self.table.live()}

    def state_of(self, number: int) -> MemberState:
        return self.table.peers[ReplicaId(number)].standing.state

    def handle_timer(self, now_ms: int) -> None:
        self.membership.handle_timer(now_ms)


Drops = Callable[[Hand, Hand], bool]
"""(from, to): True if the frame is lost."""


def drops_nothing(sender: Hand, receiver: Hand) -> bool:
    return False


def talk(hands: list[Hand], now_ms: int, *, drops: Drops = drops_nothing) -> int:
    """Deliver until nobody says anything more; returns how many messages arrived."""
    by_address = {hand.address: hand for hand in hands}
    count = 0
    while sent := [(hand, to, message) for hand in hands for to, message in hand.sent()]:
        assert count < 100_000, "they talk for ever"
        for sender, to, message in sent:
            receiver = by_address.get(to)
            if receiver is not None and not drops(sender, receiver):
                count += 1
                receiver.receive(sender, message, now_ms)
    return count


def run(
    hands: list[Hand], from_ms: int, to_ms: int, *, step_ms: int = 50, drops: Drops = drops_nothing
) -> int:
    """Let time pass; returns how many messages arrived."""
    count = 0
    for now_ms in range(from_ms, to_ms, step_ms):
        for hand in hands:
            if hand.membership.next_deadline_ms() <= now_ms:
                hand.handle_timer(now_ms)
        count += talk(hands, now_ms, drops=drops)
    return count


def acquainted(*numbers: int, tuning: Tuning | None = None, zone: str = "") -> list[Hand]:
    """Nodes that know and have heard each other."""
    everyone = [member(number, zone=zone) for number in numbers]
    hands = [Hand(me, *(other for other in everyone if other is not me), tuning=tuning) for me in everyone]
    for hand in hands:
        for other in hands:
            if other is not hand:
                hand.membership.handle_heard(other.replica, 0)
        hand.take_changes()
        hand.sent()
    return hands


def with_tuning(**changes: int | float) -> Tuning:
    return replace(Tuning(), **changes)  # type: ignore[arg-type]
