"""Idle: what nodes without clients use of the processor and send, in all.

Every node is in a network namespace of its own, so what it sends is counted by the kernel, with all headers
and acknowledgements. Needs root, iproute2, iptables.
"""

import argparse
import time
from collections.abc import Sequence

from bench.environment import Figures, write_result
from bench.namespaces import Network, network
from kvgossip.cli.local_cluster import ClusterError, LocalCluster, NodeProcess

FEW = 8
TOGETHER = 2
"""Nodes that start at a time: what a start costs is not what is measured."""
CALM_CORES = 1.0
"""Of two: that all nodes together use less shows that the last ones have settled."""
SEEDS = 3
TARGETS_FEW = {"idle_bytes_per_s": 500.0, "idle_cpu_share": 0.003}
TARGETS_MANY = {"idle_bytes_per_s": 20_000.0, "idle_cpu_share": 0.007}
START_TIMEOUT_S = 300.0


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench idle")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--settle", type=float, default=30.0, help="seconds from the start that do not count")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    runs = [measure(options.nodes, options.settle, options.seconds) for _ in range(options.runs)]
    parameters = {"nodes": options.nodes, "settle_s": options.settle, "seconds": options.seconds}
    targets = TARGETS_FEW if options.nodes <= FEW else TARGETS_MANY
    write_result(f"idle-{options.nodes}-nodes", parameters, runs, targets)


def measure(count: int, settle_s: float, seconds: float) -> Figures:
    with LocalCluster(count) as cluster, network(cluster.nodes) as net:
        start(cluster.nodes)
        time.sleep(settle_s)
        return rest(cluster.nodes, net, seconds)


def start(nodes: Sequence[NodeProcess]) -> None:
    """Two when the others are calm, each with three seeds: what many use to start is not what is measured."""
    seeds = [node.peer for node in nodes[: SEEDS + 1]]
    for node in nodes:
        others = [seed for seed in seeds if seed != node.peer][:SEEDS]
        node.command[node.command.index("--seeds") + 1] = ",".join(others)
    for number in range(0, len(nodes), TOGETHER):
        few = nodes[number : number + TOGETHER]
        for node in few:
            node.start()
        for node in few:
            node.wait_ready(START_TIMEOUT_S)
        wait_calm(nodes[: number + TOGETHER])


def wait_calm(nodes: Sequence[NodeProcess]) -> None:
    """Until all of ``nodes`` together use less than ``CALM_CORES`` for a second. Raises ``ClusterError``."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        before, before_s = sum(node.cpu_seconds for node in nodes), time.monotonic()
        time.sleep(1.0)
        if sum(node.cpu_seconds for node in nodes) - before < CALM_CORES * (time.monotonic() - before_s):
            return
    raise ClusterError(f"{len(nodes)} nodes found no rest within {START_TIMEOUT_S:.0f} s")


def rest(nodes: Sequence[NodeProcess], net: Network, seconds: float) -> Figures:
    """What each of ``nodes`` sends and uses while nothing happens."""
    before, before_s = net.sent_bytes(), time.monotonic()
    cpu_before, cpu_before_s = [node.cpu_seconds for node in nodes], time.monotonic()
    time.sleep(seconds)
    cpu = [node.cpu_seconds - first for node, first in zip(nodes, cpu_before, strict=True)]
    cpu_lasted_s = time.monotonic() - cpu_before_s
    sent = [after - first for after, first in zip(net.sent_bytes(), before, strict=True)]
    lasted_s = time.monotonic() - before_s  # to ask many namespaces takes its time
    return {
        "idle_bytes_per_s": sum(sent) / len(nodes) / lasted_s,
        "idle_bytes_per_s_max": max(sent) / lasted_s,
        "idle_cpu_share": sum(cpu) / len(nodes) / cpu_lasted_s,
        "idle_cpu_share_max": max(cpu) / cpu_lasted_s,
        "resident_mib": sum(node.resident_bytes for node in nodes) / len(nodes) / 2**20,
    }
