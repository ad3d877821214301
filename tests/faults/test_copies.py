"""Data directories that were copied back, copied twice, or wiped: never two replicas under one id."""

import shutil
from functools import partial

import pytest

from kvgossip.cli.local_cluster import LocalCluster, NodeProcess
from tests.faults.calls import check_kept, converged, put, status, until
from tests.faults.conftest import MakeCluster

pytestmark = pytest.mark.faults


def write(node: NodeProcess, prefix: str, count: int = 20) -> dict[str, str]:
    written = {f"{prefix}{number}": f"{prefix} {number}" for number in range(count)}
    for key, value in written.items():
        assert put(node, key, value).status == 201
    return written


def settle(cluster: LocalCluster, written: dict[str, str]) -> None:
    """All nodes agree, hold every write, and no two have one id."""
    until(partial(converged, cluster.nodes), "all nodes agree", 30.0)
    for node in cluster.nodes:
        check_kept(node, written)
    assert len({status(node)["replica"] for node in cluster.nodes}) == len(cluster.nodes)


def restart(node: NodeProcess) -> None:
    node.start()
    node.wait_ready()


def test_a_restored_backup_is_a_new_replica_and_nothing_is_lost(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(2)
    first = cluster.nodes[0]
    cluster.start()
    cluster.wait_ready()
    written = write(first, "before")
    assert first.stop() == 0
    backup = cluster.directory / "backup"
    shutil.copytree(first.data_dir, backup)
    restart(first)
    written |= write(first, "since")
    settle(cluster, written)
    old = status(first)["replica"]
    first.kill()
    shutil.rmtree(first.data_dir)
    shutil.copytree(backup, first.data_dir)
    restart(first)
    written |= write(first, "restored")
    until(lambda: status(first)["replica"] != old, "the restored node takes a new id")
    settle(cluster, written)
    assert "copy-found" in first.log.read_text()


def test_a_backup_restored_while_cut_off_loses_nothing(make_cluster: MakeCluster) -> None:
    """It issues dots that exist already, and learns so only when it meets the others."""
    cluster = make_cluster(2)
    first, second = cluster.nodes
    cluster.start()
    cluster.wait_ready()
    written = write(first, "before")
    assert first.stop() == 0
    backup = cluster.directory / "backup"
    shutil.copytree(first.data_dir, backup)
    restart(first)
    written |= write(first, "since")
    settle(cluster, written)
    old = status(first)["replica"]
    first.kill()
    second.kill()  # nobody is there to say so
    shutil.rmtree(first.data_dir)
    shutil.copytree(backup, first.data_dir)
    restart(first)
    written |= write(first, "alone", 30)
    assert status(first)["replica"] == old
    restart(second)
    settle(cluster, written)
    assert status(first)["replica"] != old


def test_one_directory_live_twice_ends_as_two_replicas_and_nothing_is_lost(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3)
    first, second, copy = cluster.nodes
    for node in (first, second):
        node.start()
        node.wait_ready()
    written = write(first, "before")
    assert first.stop() == 0
    shutil.copytree(first.data_dir, copy.data_dir)
    first.start()
    copy.start()
    cluster.wait_ready()
    written |= write(first, "first") | write(copy, "copy")
    until(lambda: status(first)["replica"] != status(copy)["replica"], "they are two replicas")
    settle(cluster, written)
    assert "copy-found" in first.log.read_text() + copy.log.read_text()


def test_a_wiped_directory_is_a_new_replica_and_gets_everything_back(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(2)
    first, second = cluster.nodes
    cluster.start()
    cluster.wait_ready()
    written = write(first, "first") | write(second, "second")
    settle(cluster, written)
    old = status(first)["replica"]
    first.kill()
    shutil.rmtree(first.data_dir)
    restart(first)
    assert status(first)["replica"] != old
    written |= write(first, "again")
    settle(cluster, written)


def test_empty_directories_at_one_moment_are_as_many_replicas(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(4)
    cluster.start()
    cluster.wait_ready()
    written: dict[str, str] = {}
    for node in cluster.nodes:
        written |= write(node, node.name)
    settle(cluster, written)
    assert len({status(node)["start_number"] for node in cluster.nodes}) == len(cluster.nodes)
    assert "copy-found" not in "".join(node.log.read_text() for node in cluster.nodes)
