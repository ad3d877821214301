"""Three nodes on two cores, with the generator: durable PUTs to all of them, beside etcd 3.4 (v2 API).

Both clusters are started, and loaded in turns by three wrk processes, one a node. What a PUT promises
differs: etcd has it on two disks of three, in one order; kvgossip on the disk of the node that took it, and
on the others a moment later. So after each turn the bench waits until every write is on every node, and says
how long that took: kvgossip's nodes must have equal roots, etcd's members the same last index. Keys that were
written last at each node are then read at all of them.

Not to be run at real-time priority: etcd's threads spin for a moment before they sleep, and so starve it.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench.environment import Figures, write_result
from bench.peer_servers import HERE
from kvgossip.cli.local_cluster import LocalCluster, free_addresses

NODES = 3
CONNECTIONS_A_NODE = 21
MARKERS = 20
SETTLE_TIMEOUT_S = 60.0
START_TIMEOUT_S = 20.0
TARGETS_MIN = {"put_to_etcd_v2": 0.8}

KV_PREFIX, ETCD_PREFIX = "/v1/kv/k/", "/v2/keys/k/"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench cluster")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement (default 4)")
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None or shutil.which("etcd") is None:
        raise SystemExit("this needs wrk and etcd: apt-get install wrk etcd-server")
    with ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="kvgossip-cluster-")))
        nodes = cleanup.enter_context(LocalCluster(NODES))
        nodes.start()
        nodes.wait_ready()
        apis = [node.api for node in nodes.nodes]
        members = cleanup.enter_context(etcd_cluster(directory))
        put(apis, KV_PREFIX, "raw", options.keys, 1)  # both have seen some of the keys
        put(members, ETCD_PREFIX, "form", options.keys, 1)
        runs = [measure(apis, members, options.keys, options.seconds) for _ in range(options.runs)]
    parameters: dict[str, object] = {
        "nodes": NODES,
        "keys": options.keys,
        "value_bytes": 100,
        "connections_a_node": CONNECTIONS_A_NODE,
        "seconds": options.seconds,
    }
    write_result("cluster", parameters, runs, {}, targets_min=TARGETS_MIN)


def measure(apis: list[str], members: list[str], keys: int, seconds: int) -> Figures:
    """One turn of each. Raises ``RuntimeError`` if a write is missing on a node."""
    figures: Figures = {}
    for name, addresses, prefix, body, state in (
        ("kvgossip", apis, KV_PREFIX, "raw", root_of),
        ("etcd_v2", members, ETCD_PREFIX, "form", index_of),
    ):
        per_s, p99_ms = put(addresses, prefix, body, keys, seconds)
        figures[f"put_per_s_{name}"] = per_s
        figures[f"put_p99_ms_{name}"] = p99_ms
        written = write_markers(addresses, prefix, body)
        figures[f"settled_s_{name}"] = settle(addresses, state)
        check_markers(addresses, prefix, written)
    figures["put_to_etcd_v2"] = figures["put_per_s_kvgossip"] / figures["put_per_s_etcd_v2"]
    return figures


def put(addresses: list[str], prefix: str, body: str, keys: int, seconds: int) -> tuple[float, float]:
    """PUTs a second to all nodes together, and the greatest of their 99th percentiles."""
    shape = ("wrk", "-t1", f"-c{CONNECTIONS_A_NODE}", f"-d{seconds}s", "-s", str(HERE / "peers.lua"))
    loads = [
        subprocess.Popen(
            [*shape, f"http://{address}", "--", prefix, str(keys), "0", body],
            stdout=subprocess.PIPE,
            text=True,
        )
        for address in addresses
    ]
    measured = [json.loads(load.communicate()[0].splitlines()[-1]) for load in loads]
    if any(one["errors"] for one in measured):
        raise RuntimeError(f"some PUTs failed: {measured}")
    return sum(one["per_s"] for one in measured), max(one["p99_ms"] for one in measured)


def write_markers(addresses: list[str], prefix: str, body: str) -> dict[str, str]:
    """The last writes of a turn, some at each node: key to value."""
    written = {}
    for number in range(MARKERS * len(addresses)):
        key, value = f"marker-{number}", str(time.monotonic_ns())
        sent = f"value={value}" if body == "form" else value
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body == "form" else {}
        call("PUT", addresses[number % len(addresses)], prefix + key, sent.encode(), headers)
        written[key] = value
    return written


def check_markers(addresses: list[str], prefix: str, written: dict[str, str]) -> None:
    for address in addresses:
        for key, value in written.items():
            if value.encode() not in call("GET", address, prefix + key):
                raise RuntimeError(f"{address} does not have the last write of {key}")


def settle(addresses: list[str], state: Callable[[str], object]) -> float:
    """Seconds until all say the same. Raises ``RuntimeError``."""
    started_s = time.monotonic()
    while len({state(address) for address in addresses}) > 1:
        if time.monotonic() > started_s + SETTLE_TIMEOUT_S:
            raise RuntimeError(f"writes are missing on a node after {SETTLE_TIMEOUT_S:.0f} s")
        time.sleep(0.01)
    return time.monotonic() - started_s


def root_of(address: str) -> object:
    status = json.loads(call("GET", address, "/v1/status"))
    return status["root"], status["entries"]


def index_of(address: str) -> object:
    """The index of the last write that a member has applied."""
    with urlopen(f"http://{address}/v2/keys/k/marker-0", timeout=10.0) as answer:
        return answer.headers["X-Etcd-Index"]


def call(
    method: str, address: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> bytes:
    request = Request(f"http://{address}{target}", body, headers or {}, method=method)
    with urlopen(request, timeout=10.0) as answer:
        data: bytes = answer.read()
        return data


@contextmanager
def etcd_cluster(directory: Path) -> Iterator[list[str]]:
    """Three members on loopback; yields where they answer clients."""
    addresses = free_addresses(2 * NODES)
    clients, peers = addresses[:NODES], addresses[NODES:]
    cluster = ",".join(f"e{number}=http://{peer}" for number, peer in enumerate(peers))
    with ExitStack() as cleanup:
        for number, (client, peer) in enumerate(zip(clients, peers, strict=True)):
            command = [
                *("etcd", "--enable-v2", "--name", f"e{number}", "--data-dir", str(directory / f"e{number}")),
                *("--listen-client-urls", f"http://{client}", "--advertise-client-urls", f"http://{client}"),
                *("--listen-peer-urls", f"http://{peer}", "--initial-advertise-peer-urls", f"http://{peer}"),
                *("--initial-cluster", cluster, "--log-level", "error"),
            ]
            log = cleanup.enter_context((directory / f"e{number}.log").open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            cleanup.callback(process.wait)
            cleanup.callback(process.kill)
        for client in clients:
            _wait_healthy(client)
        yield clients


def _wait_healthy(address: str) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        try:
            if b"true" in call("GET", address, "/health"):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"etcd at {address} did not start within {START_TIMEOUT_S:.0f} s")
