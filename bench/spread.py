"""Spreading: how soon a write can be read at the k-th and at the last node, and what it costs on the way.

Durable nodes on loopback, single writes at a fixed open-loop rate to all in turn. Each node's trace has the
monotonic time at which a GET would first return a write; one key in a hundred is polled by GET at all nodes,
as a cross-check. *Lag* is from the acknowledgement, *spread* from the moment when the request was sent.

*Copies* of a payload: how often a node was told a version on average, by rumors that carry it whole; where
values are too large for that, the bytes of rumors and transfers that a node got, over those of the values.
"""

import argparse
import asyncio
import os
import time
from dataclasses import asdict, dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path

from bench.environment import Figures, percentile, write_points, write_result
from bench.http_load import Connection, at_rate, connections
from kvgossip.cli.local_cluster import LocalCluster, NodeProcess
from kvgossip.config import RumorTargets, Tuning

POLLED_EVERY = 100
KEPT_S = 2.0
JOIN_TIMEOUT_S = 120.0
SETTLE_S = 12.0
"""The traces are flushed, and an anti-entropy period passes."""
SWEEPS: dict[str, list[int]] = {
    "nodes": [3, 5, 9, 15, 30],
    "rate_hz": [10, 50, 200, 500],
    "value_bytes": [10, 100, 1_000, 10_000, 100_000],
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench spread")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--rate", type=float, default=200.0, help="writes a second")
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rumor-k", type=int, default=Tuning().rumor_k)
    parser.add_argument("--targets", type=RumorTargets, default=Tuning().rumor_targets)
    parser.add_argument("--sweep", choices=SWEEPS, help="vary one, the others as given")
    options = parser.parse_args(arguments)
    base = Setting(options.nodes, options.rate, options.value_bytes, options.rumor_k, options.targets)
    if options.sweep is None:
        parameters, runs = _run(base, options.seconds, options.runs)
        write_result(base.name, parameters, runs, _targets(base))
        return
    settings = [replace(base, **{options.sweep: value}) for value in SWEEPS[options.sweep]]  # type: ignore[arg-type]
    points = [_run(setting, options.seconds, options.runs) for setting in settings]
    write_points(f"spread-by-{options.sweep.replace('_', '-')}", points)


@dataclass(frozen=True, slots=True)
class Setting:
    nodes: int
    rate_hz: float
    value_bytes: int
    rumor_k: int
    rumor_targets: RumorTargets

    @property
    def name(self) -> str:
        """Tells what is not as it comes."""
        tuned = f"-k-{self.rumor_k}" if self.rumor_k != Tuning().rumor_k else ""
        tuned += f"-{self.rumor_targets.value}" if self.rumor_targets is not Tuning().rumor_targets else ""
        return f"spread-{self.nodes}-nodes-{self.rate_hz:g}-hz-{self.value_bytes}-bytes{tuned}"


def _run(setting: Setting, seconds: float, runs: int) -> tuple[dict[str, object], list[Figures]]:
    os.environ["KVGOSSIP_TUNING_RUMOR_K"] = str(setting.rumor_k)
    os.environ["KVGOSSIP_TUNING_RUMOR_TARGETS"] = setting.rumor_targets.value
    parameters = {**asdict(setting), "rumor_targets": setting.rumor_targets.value, "seconds": seconds}
    return parameters, [asyncio.run(measure(setting, seconds)) for _ in range(runs)]


def _targets(setting: Setting) -> Figures:
    copies = {"copies_a_node": 2.0 if setting.value_bytes > Tuning().rumor_inline_bytes_max else 7.0}
    if setting.nodes <= 5:
        return {"lag_last_p50_ms": 15.0, "lag_last_p99_ms": 100.0, **copies}
    return {"spread_last_p99_ms": 60.0, **copies}


@dataclass(slots=True)
class Writes:
    """What the clients saw: when each dot was sent and acknowledged."""

    sent_ns: dict[str, int] = field(default_factory=dict)
    acked_ns: dict[str, int] = field(default_factory=dict)
    polled_ms: list[float] = field(default_factory=list)


async def measure(setting: Setting, seconds: float) -> Figures:
    nodes, rate_hz, value_bytes = setting.nodes, setting.rate_hz, setting.value_bytes
    with LocalCluster(nodes, flags=("--trace", "{dir}/{name}.trace")) as cluster:
        cluster.start()
        cluster.wait_ready(JOIN_TIMEOUT_S)
        await asyncio.sleep(3.0 + nodes / 3)  # members find each other; nothing is measured yet
        before, cpu_before = _counters(cluster), _cpu_seconds(cluster)
        writes = Writes()
        await _write(cluster, rate_hz, seconds, value_bytes, writes)
        cpu = (_cpu_seconds(cluster) - cpu_before) / seconds / nodes
        await asyncio.sleep(SETTLE_S)
        after = _counters(cluster)
        spent = {name: after[name] - count for name, count in before.items()}
        visible_ns = _read_traces([cluster.directory / f"{node.name}.trace" for node in cluster.nodes])
    figures = _lags(writes, visible_ns, nodes)
    told = len(writes.acked_ns) * nodes
    received_bytes = spent["rumor_bytes"] + spent["transfer_bytes"]
    is_large = value_bytes > Tuning().rumor_inline_bytes_max
    return {
        **figures,
        "copies_a_node": received_bytes / told / value_bytes if is_large else spent["rumors"] / told,
        "told_a_node": spent["rumors"] / told,
        "bytes_a_node_and_write": received_bytes / told,
        "polled_p99_ms": percentile(writes.polled_ms, 0.99) if writes.polled_ms else 0.0,
        "cpu_share_a_node": cpu,
    }


def _cpu_seconds(cluster: LocalCluster) -> float:
    return sum(node.cpu_seconds for node in cluster.nodes)


async def _write(
    cluster: LocalCluster, rate_hz: float, seconds: float, value_bytes: int, writes: Writes
) -> None:
    apis = [node.api for node in cluster.nodes]
    idle: list[list[tuple[float, Connection]]] = [[] for _ in apis]  # with the time of the last use

    async def take(node: int) -> Connection:
        """One that was used lately, or a new one: nodes close idle ones."""
        while idle[node]:
            used_s, connection = idle[node].pop()
            if time.monotonic() - used_s < KEPT_S:
                return connection
            await connection.close()
        return await Connection.open(apis[node])

    async def write(index: int) -> None:
        node = index % len(apis)
        body = os.urandom(value_bytes)
        connection = await take(node)
        sent_ns = time.monotonic_ns()
        answer = await connection.put(f"spread/{index}", body)
        done_ns = time.monotonic_ns()
        idle[node].append((time.monotonic(), connection))
        if answer.status != 201:
            raise RuntimeError(f"PUT was answered {answer.status}: {answer.body[:200]!r}")
        dot = answer.header("Kv-Dot")
        writes.sent_ns[dot], writes.acked_ns[dot] = sent_ns, done_ns
        if index % POLLED_EVERY == POLLED_EVERY - 1:
            async with connections(apis) as pollers:
                await asyncio.gather(*[_poll(poller, f"spread/{index}") for poller in pollers])
            writes.polled_ms.append((time.monotonic_ns() - done_ns) / 1e6)

    await at_rate(rate_hz, seconds, write)
    for kept in idle:
        for _, connection in kept:
            await connection.close()


async def _poll(poller: Connection, key: str) -> None:
    while (await poller.get(key)).status != 200:
        await asyncio.sleep(0.001)


def _read_traces(traces: list[Path]) -> dict[str, list[int]]:
    """When each dot became visible, at each node that has it, in order of time."""
    visible_ns: dict[str, list[int]] = {}
    for trace in traces:
        seen = set()
        for line in trace.read_text().splitlines():
            dot, at_ns = line.split()
            if dot not in seen:
                seen.add(dot)
                visible_ns.setdefault(dot, []).append(int(at_ns))
    return {dot: sorted(times) for dot, times in visible_ns.items()}


def _lags(writes: Writes, visible_ns: dict[str, list[int]], nodes: int) -> Figures:
    """By replica: the median one and the last; 0 where it had the write before the client knew."""
    arrived = [dot for dot in writes.acked_ns if len(visible_ns.get(dot, ())) == nodes]

    def lags_ms(since_ns: dict[str, int], k: int) -> list[float]:
        return [max(0.0, (visible_ns[dot][k] - since_ns[dot]) / 1e6) for dot in arrived]

    last, middle = lags_ms(writes.acked_ns, nodes - 1), lags_ms(writes.acked_ns, nodes // 2)
    spread = lags_ms(writes.sent_ns, nodes - 1)
    return {
        "writes": float(len(writes.acked_ns)),
        "never_arrived": float(len(writes.acked_ns) - len(arrived)),
        "lag_half_p50_ms": percentile(middle, 0.50),
        "lag_half_p99_ms": percentile(middle, 0.99),
        "lag_last_p50_ms": percentile(last, 0.50),
        "lag_last_p99_ms": percentile(last, 0.99),
        "lag_last_max_ms": max(last),
        "spread_last_p50_ms": percentile(spread, 0.50),
        "spread_last_p99_ms": percentile(spread, 0.99),
    }


def _counters(cluster: LocalCluster) -> dict[str, float]:
    """What all nodes have received, or told, so far."""
    totals = {"rumors": 0.0, "rumor_bytes": 0.0, "transfer_bytes": 0.0}
    for node in cluster.nodes:
        metrics = _metrics(node)
        totals["rumors"] += metrics["kvgossip_rumors_sent_total"]
        for kind in ("rumor", "transfer"):
            name = f'kvgossip_peer_bytes_total{{direction="received",kind="{kind}"}}'
            totals[f"{kind}_bytes"] += metrics[name]
    return totals


def _metrics(node: NodeProcess) -> dict[str, float]:
    host, port = node.api.rsplit(":", 1)
    connection = HTTPConnection(host, int(port), timeout=10.0)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")
    }
