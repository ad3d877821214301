"""kvgossip beside what a user would pick instead: each server on one core, the load generator on another.

Values of 100 bytes, keys drawn uniformly, 64 connections (100 with nine reads to a write), everything durable
that can be. The servers are asked in turn, again and again, so what the machine does meanwhile hits all
alike; a ratio is of two figures of the same turn, and all figures are medians over the turns. The first turn
begins when the servers have done what filling left behind. wrk asks over HTTP, redis-benchmark over redis'
own protocol.

Nothing is installed: a server that is not there is left out, and its Debian package is named. ``--report``
writes the table into the README.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.environment import Figures, write_result
from bench.peer_servers import LOADS, SERVERS, Server, fill, measure, rest, running
from bench.report import main as write_tables

TARGETS_MIN = {"get_to_etcd_v2": 1.2, "put_to_etcd_v2": 1.2, "get_to_redis": 0.8}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench peers")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement (default 2)")
    parser.add_argument(
        "--only", default="", help="names of servers, with commas (default: all that are here)"
    )
    parser.add_argument(
        "--report", action="store_true", help="write the table of all results into the README"
    )
    options = parser.parse_args(arguments)
    servers = choose(options.only.split(",") if options.only else [server.name for server in SERVERS])
    runs = compare(servers, options.keys, options.runs, options.seconds)
    parameters: dict[str, object] = {
        "keys": options.keys,
        "seconds": options.seconds,
        "value_bytes": 100,
        "connections": {load.name: load.connections for load in LOADS},
    }
    known = {key: target for key, target in TARGETS_MIN.items() if key in runs[0]}
    write_result(f"peers_{options.keys}", parameters, runs, {}, targets_min=known)
    if options.report:
        write_tables([])


def choose(names: list[str]) -> list[Server]:
    """The servers of these names that are here. Says what is missing; raises ``SystemExit`` without wrk."""
    missing = {s.package for s in SERVERS if s.name in names and not s.is_here}
    if missing:
        print(f"left out; Debian has them as: {', '.join(sorted(missing))}", file=sys.stderr)
    wrk = Server("wrk", "", "wrk", ("wrk",))
    if not wrk.is_here:
        raise SystemExit("the load comes from wrk: apt-get install wrk")
    return [server for server in SERVERS if server.name in names and server.is_here]


def compare(servers: list[Server], keys: int, turns: int, seconds: int) -> list[Figures]:
    with ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="kvgossip-peers-")))
        addresses = {server: cleanup.enter_context(running(server, directory)) for server in servers}
        for server, address in addresses.items():
            fill(server, address, keys)
        rest()
        return [_turn(addresses, keys, seconds) for _ in range(turns)]


def _turn(addresses: dict[Server, str], keys: int, seconds: int) -> Figures:
    figures: Figures = {}
    for load in LOADS:
        for server, address in addresses.items():
            for unit, figure in measure(server, address, load, keys, seconds=seconds).items():
                figures[f"{load.name}_{unit}_{server.name}"] = figure
    for load in LOADS:
        mine = figures.get(f"{load.name}_per_s_kvgossip")
        for server in addresses:
            theirs = figures.get(f"{load.name}_per_s_{server.name}")
            if mine is not None and theirs is not None and server.name != "kvgossip":
                figures[f"{load.name}_to_{server.name}"] = mine / theirs
    return figures
