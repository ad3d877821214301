"""Membership on real processes: what idle nodes cost, and how soon a crash, a return and a heal are known.

Every node is in a network namespace of its own, so what it sends is counted by the kernel, with all headers;
a partition is iptables DROP. What the nodes believe is asked by GET /v1/cluster/members of each, in turn.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException

from bench.environment import Figures, write_result
from bench.idle import rest
from bench.namespaces import network
from kvgossip.cli.local_cluster import LocalCluster, NodeProcess

TARGETS = {
    "idle_bytes_per_s": 1_500.0,
    "idle_cpu_share": 0.005,
    "down_everywhere_s": 10.0,
    "alive_again_s": 2.0,
    "healed_s": 3.0,
}
JOIN_TIMEOUT_S = 60.0
SETTLE_S = 15.0
TIMEOUT_S = 60.0
POLL_S = 0.05

States = dict[str, str]
"""The state of each member by name."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench members")
    parser.add_argument("--nodes", type=int, default=24)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of rest that are measured")
    parser.add_argument("--partition", type=float, default=60.0, help="seconds")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    runs = [measure(options.nodes, options.idle, options.partition) for _ in range(options.runs)]
    parameters = {"nodes": options.nodes, "idle_s": options.idle, "partition_s": options.partition}
    write_result("members", parameters, runs, TARGETS)


def measure(count: int, idle_s: float, partition_s: float) -> Figures:
    with LocalCluster(count) as cluster, network(cluster.nodes) as net:
        cluster.start()
        cluster.wait_ready(JOIN_TIMEOUT_S)
        nodes = cluster.nodes
        figures = {"joined_s": _require(nodes, lambda states: _all_alive(states, count), "joined")}
        time.sleep(SETTLE_S)  # nothing is measured yet
        figures |= rest(nodes, net, idle_s)
        figures |= _crash_and_return(nodes, count)
        net.cut(list(range(1, count // 2 + 1)))
        time.sleep(partition_s)
        figures["down_in_partition_share"] = _down_share(nodes)
        net.heal()
        figures["healed_s"] = _require(nodes, lambda states: _all_alive(states, count), "heal")
    return figures


def _crash_and_return(nodes: Sequence[NodeProcess], count: int) -> Figures:
    victim, others = nodes[-1], nodes[:-1]
    victim.kill()
    down_s = _require(others, lambda states: states.get(victim.name) == "down", "down")
    victim.start()
    ready_s = victim.wait_ready(TIMEOUT_S)
    alive_s = _require(nodes, lambda states: _all_alive(states, count), "alive again")
    return {"down_everywhere_s": down_s, "restart_ready_s": ready_s, "alive_again_s": alive_s}


def _all_alive(states: States, count: int) -> bool:
    return len(states) == count and set(states.values()) == {"alive"}


def _down_share(nodes: Sequence[NodeProcess]) -> float:
    """Of what each node should hold down, by now: all of the other side."""
    states = [_states(node) for node in nodes]
    down = sum(list(told.values()).count("down") for told in states if told is not None)
    return down / (len(nodes) * (len(nodes) // 2))


def _require(nodes: Sequence[NodeProcess], claim: Callable[[States], bool], what: str) -> float:
    took_s = _wait_until(nodes, claim, TIMEOUT_S)
    if took_s is None:
        raise RuntimeError(f"{what}: not everywhere after {TIMEOUT_S:.0f} s")
    return took_s


def _wait_until(
    nodes: Sequence[NodeProcess], claim: Callable[[States], bool], timeout_s: float
) -> float | None:
    """Seconds until ``claim`` held on the last of the nodes; None if it did not in time."""
    started_s = time.monotonic()
    waiting = list(nodes)
    while time.monotonic() < started_s + timeout_s:
        while waiting and (states := _states(waiting[0])) is not None and claim(states):
            waiting.pop(0)
        if not waiting:
            return time.monotonic() - started_s
        time.sleep(POLL_S)
    return None


def _states(node: NodeProcess) -> States | None:
    host, port = node.api.rsplit(":", 1)
    connection = HTTPConnection(host, int(port), timeout=2.0)
    try:
        connection.request("GET", "/v1/cluster/members")
        told = json.loads(connection.getresponse().read())
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return {member["name"]: member["state"] for member in told["members"]}
