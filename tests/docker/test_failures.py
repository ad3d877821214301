"""Containers that are killed, stopped, wiped and started again, under load."""

import pytest

from tests.docker.cluster import NODES, Cluster
from tests.docker.engine import inspect, run
from tests.docker.load import Load, load

pytestmark = pytest.mark.docker

WRITES = 300


def test_a_killed_container_comes_back_with_all_it_had_acknowledged(cluster: Cluster) -> None:
    """All writes go to n2 while it is cut off, so nobody else can have given back what it lost."""
    victim = cluster.container("n2")
    cluster.partition("cut", "n2")
    with load([cluster.api("n2")], "killed", retries=False) as written:
        written.wait_writes(WRITES)
        run("docker", "kill", victim)
    assert written.errors  # those that it did not live to answer
    cluster.partition("heal")
    assert all(cluster.api("n1").value(key) is None for key in written.acknowledged)
    run("docker", "start", victim)
    cluster.wait_ready("n2")
    _read_all(cluster, written, "n2")
    cluster.wait_whole()
    _read_all(cluster, written, *NODES)


def test_a_stopped_container_leaves_in_order_and_comes_back(cluster: Cluster) -> None:
    container = cluster.container("n4")
    cluster.api("n4").put("stopped/last", "handed on before it left")
    run("docker", "stop", "--time", "10", container)  # after 10 s the engine kills it, and the code is 137
    state = inspect(container)["State"]
    assert isinstance(state, dict)
    assert state["ExitCode"] == 0
    for name in ("n1", "n2", "n3", "n5"):
        cluster.wait_state("n4", "left", seen_by=(name,))
        assert cluster.api(name).value("stopped/last") == "handed on before it left"
    run("docker", "start", container)
    cluster.wait_whole()


def test_a_container_without_its_volume_is_a_new_replica_and_reuses_no_dot(cluster: Cluster) -> None:
    api = cluster.api("n5")
    dots = {api.put(f"wiped/before/{number}", "old").headers["Kv-Dot"] for number in range(20)}
    old = api.status()["replica"]
    cluster.wait_whole()
    run("docker", "rm", "--force", cluster.container("n5"))
    run("docker", "volume", "rm", f"{cluster.project}_n5")
    cluster.up("n5")
    cluster.wait_ready("n5")
    assert api.status()["replica"] != old
    new = {api.put(f"wiped/after/{number}", "new").headers["Kv-Dot"] for number in range(20)}
    assert not dots & new
    assert not any(dot.startswith(f"{old}-") for dot in new)
    cluster.wait_whole()
    for name in NODES:
        for number in range(20):
            assert cluster.api(name).value(f"wiped/before/{number}") == "old"
            assert cluster.api(name).value(f"wiped/after/{number}") == "new"


def test_a_rolling_restart_under_load_costs_no_client_an_error(cluster: Cluster) -> None:
    """A request that one node does not take is taken by another one."""
    apis = cluster.apis()
    with load(list(apis.values()), "rolling") as written:
        for name in NODES:
            container = cluster.container(name)
            run("docker", "stop", container)
            written.wait_writes(50)
            run("docker", "start", container)
            cluster.wait_ready(name)
    assert not written.errors
    assert written.retried  # or no client met a node that was away
    cluster.wait_whole()
    _read_all(cluster, written, *NODES)


def test_containers_killed_one_after_the_other_under_load_lose_nothing(cluster: Cluster) -> None:
    apis = cluster.apis()
    with load(list(apis.values()), "kills") as written:
        for name in NODES:
            container = cluster.container(name)
            written.wait_writes(100)
            run("docker", "kill", container)
            run("docker", "start", container)
            cluster.wait_ready(name)
    assert not written.errors
    cluster.wait_whole()
    _read_all(cluster, written, *NODES)


def _read_all(cluster: Cluster, written: Load, *names: str) -> None:
    assert written.acknowledged
    for name in names:
        api = cluster.api(name)
        for key in written.acknowledged:
            written.expect(key, api.value(key))
