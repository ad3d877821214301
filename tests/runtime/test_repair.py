"""A flipped bit on the disk of one of two nodes: named, never served wrong, repaired from the peer."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from kvgossip.errors import CorruptRowError
from kvgossip.model.value import Value
from kvgossip.runtime.loop import run
from kvgossip.store.rocks import RocksStore
from kvgossip.store.rocks_records import Family
from kvgossip.store.rocks_repair import repair_directory
from tests.runtime.nodes import Loopback, kv
from tests.runtime.peers import until
from tests.runtime.test_node import started

ROWS = 400


def value_of(number: int) -> bytes:
    return f"{number} is the value ".encode() * 20


def flip_a_bit_of_the_rows(directory: Path, seed: int) -> None:
    store = RocksStore(directory, seed)
    store._database._families[Family.ENTRIES].flush(True)
    files = store._database._families[Family.ENTRIES].live_files()
    store.close()
    rows = [file for file in files if file["start_key"].startswith(kv("k")) and file["num_entries"] > 1]
    file = directory / max(rows, key=lambda file: file["size"])["name"].lstrip("/")
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)


def read_all(node: Loopback) -> tuple[set[int], set[int]]:
    """The numbers of keys that are served, all of them rightly, and of those that are refused by name."""
    served, refused = set(), set()
    for number in range(ROWS):
        try:
            entry = node.read(f"k{number}")
        except CorruptRowError as error:
            named = str(error)
            refused.add(number)
            if repr(kv(f"k{number}")) not in named:
                raise
        else:
            if entry is not None:
                value = entry.live(node.now().wall_ms)
                assert isinstance(value, Value)
                assert value.body == value_of(number)
                served.add(number)
    return served, refused


def test_rows_that_rot_are_named_and_come_back_from_the_peer_after_a_repair(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = Loopback("n1")
            await started(stack, one)
            two = Loopback("n2", seeds=(one.peer,), data_dir=tmp_path / "data")
            await two.start()
            await asyncio.gather(
                *(two.put(kv(f"k{number}"), Value(value_of(number))) for number in range(ROWS))
            )
            await until(lambda: one.root == two.root)
            clock = two.replica.status().clock
            await two.stop()
            flip_a_bit_of_the_rows(tmp_path / "data", two.secret.digest_seed)

            two = Loopback("n2", seeds=(one.peer,), data_dir=tmp_path / "data")
            await two.start()
            served, refused = read_all(two)
            assert refused
            assert served | refused == set(range(ROWS))
            await two.stop()

            repaired = repair_directory(tmp_path / "data")
            assert {key[1:].decode() for key in repaired.lost} == {f"k{number}" for number in refused}
            two = Loopback("n2", seeds=(one.peer,), data_dir=tmp_path / "data")
            await started(stack, two)
            assert two.replica.status().clock.ranges == clock.ranges, "a lost row costs no clock"
            await until(lambda: one.root == two.root)
            assert read_all(two) == (set(range(ROWS)), set())
            assert two.replica.status().entry_count == ROWS

    run(main())
