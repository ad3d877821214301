"""Whole nodes: they start alone, find each other, converge, and keep what they acknowledged."""

import asyncio
import threading
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from kvgossip.errors import CommitRefusedError, KvGossipError, StoreFullError
from kvgossip.model.ids import Address
from kvgossip.model.value import Value
from kvgossip.node.effects import Outcomes, Refusal, Refused, Result, Written
from kvgossip.node.local_writes import Write
from kvgossip.node.status import Checked
from kvgossip.runtime import node as node_module
from kvgossip.runtime.engine import WRITES_WAITING_MAX
from kvgossip.runtime.loop import run
from kvgossip.runtime.settings import SettingsError
from kvgossip.store.base import Batch
from kvgossip.store.memory import MemoryStore
from tests.runtime.nodes import QUICK, Loopback, cut, kv
from tests.runtime.peers import until


async def started(stack: AsyncExitStack, *nodes: Loopback) -> None:
    for node in nodes:
        await node.start()
        stack.push_async_callback(node.stop)


async def cluster(stack: AsyncExitStack, count: int) -> list[Loopback]:
    """Nodes that all know the first one, and have found each other."""
    nodes = [Loopback("n1")]
    await started(stack, nodes[0])
    for number in range(2, count + 1):
        node = Loopback(f"n{number}", seeds=(nodes[0].peer,))
        await started(stack, node)
        nodes.append(node)
    await until(lambda: all(alive(node) == count for node in nodes))
    return nodes


def alive(node: Loopback) -> int:
    return sum(member.state == "alive" for member in node.replica.members(node.now()))


def commit_sizes(node: Loopback, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each commit from now on has."""
    sizes: list[int] = []
    write = node._store.write

    def counted(batch: Batch) -> None:
        sizes.append(len(batch.changes))
        write(batch)

    monkeypatch.setattr(node._store, "write", counted)
    return sizes


def test_a_node_alone_takes_writes_and_shows_them() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            node = Loopback("alone")
            assert not node.is_ready
            await started(stack, node)
            assert node.is_ready
            written = await node.write("a", "1")
            assert written.created
            entry = node.read("a")
            assert entry is not None
            assert entry.dots() == (written.dot,)
            checked = await node.check()
            assert checked.converged

    run(main())


def test_writes_of_one_turn_share_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            node = Loopback("alone")
            await started(stack, node)
            sizes = commit_sizes(node, monkeypatch)
            await asyncio.gather(*(node.write(f"k{number}", "v") for number in range(200)))
            assert sum(sizes) == 200
            assert len(sizes) <= 3

    run(main())


def test_of_very_many_writes_some_wait_and_no_commit_takes_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the end of one commit holds the loop for as long as all of them take."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            node = Loopback("alone")
            await started(stack, node)
            sizes = commit_sizes(node, monkeypatch)
            told: list[Result | KvGossipError] = []
            for run_number in range(30):
                writes = [Write(kv(f"{run_number} {number}"), Value(b"v")) for number in range(64)]
                node.begin_writes(writes, told.append)
            singles = asyncio.gather(*(node.write(f"single {number}", "v") for number in range(100)))
            assert len({written.dot for written in await singles}) == 100
            assert sum(sizes) == 30 * 64 + 100
            assert max(sizes) < WRITES_WAITING_MAX + 64
            outcomes = [of_each for told_one in told for of_each in cast(Outcomes, told_one).of_each]
            assert len(outcomes) == 30 * 64
            assert all(isinstance(outcome, Written) for outcome in outcomes)

    run(main())


def test_a_disk_that_hangs_refuses_what_nobody_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            node = Loopback("alone", tuning=replace(QUICK, staged_bytes_max=1 << 20))
            await started(stack, node)
            gate = threading.Event()
            write = node._store.write

            def hung(batch: Batch) -> None:
                gate.wait()
                write(batch)

            monkeypatch.setattr(node._store, "write", hung)
            told: list[Result | KvGossipError] = []
            for number in range(10_000):
                node.begin_put(kv(f"k{number}"), Value(bytes(1_000)), told.append)
                if number % 100 == 0:
                    await asyncio.sleep(0)
            refused = len(told)
            assert all(isinstance(t, Refused) and t.reason is Refusal.OVERLOADED for t in told)
            assert 10_000 - refused <= 2_300, "what waits to be staged, and what is staged"
            gate.set()
            await until(lambda: len(told) == 10_000)
            assert sum(isinstance(one, Written) for one in told) == 10_000 - refused
            await node.write("later", "goes on")

    run(main())


def test_three_nodes_converge_by_rumor_and_after_a_cut_by_exchange() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one, two, three = nodes = await cluster(stack, 3)
            await asyncio.gather(*(one.write(f"k{number}", "before") for number in range(50)))
            await until(lambda: one.root == two.root == three.root)
            cut([one], [two, three])
            await one.write("k1", "alone")
            await two.write("k2", "together")
            await until(lambda: three.root == two.root)
            assert one.root != two.root
            faults = one.faults
            assert faults is not None
            await until(lambda: faults.frames_dropped_to > 0)
            cut(nodes)
            await until(lambda: one.root == two.root == three.root, timeout_s=15)
            for node in nodes:
                assert node.counters()["internal_errors"] == 0
                assert b"alone" in str(node.read("k1")).encode()

    run(main())


def test_a_restart_from_a_data_directory_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    async def main() -> None:
        node = Loopback("n1", data_dir=tmp_path / "data")
        await node.start()
        for number in range(20):
            await node.write(f"k{number}", "v")
        before = node.replica.status()
        await node.stop()
        again = Loopback("n1", data_dir=tmp_path / "data")
        await again.start()
        after = again.replica.status()
        assert after.root == before.root
        assert after.replica == before.replica
        assert after.generation == before.generation + 1
        written = await again.write("k0", "w")
        assert written.dot.counter > 20
        await again.stop()

    run(main())


def test_a_stop_finishes_the_writes_in_flight_and_refuses_new_ones(tmp_path: Path) -> None:
    async def main() -> None:
        node = Loopback("n1", data_dir=tmp_path / "data")
        await node.start()
        writes = [asyncio.create_task(node.put(kv(f"k{number}"), Value(b"v"))) for number in range(100)]
        await asyncio.sleep(0)
        stopping = asyncio.create_task(node.stop())
        await asyncio.sleep(0)
        assert not node.is_ready
        late = await node.put(kv("late"), Value(b"v"))
        assert isinstance(late, Refused)
        await stopping
        assert all(isinstance(result, Written) for result in await asyncio.gather(*writes))
        again = Loopback("n1", data_dir=tmp_path / "data")
        await again.start()
        assert again.replica.status().entry_count == 100
        await again.stop()

    run(main())


def test_a_stop_ends_although_the_disk_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "SETTLE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(node_module, "WRITER_TIMEOUT_S", 0.2)
    released = threading.Event()

    async def main() -> None:
        node = Loopback("n1")
        await node.start()
        monkeypatch.setattr(node._store, "write", lambda batch: released.wait(10))
        write = asyncio.create_task(node.put(kv("a"), Value(b"v")))
        await asyncio.sleep(0)
        async with asyncio.timeout(3):
            await node.stop()
        result = await write
        assert isinstance(result, Refused)
        assert result.reason is Refusal.OUTCOME_UNKNOWN
        assert "stop-hung" in node.logged()

    try:
        run(main())
    finally:
        released.set()


def test_a_node_whose_log_lost_records_goes_on_as_a_new_replica(tmp_path: Path) -> None:
    async def main() -> None:
        node = Loopback("n1", data_dir=tmp_path / "data")
        await node.start()
        await node.write("a", "v")
        replica = node.replica.status().replica
        await node.stop()
        (tmp_path / "data" / "LOST-LOG").write_text("Corruption: for this test")
        for _ in range(2):
            again = Loopback("n1", data_dir=tmp_path / "data")
            await again.start()
            assert again.replica.status().replica != replica
            assert again.read("a") is not None
            await again.stop()
        assert "log-lost" not in again.logged()  # it was told at the first start, and is over

    run(main())


def test_a_stop_hands_fresh_news_to_a_peer() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one, two = Loopback("n1"), Loopback("n2")
            await started(stack, one)
            two = Loopback("n2", seeds=(one.peer,))
            await two.start()
            await until(lambda: alive(one) == alive(two) == 2)
            await asyncio.gather(*(two.write(f"k{number}", "v") for number in range(300)))
            root = two.root
            await two.stop()
            await until(lambda: one.root == root)

    run(main())


def test_a_commit_that_fails_refuses_its_writes_and_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            node = Loopback("n1")
            await started(stack, node)

            def full(batch: Batch) -> None:
                raise StoreFullError("no space")

            with monkeypatch.context() as patch:
                patch.setattr(node._store, "write", full)
                for _ in range(3):
                    refused = await node.put(kv("a"), Value(b"v"))
                    assert isinstance(refused, Refused)
                    assert refused.reason is Refusal.DISK_FULL
            await node.write("a", "v")
            assert node.logged().count("commit-failed") == 1
            assert "commits-again" in node.logged()

    run(main())


def test_a_start_on_a_disk_that_refuses_serves_reads_until_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        def refuse(store: MemoryStore, batch: Batch) -> None:
            raise CommitRefusedError("not now")

        async with AsyncExitStack() as stack:
            node = Loopback("n1")
            with monkeypatch.context() as patch:
                patch.setattr(MemoryStore, "write", refuse)
                await started(stack, node)
                assert node.is_ready
                assert node.replica.get(kv("a")) is None
                refused = await node.put(kv("a"), Value(b"v"))
                assert isinstance(refused, Refused)
                assert "not now" in refused.detail
                assert "does not talk to its peers" in str(node.replica.read_only_because)
                assert await node.check() == Checked(())
            await until(lambda: node.replica.read_only_because is None)
            await node.write("a", "v")

    run(main())


def test_an_input_that_fails_is_counted_and_the_node_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one, two = await cluster(stack, 2)

            def fail(sender: Address, data: bytes, now: object) -> None:
                raise ZeroDivisionError

            with monkeypatch.context() as patch:
                patch.setattr(one.replica, "receive", fail)
                await until(lambda: one.counters()["internal_errors"] > 0)
            await two.write("a", "v")
            await until(lambda: one.root == two.root)
            assert "internal-error" in one.logged()

    run(main())


def test_a_restarted_node_is_found_again_under_its_old_address(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = Loopback("n1")
            await started(stack, one)
            two = Loopback("n2", seeds=(one.peer,), data_dir=tmp_path / "data")
            await two.start()
            await until(lambda: alive(one) == 2)
            place = two.peer
            await two.stop()
            await one.write("meanwhile", "v")
            again = Loopback("n2", data_dir=tmp_path / "data", peer_listen=place)  # and no seeds
            await started(stack, again)
            await until(lambda: again.root == one.root)

    run(main())


def test_a_seed_that_is_the_node_itself_or_does_not_resolve_does_no_harm() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = Loopback("n1")
            await started(stack, one)
            place = one.peer
            port = place.rpartition(":")[2]
            two = Loopback("n2", seeds=("no-such-host.invalid:1", f"localhost:{port}", place))
            await started(stack, two)
            await until(lambda: alive(one) == alive(two) == 2)
            await one.write("a", "v")
            await until(lambda: one.root == two.root)

    run(main())


def test_a_trace_names_each_dot_once_it_is_visible(tmp_path: Path) -> None:
    async def main() -> None:
        node = Loopback("n1", trace=tmp_path / "trace")
        await node.start()
        written = [await node.write(f"k{number}", "v") for number in range(5)]
        await node.stop()
        lines = (tmp_path / "trace").read_text().splitlines()
        assert [line.split()[0] for line in lines] == [str(result.dot) for result in written]
        times = [int(line.split()[1]) for line in lines]
        assert times == sorted(times)

    run(main())


def test_a_taken_port_is_an_error_of_one_line() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = Loopback("n1")
            await started(stack, one)
            with pytest.raises(SettingsError, match="peer-listen") as caught:
                await Loopback("n2", peer_listen=one.peer).start()
            assert "\n" not in str(caught.value)

    run(main())
