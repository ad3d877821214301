"""``kill -9`` of a node under write load, again and again: what was acknowledged is there after the restart.

Three durable nodes; writers are bound to a node each, so the values of a key go up in order. After every
restart each key of the killed node must be readable there with the value last acknowledged, or with the one
after it, whose outcome the client does not know. At the end all nodes must agree, without holes in a clock.
"""

import argparse
import asyncio
import json
import random
import time

from bench.environment import Figures, percentile, write_result
from bench.http_load import Connection, connections
from kvgossip.cli.local_cluster import LocalCluster, NodeProcess

NODES = 3
WRITERS_A_NODE = 4
KEYS_A_WRITER = 50
UP_S = (0.3, 1.5)
CONVERGED_TIMEOUT_S = 60.0
TARGETS = {"lost": 0.0, "clock_holes": 0.0}


class Writer:
    """Counts up the values of its keys on one node; knows the greatest acknowledged of each."""

    def __init__(self, node: NodeProcess, number: int) -> None:
        self.node = node
        self.prefix = f"crash/{node.name}/{number}"
        self.acked: dict[str, int] = {}
        self.tried: dict[str, int] = {}
        self.acked_count = 0
        self._value = 0

    async def run(self) -> None:
        """Until cancelled. A connection that breaks leaves the outcome unknown, and is opened anew."""
        while True:
            try:
                async with connections([self.node.api]) as (connection,):
                    while True:
                        self._value += 1
                        key = f"{self.prefix}/{self._value % KEYS_A_WRITER}"
                        await self._put(connection, key, self._value)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                await asyncio.sleep(0.02)

    async def _put(self, connection: Connection, key: str, value: int) -> None:
        self.tried[key] = value
        answer = await connection.put(key, b"%d" % value)
        if answer.status in (201, 204):
            self.acked[key] = value
            self.acked_count += 1

    async def count_lost(self, connection: Connection) -> int:
        """Keys whose acknowledged value a node does not show, nor the later one that was on its way."""
        lost = 0
        for key, value in self.acked.items():
            answer = await connection.get(key)
            lost += answer.status != 200 or not value <= int(answer.body) <= self.tried[key]
        return lost


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench crash")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    runs = [asyncio.run(measure(options.kills, options.seed + run)) for run in range(options.runs)]
    parameters = {
        "nodes": NODES,
        "kills": options.kills,
        "seed": options.seed,
        "writers": NODES * WRITERS_A_NODE,
    }
    write_result("crash", parameters, runs, TARGETS)


async def measure(kills: int, seed: int) -> Figures:
    rng = random.Random(seed)
    with LocalCluster(NODES) as cluster:
        cluster.start()
        cluster.wait_ready()
        writers = [Writer(node, number) for node in cluster.nodes for number in range(WRITERS_A_NODE)]
        lost, ready_s = 0, []
        for _ in range(kills):
            victim = rng.choice(cluster.nodes)
            tasks = [asyncio.create_task(writer.run()) for writer in writers]
            await asyncio.sleep(rng.uniform(*UP_S))
            victim.kill()
            await asyncio.sleep(0.05)  # the writers notice
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            victim.start()
            ready_s.append(await asyncio.to_thread(victim.wait_ready))
            async with connections([victim.api]) as (connection,):
                for writer in writers:
                    if writer.node is victim:
                        lost += await writer.count_lost(connection)
        converged_s, holes = await _converge(cluster)
        async with connections([node.api for node in cluster.nodes]) as opened:
            for connection in opened:
                lost += sum([await writer.count_lost(connection) for writer in writers])
        return {
            "acknowledged": float(sum(writer.acked_count for writer in writers)),
            "lost": float(lost),
            "clock_holes": float(holes),
            "converged_s": converged_s,
            "restart_p50_s": percentile(ready_s, 0.5),
            "restart_max_s": max(ready_s),
        }


async def _converge(cluster: LocalCluster) -> tuple[float, int]:
    """(seconds until all have one root and one clock, holes in the clocks then). Raises ``TimeoutError``."""
    started_s = time.monotonic()
    async with asyncio.timeout(CONVERGED_TIMEOUT_S), connections([n.api for n in cluster.nodes]) as opened:
        while True:
            answers = [await connection.request(b"GET", b"/v1/status") for connection in opened]
            states = [json.loads(answer.body) for answer in answers]
            agreed = {(state["root"], json.dumps(state["clock"], sort_keys=True)) for state in states}
            if len(agreed) == 1:
                return time.monotonic() - started_s, sum(state["clock_holes"] for state in states)
            await asyncio.sleep(0.05)
