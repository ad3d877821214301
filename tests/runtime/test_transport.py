"""Links between real transports on loopback: opened once, named well, given up in time."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random

import pytest
from aiohttp import ClientSession, WSMsgType

from kvgossip.config import FRAME_BYTES_MAX
from kvgossip.model.ids import Address
from kvgossip.runtime import link as link_module
from kvgossip.runtime import openings as openings_module
from kvgossip.runtime import peer as peer_module
from kvgossip.runtime import transport as transport_module
from kvgossip.runtime import websocket as websocket_module
from kvgossip.runtime.loop import run
from kvgossip.runtime.send_queue import BULK_BYTES_MAX
from kvgossip.runtime.websocket import OPENINGS_MAX, PEER_PATH, DialledSocket, PeerSocket
from tests.runtime.peers import Peer, until

ROOT = Path(__file__).parents[2]


def test_a_frame_arrives_with_the_advertised_address_of_its_sender() -> None:
    async def main() -> None:
        async with Peer() as one, Peer() as two:
            one.send(two, b"there")
            await until(lambda: two.received == [(one.address, b"there")])
            two.send(one, b"back")
            await until(lambda: one.received == [(two.address, b"back")])
            assert one.connected == {two.address: 1}
            assert two.connected == {one.address: 1}
            assert one.transport.counters()["dials"] == 1
            assert two.transport.counters()["dials"] == 0

    run(main())


def test_frames_of_a_lane_keep_their_order_and_none_is_doubled() -> None:
    async def main() -> None:
        async with Peer() as one, Peer() as two:
            frames = [b"%d" % number * 50 for number in range(3_000)]
            for frame in frames:
                one.send(two, frame)
            await until(lambda: len(two.received) >= len(frames))
            assert two.frames == frames

    run(main())


@pytest.mark.parametrize("seed", range(3))
def test_of_many_simultaneous_opens_exactly_one_link_is_kept_and_no_frame_is_lost(seed: int) -> None:
    async def main() -> None:
        rng = Random(seed)
        for _ in range(15):
            async with Peer() as one, Peer() as two:
                later_s = rng.choice([0, 0, rng.uniform(0, 0.004)])
                one.send(two, b"a")
                if later_s:
                    await asyncio.sleep(later_s)
                two.send(one, b"b")
                await until(lambda: one.frames == [b"b"] and two.frames == [b"a"])
                for number in range(20):
                    one.send(two, b"%d" % number)
                    two.send(one, b"%d" % number)
                await until(lambda: len(one.frames) == len(two.frames) == 21)
                assert one.connected == {two.address: 1}
                assert two.connected == {one.address: 1}
                assert not one.failed
                assert not two.failed
                # Open connections as the listeners see them: one of the two carries the link.
                assert one.transport.linked() == [two.address]
                assert two.transport.linked() == [one.address]

    run(main())


def test_a_peer_that_is_dialled_by_another_name_is_reached_by_both() -> None:
    async def main() -> None:
        async with Peer() as one, Peer(name="localhost") as two:
            one.send(two.dialled, b"by its seed name")
            await until(lambda: len(two.received) == 1)
            one.send(two.address, b"by its own name")
            one.send(two.dialled, b"again")
            await until(lambda: two.frames == [b"by its seed name", b"by its own name", b"again"])
            assert one.connected == {two.dialled: 1, two.address: 1}
            two.send(one, b"back")
            await until(lambda: one.received == [(two.address, b"back")])
            assert one.transport.counters()["dials"] == 1

    run(main())


def test_two_names_dialled_at_once_end_in_one_link() -> None:
    async def main() -> None:
        async with Peer() as one, Peer(name="localhost") as two:
            one.send(two.address, b"a")
            one.send(two.dialled, b"b")
            await until(lambda: sorted(two.frames) == [b"a", b"b"])
            await until(lambda: set(one.connected) == {two.address, two.dialled})
            assert two.connected == {one.address: 1}

    run(main())


def test_a_node_that_reaches_itself_never_tries_that_address_again() -> None:
    async def main() -> None:
        async with Peer(name="localhost") as one:
            one.send(one.dialled)
            await until(lambda: one.transport.is_own(one.dialled))
            assert one.event_names() == ["peer-is-self"]
            dials = one.transport.counters()["dials"]
            one.send(one.dialled)
            await until(lambda: one.failed[one.dialled] >= 1)
            assert one.transport.counters()["dials"] == dials
            assert not one.received

    run(main())


def test_another_cluster_and_another_secret_are_refused_once_for_the_log_on_both_sides() -> None:
    async def main() -> None:
        async with (
            Peer(cluster="blue") as blue,
            Peer(cluster="green") as green,
            Peer(cluster="green", secret=b"0123456789abcdef") as other,
        ):
            blue.send(green)
            other.send(green)
            await until(lambda: bool(blue.events and other.events) and len(green.events) == 2)
            assert blue.failed == {green.address: 1}
            assert "'green'" in str(blue.events[0].fields["reason"])
            assert "secret" in str(other.events[0].fields["reason"])
            assert {event.name for event in green.events} == {"peer-refused"}
            for _ in range(3):  # tries that are not due yet are not logged either
                blue.send(green)
            await until(lambda: blue.failed[green.address] >= 2)
            assert len(blue.events) == 1
            assert not green.received
            assert not green.connected

    run(main())


def test_a_refused_port_is_noticed_at_once_and_its_return_within_two_seconds() -> None:
    async def main() -> None:
        async with Peer() as one:
            async with Peer() as gone:
                pass
            one.send(gone.address)
            await until(lambda: one.failed[gone.address] == 1, timeout_s=1)
            one.send(gone.address)
            await until(lambda: one.failed[gone.address] == 2, timeout_s=1)
            assert one.event_names() == ["peer-unreachable"]
            async with Peer(port=gone.port) as back:
                await until(lambda: one.connected[gone.address] == 1, timeout_s=2.5)
                one.send(back, b"now")
                await until(lambda: back.frames == [b"now"])
                assert one.event_names() == ["peer-unreachable", "peer-reached"]

    run(main())


def test_a_restarted_peer_takes_the_place_of_its_old_link() -> None:
    async def main() -> None:
        async with Peer() as one:
            two = Peer()
            async with two:
                one.send(two)
                await until(lambda: len(two.frames) == 1)
            async with Peer(port=two.port) as again:
                again.send(one, b"new start")
                await until(lambda: one.frames == [b"new start"])
                one.send(again, b"seen")
                await until(lambda: again.frames == [b"seen"])

    run(main())


def test_others_get_a_turn_between_frames_that_take_long() -> None:
    async def main() -> None:
        async with Peer() as one, Peer() as two:
            one.send(two)
            await until(lambda: len(two.frames) == 1)
            turns = 0
            turns_at: list[int] = []

            def take_long(sender: Address, data: bytes) -> None:
                time.sleep(2 * link_module._TURN_S)
                turns_at.append(turns)

            two.take = take_long
            for number in range(10):
                one.send(two, b"%d" % number)
            while len(turns_at) < 10:
                await asyncio.sleep(0)
                turns += 1
            assert len(set(turns_at)) == 10, turns_at

    run(main())


def test_what_overflows_a_queue_is_reported_and_the_rest_arrives() -> None:
    async def main() -> None:
        async with Peer() as one, Peer() as two:
            frame = b"x" * (512 << 10)
            count = BULK_BYTES_MAX // len(frame) + 4
            for _ in range(count):
                one.send(two, frame, is_bulk=True)
            await until(lambda: one.failed[two.address] == 1)
            dropped = one.transport.counters()["frames_dropped"]
            assert dropped >= 4
            await until(lambda: len(two.received) == count - dropped)

    run(main())


def test_control_overtakes_bulk() -> None:
    async def main() -> None:
        async with Peer() as one, Peer() as two:
            for number in range(6):
                one.send(two, b"bulk%d" % number + b"x" * 500_000, is_bulk=True)
            one.send(two, b"control")
            await until(lambda: len(two.received) == 7)
            assert two.frames[0] == b"control"

    run(main())


def test_a_silent_peer_is_given_up_and_reached_again_after_the_heal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "SILENCE_S", 0.6)
    monkeypatch.setattr(link_module, "PING_AFTER_S", 0.2)

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            one.send(two)
            await until(lambda: len(two.frames) == 1)
            one.faults.replace(to=[two.address], from_=[two.address])
            two.faults.replace(to=[one.address], from_=[one.address])
            one.send(two, b"lost")
            await until(lambda: not one.transport.linked())
            assert one.transport.counters()["links_silent"] == 1
            one.send(two, b"lost too")
            assert not one.transport.linked()
            one.faults.replace(to=[], from_=[])
            two.faults.replace(to=[], from_=[])
            await until(lambda: one.connected[two.address] == 2, timeout_s=3)
            one.send(two, b"found")
            await until(lambda: two.frames == [b"hello", b"found"])

    run(main())


@pytest.mark.parametrize("acknowledged_s", [0.0, 30.0])
def test_an_unanswered_link_is_kept_alive_by_pings_and_needs_none_while_all_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch, acknowledged_s: float
) -> None:
    monkeypatch.setattr(link_module, "SILENCE_S", 0.6)
    monkeypatch.setattr(link_module, "PING_AFTER_S", 0.2)
    monkeypatch.setattr(link_module, "ACKNOWLEDGED_S", acknowledged_s)
    monkeypatch.setattr(transport_module, "CALM_TICK_S", 0.1)
    pings = 0
    ping = DialledSocket.ping

    async def counted(sock: DialledSocket) -> None:
        nonlocal pings
        pings += 1
        await ping(sock)

    monkeypatch.setattr(DialledSocket, "ping", counted)

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            one.send(two)
            await until(lambda: len(two.frames) == 1)
            loop = asyncio.get_running_loop()
            end_s = loop.time() + 1.2
            await until(lambda: loop.time() > end_s)
            assert one.transport.counters()["links_silent"] == 0
            assert one.transport.linked() == [two.address]
            assert (pings > 0) == (acknowledged_s == 0)

    run(main())


@pytest.mark.parametrize("frames", [1, 50])
def test_a_frozen_peer_is_given_up_although_its_kernel_answers_and_is_reached_when_it_thaws(
    monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    """One frame fits its kernel and is acknowledged; of fifty most are not."""
    monkeypatch.setattr(link_module, "SILENCE_S", 0.6)
    monkeypatch.setattr(link_module, "PING_AFTER_S", 0.2)
    monkeypatch.setattr(link_module, "ACKNOWLEDGED_S", 0.4)

    async def main() -> None:
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.runtime.one_peer", cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert other.stdout is not None
            address = Address((await other.stdout.readline()).decode().strip())
            async with Peer() as one:
                one.send(address)
                await until(lambda: one.frames == [b"hello"])
                other.send_signal(signal.SIGSTOP)
                for _ in range(frames):
                    one.send(address, b"x" * 100_000, is_bulk=True)
                await until(lambda: not one.transport.linked(), timeout_s=3)
                assert one.transport.counters()["links_silent"] == 1
                other.send_signal(signal.SIGCONT)
                await until(lambda: one.connected[address] == 2, timeout_s=6)
        finally:
            other.kill()
            await other.wait()

    run(main())


def test_a_node_that_was_itself_asleep_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "SILENCE_S", 0.6)
    monkeypatch.setattr(link_module, "PING_AFTER_S", 0.2)

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            one.send(two)
            await until(lambda: len(two.frames) == 1)
            time.sleep(0.9)  # the whole process stands still, as after SIGSTOP
            one.send(two, b"awake")
            await until(lambda: two.frames[-1] == b"awake")
            assert one.transport.counters()["links_silent"] == 0
            assert one.transport.counters()["dials"] == 1

    run(main())


@pytest.mark.parametrize("direction", ["to", "from"])
def test_a_fault_drops_silently_in_its_direction_and_counts(direction: str) -> None:
    async def main() -> None:
        async with Peer() as one, Peer() as two:
            one.send(two, b"before")
            await until(lambda: two.frames == [b"before"])
            if direction == "to":
                one.faults.replace(to=[two.address], from_=[])
            else:
                two.faults.replace(to=[], from_=[one.address])
            one.send(two, b"cut")
            two.send(one, b"other way")
            await until(lambda: one.frames == [b"other way"])
            await until(lambda: one.faults.frames_dropped_to + two.faults.frames_dropped_from >= 1)
            assert two.frames == [b"before"]
            assert not one.failed

    run(main())


def test_a_handshake_with_a_cut_peer_hangs_and_goes_on_after_the_heal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer_module, "FRAMES_WAIT_S", 0.3)

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            began_s = time.monotonic()
            two.faults.replace(to=[one.address], from_=[one.address])
            one.send(two)
            await until(lambda: bool(one.failed), timeout_s=4)
            assert one.event_names() == ["peer-unreachable"]
            assert not two.connected
            one.send(two, b"lost")
            await until(lambda: one.failed[two.address] == 2)
            await until(lambda: time.monotonic() > began_s + 3)
            two.faults.replace(to=[], from_=[])
            await until(lambda: one.connected[two.address] == 1, timeout_s=4)
            assert one.transport.counters()["dials"] == 1, (
                "a frame waits for two seconds, the handshake for ten"
            )
            one.send(two, b"there")
            await until(lambda: two.frames == [b"there"])
            assert one.event_names() == ["peer-unreachable", "peer-reached"]

    run(main())


def hang_dials(peer: Peer) -> None:
    """Its tries to open links get no answer from now on."""

    async def connect(address: Address) -> PeerSocket:
        await asyncio.Event().wait()
        raise AssertionError

    peer.transport._openings._dialler.connect = connect  # type: ignore[method-assign]


def test_who_reaches_us_while_our_own_try_hangs_does_not_wait_for_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lesser address waits for its own try, but not for longer than the other's frames wait."""
    assert openings_module.OWN_TRY_WAIT_S < peer_module.FRAMES_WAIT_S
    monkeypatch.setattr(openings_module, "OWN_TRY_WAIT_S", 0.5)

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            lesser, greater = sorted((one, two), key=lambda peer: peer.address)
            hang_dials(lesser)
            lesser.send(greater, b"down")
            assert lesser.transport.counters()["dials"] == 1
            greater.send(lesser, b"up")
            await until(lambda: lesser.frames == [b"up"] and greater.frames == [b"down"])
            assert not lesser.failed
            assert not greater.failed

    run(main())


def test_frames_whose_peer_is_not_even_tried_are_reported_once_and_the_next_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer_module, "FRAMES_WAIT_S", 0.3)

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            take = one.transport._budget.take
            one.transport._budget.take = lambda now_s: False  # type: ignore[method-assign]
            one.send(two)
            one.send(two)
            await until(lambda: one.failed[two.address] == 1)
            assert one.transport.counters()["frames_dropped"] == 2
            one.send(two)
            assert one.transport.counters()["frames_dropped"] == 3
            await until(lambda: one.failed[two.address] == 2)
            assert one.transport.counters()["dials"] == 0
            one.transport._budget.take = take  # type: ignore[method-assign]
            await until(lambda: one.connected[two.address] == 1)
            one.send(two, b"there")
            await until(lambda: two.frames == [b"there"])
            assert one.failed[two.address] == 2
            assert one.event_names() == ["peer-unreachable", "peer-reached"]

    run(main())


def test_frames_of_a_node_that_is_late_itself_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "FRAMES_WAIT_S", 0.1)

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            hang_dials(one)
            one.send(two)
            time.sleep(0.6)  # the loop is held
            held_until_s = time.monotonic()
            await until(lambda: one.failed[two.address] == 1)
            assert time.monotonic() - held_until_s > 0.5

    run(main())


def test_a_try_that_began_before_a_link_does_not_judge_the_frames_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer_module, "FRAMES_WAIT_S", 0.8)

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            greater, lesser = sorted((one, two), key=lambda peer: peer.address, reverse=True)
            hang_dials(greater)
            greater.send(lesser, b"first")
            lesser.send(greater)  # it reaches the one whose try hangs
            await until(lambda: lesser.frames == [b"first"])
            await until(lambda: time.monotonic() > began_s + 1)
            hang_dials(lesser)
            await greater.transport._peers[lesser.address].link.close()  # type: ignore[union-attr]
            await until(lambda: not greater.transport.linked())
            sent_s = time.monotonic()
            greater.send(lesser, b"second")
            await until(lambda: bool(greater.failed))
            assert time.monotonic() - sent_s > 0.7

    began_s = time.monotonic()
    run(main())


def test_what_a_link_leaves_that_is_closed_in_order_waits_for_another_no_longer_than_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer_module, "FRAMES_WAIT_S", 0.2)

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            one.send(two)
            await until(lambda: two.frames == [b"hello"])
            hang_dials(one)
            closing = asyncio.create_task(one.transport._peers[two.address].link.close())  # type: ignore[union-attr]
            await asyncio.sleep(0)
            one.transport._peers[two.address].queue.push(b"left", is_bulk=False)
            await closing
            await until(lambda: one.failed[two.address] == 1)

    run(main())


def test_a_name_that_could_not_be_reached_is_told_to_be_reached_under_the_address_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer_module, "FRAMES_WAIT_S", 0.1)

    async def main() -> None:
        two = Peer(name="localhost")  # it listens, and answers nothing yet
        async with Peer() as one:
            one.send(two.dialled)
            await until(lambda: one.event_names() == ["peer-unreachable"])
            async with two:
                await until(lambda: one.event_names() == ["peer-unreachable", "peer-reached"])
                assert one.events[-1].fields["peer"] == two.dialled
                assert one.transport.linked() == [two.address]

    run(main())


def test_garbage_before_the_handshake_is_answered_by_a_closed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket_module, "OPENING_TIMEOUT_S", 2.0)

    async def main() -> None:
        async with Peer() as one, ClientSession() as session:
            url = f"http://{one.dialled}{PEER_PATH}"
            for garbage in (b"", b"\x00" * 100, b"\x01kvgossip\x00\x01", b"\xff" * 5_000):
                async with session.ws_connect(url) as stranger:
                    await stranger.send_bytes(garbage)
                    answer = await stranger.receive()
                    assert answer.type is WSMsgType.BINARY
                    assert answer.data[:1] == b"\x05"
                    assert (await stranger.receive()).type is WSMsgType.CLOSE
            async with session.ws_connect(url) as stranger:
                await stranger.send_bytes(b"x" * (FRAME_BYTES_MAX + 1))
                assert (await stranger.receive()).type in (WSMsgType.CLOSE, WSMsgType.BINARY)
            async with session.get(url) as answer_to_http:
                assert answer_to_http.status == 404
            await until(lambda: one.transport.counters()["openings_failed"] >= 5, timeout_s=4)
            assert not one.received

    run(main())


def test_half_open_connections_are_closed_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_module, "OPENING_TIMEOUT_S", 2.0)

    async def main() -> None:
        async with Peer() as one:
            loop = asyncio.get_running_loop()
            started_s = loop.time()
            strangers = [await asyncio.open_connection("127.0.0.1", one.port) for _ in range(2)]
            strangers[0][1].write(b"GET /v1/peer HTTP/1.1\r\nHost: x\r\n")
            async with ClientSession() as session:
                stranger = await session.ws_connect(f"http://{one.dialled}{PEER_PATH}")  # and no hello
                for reader, writer in strangers:
                    assert await asyncio.wait_for(reader.read(), 4) == b""
                    writer.close()
                assert (await stranger.receive(4)).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
            assert loop.time() - started_s < 4
            assert one.transport.counters()["openings_failed"] == 3

    run(main())


@pytest.mark.parametrize("run", [run, asyncio.run])
def test_a_flood_of_openings_is_bounded(run: Callable[[Coroutine[None, None, None]], None]) -> None:
    """Also where the loop accepts all that wait in one turn, as that of asyncio does."""

    def is_closed(stranger: socket.socket) -> bool:
        try:
            return stranger.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    async def main() -> None:
        async with Peer() as one, Peer() as two:
            strangers = [socket.create_connection(("127.0.0.1", one.port)) for _ in range(OPENINGS_MAX + 36)]
            for stranger in strangers:
                stranger.setblocking(False)
            await until(lambda: one.transport.counters()["openings_failed"] >= 36)
            await until(lambda: sum(map(is_closed, strangers)) == 36)
            two.send(one, b"through")
            await until(lambda: one.frames == [b"through"])
            for stranger in strangers:
                stranger.close()

    run(main())


def test_a_frame_of_the_greatest_size_passes_and_a_larger_one_ends_the_link() -> None:
    async def main() -> None:
        async with Peer() as one, Peer() as two:
            one.send(two, b"x" * FRAME_BYTES_MAX, is_bulk=True)
            await until(lambda: len(two.received) == 1)
            one.send(two, b"x" * (FRAME_BYTES_MAX + 1), is_bulk=True)
            await until(lambda: two.transport.counters()["frames_malformed"] == 1)
            await until(lambda: one.connected[two.address] == 2)
            one.send(two, b"after")
            await until(lambda: two.frames[-1] == b"after")
            assert len(two.frames) == 2

    run(main())


def test_stopping_sends_what_is_queued() -> None:
    async def main() -> None:
        async with Peer() as two:
            async with Peer() as one:
                one.send(two)
                await until(lambda: len(two.frames) == 1)
                for number in range(100):
                    one.send(two, b"%d" % number)
            await until(lambda: len(two.frames) == 101)

    run(main())


def test_a_name_that_does_not_resolve_is_an_unreachable_peer() -> None:
    async def main() -> None:
        async with Peer() as one:
            for bad in ("no-such-host.invalid:7701", "not an address", "127.0.0.1:0"):
                one.send(Address(bad))
            await until(lambda: len(one.failed) == 3)
            assert set(one.event_names()) == {"peer-unreachable"}

    run(main())
