"""SIGKILL at the Nth write system call of a node, from its start and through a load."""

from collections.abc import Sequence

import pytest

from kvgossip.cli.local_cluster import ClusterError, NodeProcess
from tests.faults.calls import Load, check_kept, status
from tests.faults.conftest import MakeCluster
from tests.faults.strace import injected, need_strace

CALLS_MAX = 200
"""Each thread counts its own calls, so a run ends at the Nth call of whichever thread gets there first."""
SPREAD = (*range(1, 10), *range(12, 40, 4), *range(44, CALLS_MAX + 1, 18))


@pytest.mark.faults
def test_a_kill_at_a_write_system_call_loses_nothing_acknowledged(make_cluster: MakeCluster) -> None:
    crash_at(make_cluster, SPREAD)


@pytest.mark.faults_long
def test_a_kill_at_each_write_system_call_loses_nothing_acknowledged(make_cluster: MakeCluster) -> None:
    crash_at(make_cluster, range(1, CALLS_MAX + 1))


def crash_at(make_cluster: MakeCluster, numbers: Sequence[int]) -> None:
    """One directory that goes through all the crashes; after each a plain start must find everything."""
    need_strace()
    node = make_cluster(1).nodes[0]
    plain = node.command
    acknowledged: dict[str, str] = {}
    replicas: set[str] = set()
    under_load = 0
    for number in numbers:
        node.command = [*injected(f"write,pwrite64:signal=SIGKILL:when={number}"), *plain]
        node.start()
        fresh = load_until_killed(node, f"crash{number}")
        assert node.process.wait(10) == -9, f"N={number}: the kill did not take effect"
        under_load += bool(fresh)
        acknowledged |= fresh
        node.command = plain
        node.start()
        node.wait_ready()  # no crash loop
        check_kept(node, acknowledged)
        replicas.add(str(status(node)["replica"]))
        node.kill()
    print(f"{len(numbers)} kills, {under_load} under load, {len(acknowledged):,} acknowledged writes kept")
    assert len(replicas) == 1, "a crash is no reason for a new replica id"
    assert under_load > 5, "the kills hit hardly any load"


def load_until_killed(node: NodeProcess, prefix: str) -> dict[str, str]:
    """What was acknowledged before the kill."""
    try:
        node.wait_ready()
    except ClusterError:
        return {}  # it came before the node was ready
    load = Load(node, prefix, threads=2)
    with load:
        load.join()
    return load.acknowledged
