"""How long a one-shot command takes, from its start to its end, against a running node."""

import argparse
import subprocess
import sys
import time

from bench.environment import Figures, write_result
from kvgossip.cli.local_cluster import LocalCluster

TARGETS = {"put_s": 0.15, "get_s": 0.15}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench starts")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args(arguments)
    with LocalCluster(1) as cluster:
        node = cluster.nodes[0]
        cluster.start()
        cluster.wait_ready()
        measure(node.url)  # fills the caches of files
        runs = [measure(node.url) for _ in range(options.runs)]
    write_result("starts", {}, runs, TARGETS)


def measure(url: str) -> Figures:
    return {
        "put_s": seconds("put", "key", "--value", "value", "--url", url),
        "get_s": seconds("get", "key", "--url", url),
        "version_s": seconds("--version"),
    }


def seconds(*command: str) -> float:
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-m", "kvgossip", *command], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began_s
