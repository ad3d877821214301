"""Memory, start and disk of a node with many entries.

Its directory is filled beforehand (``filled.py``), all but the last 100,000 entries, which clients PUT; then
it is killed and started again. Keys have 20 bytes, values 100 random ones, which no compression makes less.
The peaks of an exchange are those of ``python -m bench join``.
"""

import argparse
import asyncio
import os
import time

from bench.environment import Figures, write_result
from bench.filled import KEY_BYTES, VALUE_BYTES, fill_directory, name_of
from bench.http_load import load_keys
from kvgossip.cli.local_cluster import LocalCluster

PUT_ENTRIES = 100_000
START_TIMEOUT_S = 120.0
MANY = 1_000_000
TARGETS = {"load_peak_mb": 200.0, "restart_peak_mb": 200.0, "restart_s": 2.0, "disk_ratio": 2.0}
TARGETS_MORE = {"load_peak_mb": 600.0, "restart_peak_mb": 600.0, "restart_s": 15.0, "disk_ratio": 2.0}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench memory")
    parser.add_argument("--entries", type=int, default=MANY)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    runs = [asyncio.run(measure(options.entries)) for _ in range(options.runs)]
    parameters: dict[str, object] = {
        "entries": options.entries,
        "entries_put": PUT_ENTRIES,
        "key_bytes": KEY_BYTES,
        "value_bytes": VALUE_BYTES,
    }
    targets = TARGETS if options.entries <= MANY else TARGETS_MORE
    write_result(f"memory-{options.entries}", parameters, runs, targets)


async def measure(entries: int) -> Figures:
    with LocalCluster(1) as cluster:
        (node,) = cluster.nodes
        fill_directory(node, entries - PUT_ENTRIES)
        node.start()
        start_s = node.wait_ready(START_TIMEOUT_S)
        names = [name_of(number) for number in range(entries - PUT_ENTRIES, entries)]
        started_s = time.monotonic()
        await load_keys(node.api, names, lambda name: os.urandom(VALUE_BYTES))
        load_s = time.monotonic() - started_s
        load_peak = node.resident_bytes_peak
        node.kill()  # a start with the log of a crash is the slower one
        node.start()
        restart_s = await asyncio.to_thread(node.wait_ready, START_TIMEOUT_S)
        disk_bytes = sum(path.stat().st_size for path in node.data_dir.rglob("*") if path.is_file())
        return {
            "start_s": start_s,
            "put_per_s": PUT_ENTRIES / load_s,
            "load_peak_mb": load_peak / 1e6,
            "restart_s": restart_s,
            "restart_peak_mb": node.resident_bytes_peak / 1e6,
            "disk_bytes_an_entry": disk_bytes / entries,
            "disk_ratio": disk_bytes / entries / (KEY_BYTES + VALUE_BYTES),
        }
