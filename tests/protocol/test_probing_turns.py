"""Who is probed, and when: the successor, all others in turn, and other zones at a bounded rate."""

from collections import Counter
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import Member, MemberRow, MemberState, Standing
from kvgossip.protocol.membership import Membership
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire import messages as m


def member(number: int, zone: str = "") -> Member:
    return Member(
        ReplicaId(number), Generation(1), 1, f"n{number}", Address(f"n{number}:1"), f"n{number}:2", "1", zone
    )


class Prober:
    """One node among members that answer every ping at once."""

    def __init__(self, *members: Member, me: int = 0) -> None:
        self.outbox = Outbox()
        rows = [MemberRow(member, Standing(member.generation), 0) for member in members]
        self.membership = Membership(
            members[me], rows, tuning=Tuning(), rng=Random(7), outbox=self.outbox, now_ms=0
        )
        for other in members:
            self.membership.table.prove(other.replica)

    def probe(self, seconds: int, *, dead: tuple[int, ...] = ()) -> list[ReplicaId]:
        """Whom it pings."""
        pinged = []
        for now_ms in range(0, seconds * 1_000, 100):
            self.membership.handle_timer(now_ms)
            self.membership.check_invariants()
            for to, message in self.outbox.take():
                if isinstance(message, m.Ping):
                    pinged.append(message.target)
                    if message.target not in dead:
                        self.membership.handle_heard(message.target, now_ms)
                        fingerprint = self.membership.table.fingerprint
                        self.membership.receive(to, m.Ack(message.sequence, fingerprint), now_ms)
        return pinged


def test_every_other_probe_is_of_the_successor_and_the_others_take_turns() -> None:
    prober = Prober(*[member(number) for number in range(1, 12)], me=4)
    pinged = Counter(prober.probe(200))
    assert abs(pinged[ReplicaId(6)] - 110) <= 2, "half of 200, and its turns among the other ten"
    others = [count for replica, count in pinged.items() if replica != 6]
    assert len(others) == 9
    assert max(others) - min(others) <= 1


def test_the_ring_is_closed_and_everybody_has_one_watcher() -> None:
    members = [member(number) for number in (3, 40, 500, (1 << 64) - 1)]
    watched = [Counter(Prober(*members, me=index).probe(60)).most_common(1)[0][0] for index in range(4)]
    assert watched == [40, 500, (1 << 64) - 1, 3]


def test_a_successor_that_is_down_is_succeeded() -> None:
    prober = Prober(*[member(number) for number in range(1, 6)])
    prober.membership.table.declare(ReplicaId(2), MemberState.DOWN)
    assert Counter(prober.probe(60, dead=(2,)))[ReplicaId(3)] >= 30


def test_other_zones_get_their_share_of_the_probes_and_each_member_a_turn() -> None:
    zones = ["a"] * 4 + ["b"] * 10 + ["c"] * 10
    members = [member(number, zone) for number, zone in enumerate(zones, 1)]
    pinged = Counter(Prober(*members).probe(500))
    far = sum(count for replica, count in pinged.items() if replica > 4)
    assert abs(far / pinged.total() - Tuning().cross_zone_share) < 0.01
    assert len(pinged) == 23


def test_who_is_alone_in_its_zone_probes_the_others_all_the_time() -> None:
    pinged = Prober(*[member(number, "a" if number == 1 else "b") for number in range(1, 6)]).probe(20)
    assert len(pinged) >= 19
    assert len(set(pinged)) == 4


def test_who_is_gone_is_asked_by_pings_and_not_with_the_digest_of_all() -> None:
    """The digest of a thousand members, each second, to an address where nobody is, is no small thing."""
    prober = Prober(*[member(number) for number in range(1, 20)])
    prober.membership.table.declare(ReplicaId(9), MemberState.DOWN)
    prober.membership.handle_timer(0)
    asked = [message for to, message in prober.outbox.take() if to == "n9:1"]
    assert [type(message) for message in asked if not isinstance(message, m.MemberNews)] == [m.Ping]
