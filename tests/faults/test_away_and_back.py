"""Nodes that are frozen, cut off, or killed all at once, and come back."""

import signal
import time
from functools import partial

import pytest

from tests.faults.calls import Load, check_kept, converged, members, put, status, until
from tests.faults.conftest import MakeCluster
from tests.faults.namespaces import network

pytestmark = pytest.mark.faults

FROZEN_S = 20.0
CUT_S = 15.0
STARVED_S = 12.0
CONVERGED_S = 5.0


def test_a_frozen_node_is_given_up_comes_back_and_blames_nobody(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3)
    first, second, frozen = cluster.nodes
    cluster.start()
    cluster.wait_ready()
    until(lambda: all(len(members(node)) == 3 for node in cluster.nodes), "all know each other")
    acknowledged = {"k": "v"}
    assert put(frozen, "k", "v").status == 201
    frozen.process.send_signal(signal.SIGSTOP)
    try:
        stopped_s = time.monotonic()
        with Load(first, "first", 2, pause_s=0.01) as one, Load(second, "second", 2, pause_s=0.01) as two:
            until(lambda: members(first)["n3"]["state"] != "alive", "the others notice")
            time.sleep(max(0.0, stopped_s + FROZEN_S - time.monotonic()))
            assert members(first)["n2"]["state"] == "alive"
    finally:
        frozen.process.send_signal(signal.SIGCONT)
    acknowledged |= one.acknowledged | two.acknowledged
    assert not one.refused + two.refused
    assert not one.unanswered + two.unanswered
    blamed = {name: member["state"] for name, member in members(frozen).items()}
    assert set(blamed.values()) == {"alive"}, f"after its sleep it blames others: {blamed}"
    until(lambda: converged(cluster.nodes), "all agree after the thaw", CONVERGED_S)
    until(lambda: members(first)["n3"]["state"] == "alive", "it is alive again", CONVERGED_S)
    for node in cluster.nodes:
        check_kept(node, acknowledged)


def test_both_sides_of_a_packet_filter_write_and_converge_after_the_heal(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(5)
    with network(cluster.nodes) as net:
        cluster.start()
        cluster.wait_ready()
        until(lambda: all(len(members(node)) == 5 for node in cluster.nodes), "all know each other")
        near, far = cluster.nodes[0], cluster.nodes[4]
        net.cut([1, 2])
        cut_s = time.monotonic()
        with Load(near, "near", 2, pause_s=0.02) as one, Load(far, "far", 2, pause_s=0.02) as two:
            time.sleep(max(0.0, cut_s + CUT_S - time.monotonic()))
        assert status(near)["root"] != status(far)["root"]
        assert not one.refused + two.refused
        assert not one.unanswered + two.unanswered
        assert min(len(one.acknowledged), len(two.acknowledged)) > 100
        assert net.dropped_packets() > 0, "the packet filter dropped nothing"
        net.heal()
        took_s = until(lambda: converged(cluster.nodes), "all agree after the heal", CONVERGED_S)
        print(f"converged {took_s:.2f} s after the heal")
        for node in cluster.nodes:
            check_kept(node, one.acknowledged | two.acknowledged)


def test_all_nodes_killed_at_once_come_back_with_everything(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3)
    cluster.start()
    cluster.wait_ready()
    acknowledged: dict[str, str] = {}
    for again in range(2):
        loads = [Load(node, f"{again}{node.name}", threads=2, pause_s=0.005) for node in cluster.nodes]
        with loads[0], loads[1], loads[2]:
            until(partial(all_acknowledged, loads, 100), "a load")
            for node in cluster.nodes:
                node.process.kill()
        for node in cluster.nodes:
            node.process.wait(10)
        for load in loads:
            acknowledged |= load.acknowledged
        cluster.start()
        cluster.wait_ready()
        until(lambda: converged(cluster.nodes), "all agree after the restart")
        for node in cluster.nodes:
            check_kept(node, acknowledged)


def all_acknowledged(loads: list[Load], count: int) -> bool:
    return all(len(load.acknowledged) > count for load in loads)


def test_a_node_starved_of_the_processor_serves_blames_nobody_and_converges(
    make_cluster: MakeCluster,
) -> None:
    """It runs for 20 ms of each 200."""
    cluster = make_cluster(3)
    first, second, starved = cluster.nodes
    cluster.start()
    cluster.wait_ready()
    until(lambda: all(len(members(node)) == 3 for node in cluster.nodes), "all know each other")
    stop_s = time.monotonic() + STARVED_S
    used_s = starved.cpu_seconds
    with Load(first, "first", 2, pause_s=0.01) as one, Load(starved, "starved", 2) as two:
        while time.monotonic() < stop_s:
            starved.process.send_signal(signal.SIGSTOP)
            time.sleep(0.18)
            starved.process.send_signal(signal.SIGCONT)
            time.sleep(0.02)
        assert members(first)["n2"]["state"] == "alive"
    used_s = starved.cpu_seconds - used_s
    assert used_s < STARVED_S / 4, f"it was not starved: {used_s:.1f} s of processor time"
    assert two.acknowledged, "it takes no writes"
    assert not one.refused + two.refused
    assert not one.unanswered + two.unanswered
    blamed = {name: member["state"] for name, member in members(starved).items()}
    assert set(blamed.values()) == {"alive"}, f"it blames others: {blamed}"
    until(lambda: converged(cluster.nodes), "all agree", CONVERGED_S)
    until(lambda: members(second)["n3"]["state"] == "alive", "it is alive", CONVERGED_S)
    for node in cluster.nodes:
        check_kept(node, one.acknowledged | two.acknowledged)
    print(f"{len(two.acknowledged)} writes in {STARVED_S:.0f} s with {used_s:.1f} s of processor time")
