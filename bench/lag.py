"""Replication lag: from the acknowledgement of a write to the moment when the last node can read it.

Five durable nodes on loopback, single writes at a fixed open-loop rate to all in turn. Each node's trace has
the monotonic time at which a GET would first return a write; one key in a hundred is polled by GET as a
cross-check.
"""

import argparse
import asyncio
import time
from pathlib import Path

from bench.environment import Figures, percentile, write_result
from bench.http_load import Connection, at_rate, connections
from kvgossip.cli.local_cluster import LocalCluster

NODES = 5
POLLED_EVERY = 100
CONNECTIONS_A_NODE = 8
TARGETS = {"p50_ms": 15.0, "p99_ms": 100.0}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench lag")
    parser.add_argument("--rate", type=float, default=200.0, help="writes a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    runs = [asyncio.run(measure(options.rate, options.seconds)) for _ in range(options.runs)]
    parameters = {"nodes": NODES, "rate_hz": options.rate, "seconds": options.seconds, "value_bytes": 100}
    write_result("lag", parameters, runs, TARGETS)


async def measure(rate_hz: float, seconds: float) -> Figures:
    with LocalCluster(NODES, flags=("--trace", "{dir}/{name}.trace")) as cluster:
        cluster.start()
        cluster.wait_ready()
        await asyncio.sleep(3.0)  # members find each other; nothing is measured yet
        acked_ns, polled_ms, cpu = await _write(cluster, rate_hz, seconds)
        await asyncio.sleep(12.0)  # the traces are flushed, and an anti-entropy period passes
        traces = [cluster.directory / f"{node.name}.trace" for node in cluster.nodes]
        lags_ms = _lags_ms(acked_ns, traces)
    return {
        "writes": float(len(acked_ns)),
        "never_arrived": float(len(acked_ns) - len(lags_ms)),
        "p50_ms": percentile(lags_ms, 0.50),
        "p99_ms": percentile(lags_ms, 0.99),
        "max_ms": max(lags_ms),
        "polled_p50_ms": percentile(polled_ms, 0.50),
        "polled_p99_ms": percentile(polled_ms, 0.99),
        "cpu_share_a_node": cpu,
    }


async def _write(
    cluster: LocalCluster, rate_hz: float, seconds: float
) -> tuple[dict[str, int], list[float], float]:
    """(when each dot was acknowledged, polled lags, share of a core that a node used)."""
    acked_ns: dict[str, int] = {}
    polled_ms: list[float] = []
    apis = [node.api for node in cluster.nodes]
    cpu_before = sum(node.cpu_seconds for node in cluster.nodes)
    async with connections(apis * CONNECTIONS_A_NODE) as opened, connections(apis) as pollers:
        idle = [asyncio.Queue[Connection]() for _ in apis]
        for number, connection in enumerate(opened):
            idle[number % NODES].put_nowait(connection)
        polling = asyncio.Lock()

        async def write(index: int) -> None:
            node = index % NODES
            connection = await idle[node].get()
            try:
                answer = await connection.put(f"lag/{index}", b"%0100d" % index)
                done_ns = time.monotonic_ns()
            finally:
                idle[node].put_nowait(connection)
            if answer.status != 201:
                raise RuntimeError(f"PUT was answered {answer.status}: {answer.body[:200]!r}")
            acked_ns[answer.header("Kv-Dot")] = done_ns
            if index % POLLED_EVERY == 0:
                async with polling:
                    await asyncio.gather(*[_poll(poller, f"lag/{index}") for poller in pollers])
                polled_ms.append((time.monotonic_ns() - done_ns) / 1e6)

        await at_rate(rate_hz, seconds, write)
    cpu = (sum(node.cpu_seconds for node in cluster.nodes) - cpu_before) / seconds / NODES
    return acked_ns, polled_ms, cpu


async def _poll(poller: Connection, key: str) -> None:
    while (await poller.get(key)).status != 200:
        await asyncio.sleep(0.001)


def _lags_ms(acked_ns: dict[str, int], traces: list[Path]) -> list[float]:
    """One for each write that arrived everywhere; 0 where every node had it before the client knew."""
    last_ns: dict[str, int] = {}
    nodes: dict[str, int] = {}
    for trace in traces:
        seen = set()
        for line in trace.read_text().splitlines():
            dot, visible_ns = line.split()
            if dot not in acked_ns or dot in seen:
                continue
            seen.add(dot)
            nodes[dot] = nodes.get(dot, 0) + 1
            last_ns[dot] = max(last_ns.get(dot, 0), int(visible_ns))
    arrived = [dot for dot, count in nodes.items() if count == len(traces)]
    return [max(0.0, (last_ns[dot] - acked_ns[dot]) / 1e6) for dot in arrived]
