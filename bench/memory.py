"""Memory and start: a node with a million entries, through load, exchange and restart."""

import argparse
import asyncio
import os
import time

from bench.environment import Figures, write_result
from bench.http_load import load_keys
from bench.join import key_of, wait_equal
from kvgossip.cli.local_cluster import LocalCluster

TARGETS = {"load_peak_mib": 300.0, "exchange_peak_mib": 300.0, "restart_peak_mib": 300.0, "restart_s": 5.0}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench memory")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args(arguments)
    runs = [asyncio.run(measure(options.entries)) for _ in range(options.runs)]
    write_result("memory", {"entries": options.entries, "key_bytes": 20, "value_bytes": 100}, runs, TARGETS)


async def measure(entries: int) -> Figures:
    with LocalCluster(2) as cluster:
        source, joiner = cluster.nodes
        source.start()
        source.wait_ready()
        started_s = time.monotonic()
        await load_keys(source.api, [key_of(i) for i in range(entries)], lambda key: os.urandom(100))
        load_s = time.monotonic() - started_s
        load_peak = source.resident_bytes_peak
        source.kill()  # a start with the log of a crash is the slower one
        source.start()
        restart_s = await asyncio.to_thread(source.wait_ready, 60.0)
        restart_peak = source.resident_bytes_peak
        started_s = time.monotonic()
        joiner.start()
        await asyncio.to_thread(joiner.wait_ready)
        await wait_equal(source, joiner)
        join_s = time.monotonic() - started_s
        disk_bytes = sum(path.stat().st_size for path in source.data_dir.rglob("*") if path.is_file())
        return {
            "load_s": load_s,
            "load_peak_mib": load_peak / 2**20,
            "restart_s": restart_s,
            "restart_peak_mib": restart_peak / 2**20,
            "join_s": join_s,
            "exchange_peak_mib": max(source.resident_bytes_peak, joiner.resident_bytes_peak) / 2**20,
            "disk_bytes_an_entry": disk_bytes / entries,
        }
