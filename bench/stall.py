"""What holds the event loop: a node with a million entries through a listing, an exchange and batches.

The node is pinned to one core with all of its threads, so flushes and compactions take their time from the
loop as well, as the scheduler shares them out (at one real-time priority each would keep the core for as long
as it likes). All else is on the other core: the load in a process of its own, and a probe that sends a GET
200 times a second. The loop's own histogram (``kvgossip_loop_lag_seconds``) says how late a timer ran, four
times a second; the probe sees every hold that is longer than 5 ms.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
from collections.abc import Callable
from multiprocessing import get_context
from random import Random
from urllib.request import urlopen

from bench.batch import draw, lines_per_s
from bench.environment import Figures, percentile, write_result
from bench.filled import VALUE_BYTES, fill_directory, name_of
from bench.join import wait_equal
from bench.open_loop import Flow, run_flows
from bench.peer_servers import GENERATOR_CORE, SERVER_CORE
from kvgossip.cli.local_cluster import LocalCluster, NodeProcess

HOLD_S_MAX = 0.02
PROBE_HZ = 200.0
PROBE_S = 0.5
BATCH_S = 5.0
PHASES = ("list", "put", "get", "exchange")
TARGETS = {f"{phase}_beats_late_share": 0.0 for phase in PHASES}
_BUCKET = re.compile(r'kvgossip_loop_lag_seconds_bucket{le="([^"]+)"} ([0-9.e+]+)')


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench stall")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    with LocalCluster(2) as cluster:
        node, joiner = cluster.nodes
        fill_directory(node, options.entries)
        for served, core in ((node, SERVER_CORE), (joiner, GENERATOR_CORE)):
            served.command[:0] = ["chrt", "-o", "0", "taskset", "-c", str(core)]
        node.start()
        node.wait_ready(60.0)
        os.sched_setaffinity(0, {GENERATOR_CORE})
        runs = [measure(node, joiner, options.entries, seed) for seed in range(options.runs)]
    parameters: dict[str, object] = {
        "entries": options.entries,
        "value_bytes": VALUE_BYTES,
        "hold_ms_max": HOLD_S_MAX * 1e3,
        "probe_hz": PROBE_HZ,
        "batch_s": BATCH_S,
    }
    write_result("stall", parameters, runs, TARGETS)


def measure(node: NodeProcess, joiner: NodeProcess, entries: int, seed: int) -> Figures:
    loads: dict[str, Callable[[], None]] = {
        "list": lambda: list_all(node.api, entries),
        "put": lambda: batches(node, entries, seed, is_put=True),
        "get": lambda: batches(node, entries, seed, is_put=False),
        "exchange": lambda: join(node, joiner),
    }
    figures: Figures = {}
    for phase in PHASES:
        figures |= probe(node, entries, phase, loads[phase])
    return figures


def probe(node: NodeProcess, entries: int, phase: str, load: Callable[[], None]) -> Figures:
    """What the loop and a client notice while ``load`` goes on in another process."""
    before = beats(node.api)
    worker = get_context("fork").Process(target=_at_normal_priority, args=(load,))
    worker.start()
    latencies_ms: list[float] = []
    rng = Random(phase)

    def get(_: int) -> bytes:
        return b"GET /v1/kv/%b HTTP/1.1\r\nHost: n\r\n\r\n" % name_of(rng.randrange(entries)).encode()

    while worker.is_alive():
        latencies_ms += run_flows(node.api, [Flow("get", PROBE_HZ, 8, get, [b"200"])], PROBE_S)["get"]
    worker.join()
    if worker.exitcode:
        raise RuntimeError(f"the load of {phase} failed")
    after = beats(node.api)
    count = after["+Inf"] - before["+Inf"]
    late = count - (after[str(HOLD_S_MAX)] - before[str(HOLD_S_MAX)])
    return {
        f"{phase}_s": len(latencies_ms) / PROBE_HZ,
        f"{phase}_beats_late_share": late / count,
        f"{phase}_get_p99_ms": percentile(latencies_ms, 0.99),
        f"{phase}_get_max_ms": max(latencies_ms),
    }


def beats(address: str) -> dict[str, float]:
    """How many beats of the loop came at most so late, by seconds."""
    with urlopen(f"http://{address}/metrics", timeout=10.0) as answer:
        return {bound: float(count) for bound, count in _BUCKET.findall(answer.read().decode())}


def list_all(address: str, entries: int) -> None:
    """Every key with its version, a thousand a page."""
    cursor, found = "", 0
    while True:
        with urlopen(f"http://{address}/v1/kv?limit=1000{cursor}", timeout=30.0) as answer:
            page = json.load(answer)
        found += len(page["items"])
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    if found != entries:
        raise RuntimeError(f"{found} of {entries} keys were listed")


def join(node: NodeProcess, joiner: NodeProcess) -> None:
    """An empty node takes all, and is thrown away."""
    joiner.start()
    try:
        joiner.wait_ready()
        asyncio.run(wait_equal(node, joiner))
    finally:
        joiner.kill()
        shutil.rmtree(joiner.data_dir)


def batches(node: NodeProcess, entries: int, seed: int, *, is_put: bool) -> None:
    """Enough writes for several flushes and compactions."""
    rng, value = Random(seed), "v" * VALUE_BYTES

    def line() -> str:
        name = name_of(rng.randrange(entries))
        return (
            f'{{"op":"put","key":"{name}","value":"{value}"}}\n'
            if is_put
            else f'{{"op":"get","key":"{name}"}}\n'
        )

    asyncio.run(lines_per_s(node, draw(line), b"204" if is_put else b"200", BATCH_S))


def _at_normal_priority(load: Callable[[], None]) -> None:
    """The probe goes before the load, even where all was started at real-time priority."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    load()
