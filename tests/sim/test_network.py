"""The simulated network: what each fault does to a frame, and that it is counted."""

from random import Random

import pytest

from kvgossip.errors import EncodingError
from kvgossip.model.ids import Address
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.network import STRANGE_FRAMES, SimNetwork
from kvgossip.sim.scheduler import SECOND, Scheduler
from kvgossip.wire.codec import decode, encode
from kvgossip.wire.messages import RumorAnswer

A, B, C = Address("a:1"), Address("b:1"), Address("c:1")


class Wire:
    """A network whose deliveries are kept."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.injected = Injected()
        self.arrived: list[tuple[Address, Address, bytes]] = []
        self.network = SimNetwork(
            self.scheduler, Random(1), lambda *frame: self.arrived.append(frame), self.injected
        )

    def send_many(self, count: int = 200) -> list[int]:
        """Frames from A to B; the numbers of those that arrive, in their order."""
        for number in range(count):
            self.network.send(A, B, b"%d" % number)
        self.scheduler.run_until(self.scheduler.now_us + 10 * SECOND)
        arrived, self.arrived = self.arrived, []
        return [int(data) for _, _, data in arrived]


def test_a_good_network_delivers_every_frame_once_and_in_order() -> None:
    wire = Wire()
    assert wire.send_many() == list(range(200))
    assert not wire.injected


def test_a_heavy_tail_delays_and_keeps_the_order() -> None:
    wire = Wire()
    wire.network.quality.tail = 0.3
    assert wire.send_many() == list(range(200))
    assert wire.injected[Fault.DELAY] > 0


def test_lost_frames_are_counted() -> None:
    wire = Wire()
    wire.network.quality.loss = 0.5
    arrived = wire.send_many()
    assert len(arrived) == 200 - wire.injected[Fault.LOSS] < 200


def test_duplicated_frames_are_counted() -> None:
    wire = Wire()
    wire.network.quality.duplication = 0.5
    arrived = wire.send_many()
    assert len(arrived) == 200 + wire.injected[Fault.DUPLICATION] > 200
    assert set(arrived) == set(range(200))


def test_frames_of_the_past_come_again_and_are_counted() -> None:
    wire = Wire()
    wire.network.quality.replay = 0.3
    arrived = wire.send_many()
    assert len(arrived) == 200 + wire.injected[Fault.REPLAY] > 200


def test_a_narrow_link_carries_so_many_bytes_and_drops_what_would_wait_too_long() -> None:
    wire = Wire()
    wire.network.quality.bytes_per_s = 50
    arrived = wire.send_many()
    assert 0 < len(arrived) < 200
    assert sum(len(str(number)) for number in arrived) <= 50 * 4 + 3
    assert wire.injected[Fault.NARROW] > 0


def test_a_message_of_a_later_version_has_a_field_more_and_is_read_all_the_same() -> None:
    wire = Wire()
    wire.network.quality.later = frozenset([A])
    message = RumorAnswer(7, b"\x01")
    wire.network.send(A, B, encode(message))
    wire.scheduler.run_until(SECOND)
    ((_, _, data),) = wire.arrived
    assert data != encode(message)
    assert decode(data) == message
    for frame in STRANGE_FRAMES:
        with pytest.raises(EncodingError):
            decode(frame)
    assert wire.injected[Fault.STRANGE] == 1


def test_reordered_frames_overtake_and_none_is_lost() -> None:
    wire = Wire()
    wire.network.quality.reorder = 0.5
    arrived = wire.send_many()
    assert sorted(arrived) == list(range(200)) != arrived
    assert wire.injected[Fault.REORDER] > 0


def test_a_cut_drops_also_what_is_on_its_way_and_only_in_its_direction() -> None:
    wire = Wire()
    wire.network.send(A, B, b"0")
    wire.network.cut([(A, B)], Fault.ONE_WAY)
    assert not wire.network.send(A, B, b"1")
    wire.network.send(B, A, b"2")
    wire.network.send(A, C, b"3")
    wire.scheduler.run_until(SECOND)
    assert sorted(data for _, _, data in wire.arrived) == [b"2", b"3"]
    assert wire.injected[Fault.ONE_WAY] == 2


def test_overlapping_cuts_are_undone_one_by_one() -> None:
    wire = Wire()
    wire.network.cut([(A, B)], Fault.PARTITION)
    wire.network.cut([(A, B)], Fault.BRIDGE)
    wire.network.mend([(A, B)], Fault.PARTITION)
    assert wire.network.is_cut(A, B)
    wire.network.mend([(A, B)], Fault.BRIDGE)
    assert not wire.network.is_cut(A, B)
