"""Where a cluster runs that is cut in two: on loopback, in network namespaces, or in containers.

Each offers the same: nodes with an address for clients, a cut, a heal, and the trace of every node. The cut
is what the name says: frames dropped inside the nodes (``/v1/faults``), packets dropped by iptables, or
``docker/partition.sh``. The monotonic clock is one for all, so traces can be compared.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol
from urllib.request import Request, urlopen

from bench.namespaces import Network, network
from kvgossip.cli.local_cluster import LocalCluster
from tests.docker.cluster import NODES, Cluster, wait_until
from tests.docker.engine import build_image, run

MODES = ("loopback", "netns", "docker")
READY_TIMEOUT_S = 60.0
TRACE_IN_CONTAINER = "/trace/visible"


class Testbed(Protocol):
    """A started cluster; the nodes are counted from 0."""

    @property
    def apis(self) -> list[str]:
        """Where each node answers clients, as ``host:port``."""

    def cut(self, side: list[int]) -> None:
        """No frame passes between the nodes of ``side`` and the others any more."""

    def heal(self) -> None: ...

    def trace(self, node: int) -> str:
        """What it has written down so far of when each dot became readable there."""


@contextmanager
def start_testbed(mode: str, nodes: int, *, module: str = "kvgossip") -> Iterator[Testbed]:
    """Raises ``ClusterError``, or ``CalledProcessError`` where rights or programs are missing."""
    if mode == "docker":
        with _containers(nodes) as containers:
            yield containers
        return
    flags = ("--trace", "{dir}/{name}.trace", *(("--allow-faults",) if mode == "loopback" else ()))
    with LocalCluster(nodes, flags=flags) as cluster:
        for node in cluster.nodes:
            node.command[node.command.index("-m") + 1] = module
        if mode == "netns":
            with network(cluster.nodes) as net:
                _start(cluster)
                yield _Namespaces(cluster, net)
        else:
            _start(cluster)
            yield _Loopback(cluster)


def _start(cluster: LocalCluster) -> None:
    cluster.start()
    cluster.wait_ready(READY_TIMEOUT_S)


class _Processes:
    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster

    @property
    def apis(self) -> list[str]:
        return [node.api for node in self._cluster.nodes]

    def trace(self, node: int) -> str:
        return (self._cluster.directory / f"{self._cluster.nodes[node].name}.trace").read_text()


class _Loopback(_Processes):
    def cut(self, side: list[int]) -> None:
        names = [node.name for node in self._cluster.nodes]
        for index, api in enumerate(self.apis):
            others = [name for at, name in enumerate(names) if (at in side) != (index in side)]
            _fault(api, "POST", {"drop_to": others, "drop_from": others})

    def heal(self) -> None:
        with ThreadPoolExecutor(len(self.apis)) as pool:
            list(pool.map(lambda api: _fault(api, "DELETE"), self.apis))


class _Namespaces(_Processes):
    def __init__(self, cluster: LocalCluster, net: Network) -> None:
        super().__init__(cluster)
        self._net = net

    def cut(self, side: list[int]) -> None:
        self._net.cut([index + 1 for index in side])

    def heal(self) -> None:
        self._net.heal()


def _fault(api: str, method: str, rules: dict[str, list[str]] | None = None) -> None:
    body = None if rules is None else json.dumps(rules).encode()
    with urlopen(Request(f"http://{api}/v1/faults", body, method=method), timeout=10.0) as answer:
        answer.read()


@contextmanager
def _containers(nodes: int) -> Iterator[Testbed]:
    services = [*NODES, "node"]
    traced = {"environment": {"KVGOSSIP_TRACE": TRACE_IN_CONTAINER}, "tmpfs": ["/trace"]}
    with TemporaryDirectory(prefix="kvgossip-") as directory:
        override = Path(directory) / "trace.yaml"
        override.write_text(json.dumps({"services": dict.fromkeys(services, traced)}))  # JSON is YAML
        cluster = Cluster(build_image(), override=override)
        try:
            yield _Containers(cluster, nodes)
        finally:
            cluster.down()


class _Containers:
    def __init__(self, cluster: Cluster, nodes: int) -> None:
        self._cluster = cluster
        self._started = cluster.up_count(nodes)
        names = [name for name in NODES if name in self._started]
        extra = cluster.containers("node") if nodes > len(names) else []
        self._ids = [*map(cluster.container, names), *extra]
        for api in self._started.values():
            wait_until(api.is_ready, "every container is ready")

    @property
    def apis(self) -> list[str]:
        return [api.address for api in self._started.values()]

    def cut(self, side: list[int]) -> None:
        self._cluster.partition("cut", ",".join(list(self._started)[index] for index in side))

    def heal(self) -> None:
        self._cluster.partition("heal")

    def trace(self, node: int) -> str:
        return run("docker", "exec", self._ids[node], "cat", TRACE_IN_CONTAINER)
