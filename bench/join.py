"""An empty node joins a full one: how long until it holds all, and what the clients of the source notice.

The directory of the source is filled beforehand (``filled.py``).
"""

import argparse
import asyncio
import json
import time

from bench.environment import Figures, percentile, write_result
from bench.filled import fill_directory, name_of
from bench.http_load import Connection, at_rate, connections
from kvgossip.cli.local_cluster import LocalCluster, NodeProcess

TARGETS = {"complete_s": 45.0, "source_get_p99_ms": 20.0}
GET_RATE_HZ = 200.0
COMPLETE_TIMEOUT_S = 300.0


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench join")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    runs = [asyncio.run(measure(options.entries)) for _ in range(options.runs)]
    write_result("join", {"entries": options.entries, "value_bytes": 100}, runs, TARGETS)


async def measure(entries: int) -> Figures:
    with LocalCluster(2, flags=("--trace", "{dir}/{name}.trace")) as cluster:
        source, joiner = cluster.nodes
        fill_directory(source, entries)
        source.start()
        source.wait_ready()
        quiet_ms = await _gets_during(source, entries, asyncio.sleep(5.0))
        started_s = time.monotonic()
        joiner.start()
        ready_s = await asyncio.to_thread(joiner.wait_ready)
        busy_ms = await _gets_during(source, entries, wait_equal(source, joiner))
        complete_s = time.monotonic() - started_s
        await verify_sample(source, joiner, entries)
        return {
            "complete_s": complete_s - ready_s,
            "with_start_s": complete_s,
            "source_get_p50_ms": percentile(busy_ms, 0.50),
            "source_get_p99_ms": percentile(busy_ms, 0.99),
            "source_get_max_ms": max(busy_ms),
            "source_get_p99_before_ms": percentile(quiet_ms, 0.99),
            "joiner_peak_mib": joiner.resident_bytes_peak / 2**20,
            "source_peak_mib": source.resident_bytes_peak / 2**20,
        }


async def wait_equal(one: NodeProcess, two: NodeProcess) -> None:
    """Until both have the same root. Raises ``TimeoutError``."""
    async with asyncio.timeout(COMPLETE_TIMEOUT_S), connections([one.api, two.api]) as opened:
        while True:
            roots = [await read_root(connection) for connection in opened]
            if roots[0] == roots[1]:
                return
            await asyncio.sleep(0.02)


async def read_root(connection: Connection) -> tuple[str, int]:
    status = json.loads((await connection.request(b"GET", b"/v1/status")).body)
    return status["root"], status["entries"]


async def verify_sample(source: NodeProcess, joiner: NodeProcess, entries: int) -> None:
    async with connections([source.api, joiner.api]) as opened:
        for index in range(0, entries, max(1, entries // 500)):
            here, there = [await connection.get(name_of(index)) for connection in opened]
            assert here.status == there.status == 200, name_of(index)
            assert here.body == there.body, name_of(index)


async def _gets_during(node: NodeProcess, entries: int, work: object) -> list[float]:
    """GET latencies in ms, from the intended time of each, at a fixed rate until ``work`` is over."""
    latencies: list[float] = []
    over = asyncio.ensure_future(work)  # type: ignore[call-overload]
    async with connections([node.api] * 16) as opened:
        idle: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in opened:
            idle.put_nowait(connection)

        async def get(index: int) -> None:
            intended_s = time.monotonic()
            connection = await idle.get()
            await connection.get(name_of(index * 7919 % entries))
            idle.put_nowait(connection)
            latencies.append((time.monotonic() - intended_s) * 1e3)

        while not over.done():
            await at_rate(GET_RATE_HZ, 0.25, get)
    await over
    return latencies
