"""Members on real nodes: who comes back, who finds whom, and who is not let in."""

import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from kvgossip.model.ids import format_id
from kvgossip.node.effects import MemberEvent
from kvgossip.runtime import vitals
from kvgossip.runtime.loop import run
from kvgossip.runtime.member_feed import MemberEventKind
from kvgossip.runtime.settings import SettingsError
from tests.runtime.nodes import PRODUCTION, Loopback
from tests.runtime.peers import until

BACK_S = 2.0
"""Who was restarted is alive everywhere by then."""


async def started(stack: AsyncExitStack, *nodes: Loopback) -> None:
    for node in nodes:
        await node.start()
        stack.push_async_callback(node.stop)


def states(node: Loopback) -> dict[str, str]:
    return {status.member.name: status.state for status in node.replica.members(node.now())}


def all_alive(*nodes: Loopback) -> bool:
    """All of ``nodes`` know each other, at the addresses where they are."""
    wanted = {(node.settings.node, node.peer) for node in nodes}
    return all(
        {(s.member.name, s.member.peer) for s in node.replica.members(node.now()) if s.state == "alive"}
        == wanted
        for node in nodes
    )


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.mark.parametrize("leaves", [True, False], ids=["after a leave", "after a crash"])
def test_who_returns_at_another_address_is_alive_everywhere_within_two_seconds(
    tmp_path: Path, leaves: bool
) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one, two = Loopback("n1", tuning=PRODUCTION), Loopback("n2", tuning=PRODUCTION)
            await started(stack, one)
            two = Loopback("n2", seeds=(one.peer,), tuning=PRODUCTION)
            await started(stack, two)
            three = Loopback("n3", seeds=(one.peer,), data_dir=tmp_path / "data", tuning=PRODUCTION)
            await three.start()
            await until(lambda: all_alive(one, two, three))
            place, replica = three.peer, three.replica.status().replica
            three._is_stopping = not leaves  # then it announces nothing
            await three.stop()
            again = Loopback(
                "n3",
                data_dir=tmp_path / "data",
                peer_listen=f"127.0.0.1:{free_port()}",
                tuning=PRODUCTION,
            )  # and no seeds: its member table is enough
            began_s = time.monotonic()
            await started(stack, again)
            assert again.peer != place
            await until(lambda: all_alive(one, two, again), timeout_s=BACK_S)
            assert time.monotonic() - began_s < BACK_S
            assert again.replica.status().replica == replica
            assert "copy-found" not in again.logged()

    run(main())


def test_the_nodes_behind_several_seeds_are_found_whichever_of_them_is_up() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = Loopback("n1")
            await started(stack, one)
            port = one.peer.rpartition(":")[2]
            seeds = (f"127.0.0.1:{free_port()}", "no-such-host.invalid:7701", f"localhost:{port}")
            two = Loopback("n2", seeds=seeds)
            await started(stack, two)
            await until(lambda: all_alive(one, two))

    run(main())


def test_two_islands_find_each_other_through_a_seed_that_comes_up_late() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            bridge = f"127.0.0.1:{free_port()}"
            one, three = Loopback("n1", seeds=(bridge,)), Loopback("n3", seeds=(bridge,))
            await started(stack, one, three)
            two, four = (
                Loopback("n2", seeds=(one.peer, bridge)),
                Loopback("n4", seeds=(three.peer, bridge)),
            )
            await started(stack, two, four)
            await until(lambda: all_alive(one, two) and all_alive(three, four))
            seed = Loopback("seed", peer_listen=bridge)  # it knows nobody
            await started(stack, seed)
            await until(lambda: all_alive(one, two, three, four, seed), timeout_s=10)

    run(main())


def test_a_node_of_another_cluster_is_no_member_and_both_sides_say_why() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            blue = Loopback("n1", cluster="blue")
            await started(stack, blue)
            green = Loopback("n2", cluster="green", seeds=(blue.peer,))
            await started(stack, green)
            for node in (blue, green):
                await until(lambda node=node: "peer-refused" in node.lines.getvalue())  # type: ignore[misc]
                said = next(line for line in node.lines.getvalue().splitlines() if "peer-refused" in line)
                assert "'blue'" in said
                assert "'green'" in said
                assert set(states(node)) == {node.settings.node}

    run(main())


def test_one_directory_live_twice_is_told_by_the_copy_and_by_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = Loopback("n1")
            await started(stack, one)
            two = Loopback("n2", seeds=(one.peer,), data_dir=tmp_path / "data")
            await two.start()
            await until(lambda: all_alive(one, two))
            await two.stop()
            (tmp_path / "copy").mkdir()
            for file in (tmp_path / "data").iterdir():
                if file.is_file():
                    (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
            two = Loopback("n2", seeds=(one.peer,), data_dir=tmp_path / "data")
            await started(stack, two)
            await until(lambda: all_alive(one, two))
            copy = Loopback("n2b", seeds=(one.peer,), data_dir=tmp_path / "copy")
            await started(stack, copy)
            await until(lambda: all_alive(one, two, copy))
            replicas = {node.replica.status().replica for node in (one, two, copy)}
            assert len(replicas) == 3
            said = "".join(node.lines.getvalue() for node in (two, copy))
            assert "copy-found" in said
            assert "peer-was-copy" in one.lines.getvalue()

    run(main())


def test_hooks_are_called_and_one_that_raises_does_no_harm() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = Loopback("n1")
            seen: list[str] = []

            def fail(event: MemberEvent) -> None:
                raise ZeroDivisionError

            one.on_member(MemberEventKind.JOIN, fail)
            for kind in MemberEventKind:
                one.on_member(kind, lambda event, kind=kind: seen.append(kind))  # type: ignore[misc]
            await started(stack, one)
            two = Loopback("n2", seeds=(one.peer,))
            await two.start()
            await until(lambda: "alive" in seen)
            two.set_tags((("role", "canary"),))
            await until(lambda: "change" in seen)
            replica = two.replica.status().replica
            await two.stop()
            await until(lambda: "leave" in seen)
            assert one.forget(replica)
            assert not one.forget(replica), "it is forgotten"
            await until(lambda: "forget" in seen)
            assert list(dict.fromkeys(seen)) == ["join", "alive", "change", "leave", "forget"]
            assert one.counters()["internal_errors"] == 0
            assert format_id(replica) not in str(one.replica.members(one.now()))
            assert "member-hook-failed" in one.logged()

    run(main())


def test_a_node_that_stalled_or_stops_tells_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = Loopback("n1")
            await started(stack, one)
            two = Loopback("n2", seeds=(one.peer,))
            await two.start()
            await until(lambda: all_alive(one, two))
            told: list[tuple[str, ...]] = []
            one.on_member(MemberEventKind.CHANGE, lambda event: told.append(event.member.troubles))
            two._watchdog.stall_count += 1
            two._running().handle_vitals(two._vitals.read())
            await until(lambda: told == [("loop-stalled",)])
            monkeypatch.setattr(vitals, "STALL_TOLD_S", 0.0)
            two._running().handle_vitals(two._vitals.read())
            await until(lambda: told == [("loop-stalled",), ()])
            await two.stop()
            await until(lambda: states(one)["n2"] == "left")

    run(main())


def test_choices_cannot_be_foreseen() -> None:
    """The randomness of a node in production is the system's: nothing that it did tells what comes next."""
    node = Loopback("n1")
    with pytest.raises(NotImplementedError):
        node._rng.getstate()
    node.log.close()


def test_what_a_node_says_of_itself_must_fit_a_record() -> None:
    async def main() -> None:
        tags = tuple(f"{number}={'字' * 64}" for number in range(16))
        node = Loopback("n1", tag=tags)
        with pytest.raises(SettingsError, match="shorten the tags"):
            await node.start()
        node.log.close()

    run(main())
