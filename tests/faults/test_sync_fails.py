"""A sync of the log that fails, and one that takes its time."""

import time
from functools import partial
from statistics import quantiles

import pytest

from tests.faults.calls import Client, Load, check_kept, get, holds, members, put, status, until
from tests.faults.conftest import MakeCluster
from tests.faults.strace import injecting, need_strace

pytestmark = pytest.mark.faults


def test_after_a_sync_failed_nothing_is_acknowledged_and_a_restart_recovers(
    make_cluster: MakeCluster,
) -> None:
    need_strace()
    node = make_cluster(1).nodes[0]
    node.start()
    node.wait_ready()
    with injecting(node, "fdatasync:error=EIO:when=20+"), Load(node, "eio", pause_s=0.001) as load:
        until(lambda: len(load.refused) >= 20, "writes are refused")
    print(f"{len(load.acknowledged)} acknowledged before the EIO, {len(load.refused)} refused after it")
    problems = [answer.problem for answer in load.refused]
    assert len(load.acknowledged) >= 10
    assert 1 <= problems.count("outcome-unknown") <= load.threads  # those of the batch that failed
    assert set(problems) == {"outcome-unknown", "read-only"}
    assert {answer.status for answer in load.refused} == {503}
    acknowledged = dict(load.acknowledged)

    # The disk is well again, and that is not to be trusted.
    assert put(node, "late", "v").problem == "read-only"
    assert status(node)["read_only_because"]
    check_kept(node, acknowledged)  # reads go on
    assert get(node, "late").status == 404
    node.stop()
    node.start()
    node.wait_ready()
    check_kept(node, acknowledged)
    assert put(node, "late", "v").status == 201


def test_while_a_sync_takes_two_seconds_reads_and_gossip_go_on(make_cluster: MakeCluster) -> None:
    need_strace()
    cluster = make_cluster(3)
    slow, second, third = cluster.nodes
    cluster.start()
    cluster.wait_ready()
    assert put(slow, "read", "v").status == 201
    until(lambda: len(members(second)) == 3, "all know each other")
    took_s: list[float] = []
    with injecting(slow, "fdatasync:delay_enter=2000000"), Load(slow, "slow", threads=2) as load:
        end_s = time.monotonic() + 9
        client = Client(slow)
        number = 0
        while time.monotonic() < end_s:
            began_s = time.monotonic()
            assert client.get("read").body == b"v"
            took_s.append(time.monotonic() - began_s)
            if len(took_s) % 100 == 0:  # gossip among the others
                number += 1
                assert put(second, f"gossip{number}", "v").status == 201
                until(partial(holds, third, f"gossip{number}"), "a rumor arrives", 2.0)
                assert members(second)["n1"]["state"] == "alive"
                assert members(slow)["n2"]["state"] == "alive"
            time.sleep(0.005)
    p99_s = quantiles(took_s, n=100)[98]
    print(f"{len(took_s)} reads, p99 {p99_s * 1_000:.1f} ms; {number} rumors meanwhile")
    assert 2 <= len(load.acknowledged) <= 14, "the syncs were not slow"
    assert number >= 3
    assert p99_s < 0.05, f"p99 of {len(took_s)} reads is {p99_s * 1_000:.1f} ms"
    until(partial(holds, slow, f"gossip{number}"), "the slow node hears of the others' writes")
    assert not load.refused
