"""Latency under load: GET and PUT at half the rate that a node can do, and GET while every sync takes 20 ms.

One node, pinned to one core with all of its threads; the generator is on the other. Each run asks wrk for
the greatest rate of the moment, and then sends half of it, open loop: a request is late from the moment that
it is due. Syncs are slowed by strace, which holds the thread that calls fdatasync and no other; then writes
are a tenth of the load, on connections of their own.
"""

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from bench.environment import Figures, percentile, write_result
from bench.filled import VALUE_BYTES, fill_directory, name_of
from bench.open_loop import Flow, run_flows
from bench.peer_servers import CONNECTIONS, GENERATOR_CORE, LOADS, SERVER_CORE, SERVERS, measure
from kvgossip.cli.local_cluster import LocalCluster, NodeProcess

SLOW_SYNC_MS = 20
TARGETS = {"get_p99_ms": 2.0, "put_p99_ms": 10.0, "slow_sync_get_p99_ms": 5.0}
_GET = b"GET /v1/kv/%b HTTP/1.1\r\nHost: n\r\n\r\n"
_PUT = (
    b"PUT /v1/kv/%b HTTP/1.1\r\nHost: n\r\nContent-Length: %d\r\n\r\n" % (b"%b", VALUE_BYTES)
    + b"v" * VALUE_BYTES
)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench latency")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default 5)")
    options = parser.parse_args(arguments)
    if shutil.which("strace") is None or shutil.which("wrk") is None:
        raise SystemExit("this needs wrk and strace: apt-get install wrk strace")
    with LocalCluster(1) as cluster:
        (node,) = cluster.nodes
        fill_directory(node, options.keys)
        os.sched_setaffinity(0, {GENERATOR_CORE})
        runs = [measure_run(node, options.keys, options.seconds, seed) for seed in range(options.runs)]
    parameters: dict[str, object] = {
        "keys": options.keys,
        "value_bytes": VALUE_BYTES,
        "connections": CONNECTIONS,
        "seconds": options.seconds,
        "slow_sync_ms": SLOW_SYNC_MS,
    }
    write_result("latency", parameters, runs, TARGETS)


def measure_run(node: NodeProcess, keys: int, seconds: int, seed: int) -> Figures:
    rng = Random(seed)

    def get(_: int) -> bytes:
        return _GET % name_of(rng.randrange(keys)).encode()

    def put(_: int) -> bytes:
        return _PUT % name_of(rng.randrange(keys)).encode()

    figures: Figures = {}
    with started(node, []):
        rates = {load.name: measure(SERVERS[0], node.api, load, keys, seconds=2)["per_s"] for load in LOADS}
        for name, request, statuses in (("get", get, [b"200"]), ("put", put, [b"204"])):
            flow = Flow(name, rates[name] / 2, CONNECTIONS, request, statuses)
            figures[f"{name}_rate_hz"] = flow.rate_hz
            figures |= summary(name, run_flows(node.api, [flow], seconds)[name])
    fault = f"inject=fdatasync:delay_enter={SLOW_SYNC_MS * 1_000}"
    slow = ["strace", "-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", fault]
    with started(node, slow):
        flows = [
            Flow("slow_sync_get", 0.45 * rates["mixed"], CONNECTIONS, get, [b"200"]),
            Flow("slow_sync_put", 0.05 * rates["mixed"], CONNECTIONS, put, [b"204"]),
        ]
        for flow in flows:
            figures[f"{flow.name}_rate_hz"] = flow.rate_hz
        for name, latencies in run_flows(node.api, flows, seconds).items():
            figures |= summary(name, latencies)
    assert figures["slow_sync_put_p50_ms"] >= SLOW_SYNC_MS, "the syncs were not slow"
    return figures


def summary(name: str, latencies_ms: list[float]) -> Figures:
    return {
        f"{name}_p50_ms": percentile(latencies_ms, 0.50),
        f"{name}_p99_ms": percentile(latencies_ms, 0.99),
        f"{name}_p999_ms": percentile(latencies_ms, 0.999),
        f"{name}_max_ms": max(latencies_ms),
    }


@contextmanager
def started(node: NodeProcess, before: list[str]) -> Iterator[None]:
    """The node, on its core, behind a command that runs it."""
    plain = list(node.command)
    node.command[:0] = ["taskset", "-c", str(SERVER_CORE), *before]
    try:
        node.start()
        node.wait_ready(60.0)
        yield
    finally:
        node.stop()
        node.command[:] = plain
