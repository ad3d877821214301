"""Five containers become one cluster, in whatever order they start, and further ones join by one name."""

from pathlib import Path

import pytest

from tests.docker.cluster import NODES, Cluster, is_whole, wait_until, wait_value
from tests.docker.engine import DOCKER, attempt, inspect, run

pytestmark = pytest.mark.docker


def test_what_is_put_on_each_node_is_read_on_all(cluster: Cluster) -> None:
    for name, api in cluster.apis().items():
        api.put(f"everywhere/{name}", f"from {name}")
    for api in cluster.apis().values():
        for name in NODES:
            wait_value(api, f"everywhere/{name}", f"from {name}")


def test_all_containers_turn_healthy(cluster: Cluster) -> None:
    for name in NODES:
        cluster.wait_healthy(name)


def test_peers_meet_on_their_own_network_and_clients_cannot_reach_their_port(cluster: Cluster) -> None:
    container = cluster.container("n1")
    settings = inspect(container)["NetworkSettings"]
    assert isinstance(settings, dict)
    places = {name.rpartition("_")[2]: network["IPAddress"] for name, network in settings["Networks"].items()}
    assert set(places) == {"clients", "peers"}
    assert {m["peer"] for m in cluster.api("n2").members() if m["name"] == "n1"} == {
        f"{places['peers']}:7701"
    }
    assert _connects(cluster.container("n2"), f"{places['peers']}:7701")
    assert not _connects(cluster.container("n2"), f"{places['clients']}:7701")


def test_the_order_of_start_does_not_matter(cluster: Cluster) -> None:
    for name in NODES:
        run("docker", "stop", cluster.container(name))
    for name in reversed(NODES):  # each alone at first, with seeds that are not there yet
        run("docker", "start", cluster.container(name))
        cluster.wait_ready(name)
        cluster.api(name).put(f"order/{name}", name)
    cluster.wait_whole()
    for api in cluster.apis().values():
        assert [api.value(f"order/{name}") for name in NODES] == list(NODES)


def test_any_number_of_further_nodes_join_by_the_name_of_the_service(cluster: Cluster) -> None:
    cluster.api("n1").put("scale/before", "held by five")
    try:
        cluster.scale(3)
        cluster.wait_whole(extra=3)
        for number, api in enumerate(cluster.extra_apis()):
            assert api.value("scale/before") == "held by five"
            api.put(f"scale/{number}", "from a further node")
        for api in cluster.apis().values():
            wait_value(api, "scale/2", "from a further node")
    finally:
        for container in cluster.containers("node"):
            run("docker", "stop", container)
            run("docker", "rm", "--volumes", container)
    assert cluster.api("n1").names("alive") == list(NODES)
    assert len(cluster.api("n1").names("left")) >= 3


def test_nodes_that_share_a_secret_are_a_cluster_of_their_own(image: str, tmp_path: Path) -> None:
    """One without the secret, that calls itself the same and is on their network, is refused."""
    (tmp_path / "secret").write_text("sixteen bytes or more")
    sworn = Cluster(image, secret_file=tmp_path / "secret")
    network = f"{sworn.project}_peers"
    stranger = ""
    try:
        sworn.up("n1", "n2")
        apis = [sworn.api("n1"), sworn.api("n2")]
        wait_until(lambda: is_whole(apis), "both are one cluster")
        log = attempt("docker", "logs", sworn.container("n1")).stderr
        assert "node-started" in log
        assert "secret-is-default" not in log
        joining = ("--env", "KVGOSSIP_PEER_LISTEN=peers:7701", "--env", "KVGOSSIP_SEEDS=peers:7701")
        stranger = run(
            *("docker", "run", "--detach", "--network", network, "--network-alias", "peers", *joining, image)
        ).strip()
        wait_until(lambda: "peer-refused" in attempt("docker", "logs", stranger).stderr, "it is refused")
        assert is_whole(apis)
    finally:
        if stranger:
            run("docker", "rm", "--force", "--volumes", stranger)
        sworn.down()


def test_chaos_runs_its_rounds(cluster: Cluster) -> None:
    urls = [f"http://{name}:7700" for name in NODES]
    said = cluster.compose(
        *("--profile", "chaos", "run", "--rm", "chaos", "--rounds", "2", "--cut-s", "1"), *urls
    )
    assert said.count("converged") == 2, said


def test_compose_reads_every_profile_and_every_file_it_mounts_is_there(cluster: Cluster) -> None:
    profiles = [word for name in ("scale", "chaos", "observability") for word in ("--profile", name)]
    services = set(cluster.compose(*profiles, "config", "--services").split())
    assert services == {*NODES, "node", "chaos", "prometheus", "grafana"}
    resolved = cluster.compose(*profiles, "config")
    mounted = {
        line.split("/docker/")[1].split(":")[0].strip()
        for line in resolved.splitlines()
        if f"{DOCKER}/" in line
    }
    assert mounted >= {"chaos.py", "observability"}
    for path in mounted:
        assert (DOCKER / path).exists(), path


def _connects(container: str, place: str) -> bool:
    host, _, port = place.rpartition(":")
    tried = f"import socket; print(socket.socket().connect_ex(('{host}', {port})))"
    return run("docker", "exec", container, "python", "-c", tried).strip() == "0"
