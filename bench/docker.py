"""The cluster in containers: sizes, memory, the time from ``up`` to converged, and from a heal to converged.

Needs root, a Docker engine and Compose; nothing is taken from a registry of images. A cut splits the nodes as
evenly as their number allows, on the network of the peers, by ``docker/partition.sh``; half of the keys are
written on each side of it. t = 0 is the moment at which the script is called to heal. Converged: all nodes
have the same root, and then every key is read through every node.
"""

import argparse
import time
from functools import partial

from bench.environment import Figures, write_result
from tests.docker.api import Api
from tests.docker.cluster import NODES, Cluster, is_converged, is_whole, wait_until
from tests.docker.engine import base_image, build_image, find_compose, image_bytes, memory_mib, run

TARGETS = {"above_base_mb": 70.0, "idle_mib": 70.0, "up_converged_s": 10.0}
SIZES = (3, 5, 9)
IDLE_S = 10.0
HEAL_TIMEOUT_S = 120.0


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench docker")
    parser.add_argument("--keys", type=int, default=1_000, help="that differ at the heal")
    parser.add_argument("--cut-s", type=float, default=30.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    image = build_image()
    sizes = {
        "image_mb": image_bytes(image) / 1e6,
        "base_mb": image_bytes(base_image()) / 1e6,
        "above_base_mb": (image_bytes(image) - image_bytes(base_image())) / 1e6,
    }
    runs = [sizes | measure(image, options.keys, options.cut_s) for _ in range(options.runs)]
    parameters: dict[str, object] = {
        "keys": options.keys,
        "cut_s": options.cut_s,
        "engine": run("docker", "version", "--format", "{{.Server.Version}}").strip(),
        "compose": run(*find_compose() or (), "version", "--short").strip(),
    }
    write_result("docker", parameters, runs, TARGETS)


def measure(image: str, keys: int, cut_s: float) -> Figures:
    figures: Figures = {}
    for size in SIZES:
        cluster = Cluster(image)
        try:
            started_s = time.monotonic()
            apis = _start(cluster, size)
            if size == len(NODES):
                figures["up_converged_s"] = time.monotonic() - started_s
                time.sleep(IDLE_S)
                figures["idle_mib"] = max(memory_mib(cluster.container(name)) for name in NODES)
            figures[f"heal_{size}_s"] = _heal(cluster, apis, keys, cut_s)
        finally:
            cluster.down()
    return figures


def _start(cluster: Cluster, size: int) -> dict[str, Api]:
    """Every node by the name that ``partition.sh`` has for it, once all of them are one cluster."""
    apis = cluster.up_count(size)
    wait_until(lambda: is_whole(list(apis.values())), f"{size} nodes are one cluster")
    return apis


def _heal(cluster: Cluster, apis: dict[str, Api], keys: int, cut_s: float) -> float:
    half = len(apis) // 2
    sides = list(apis)[:half], list(apis)[half:]
    cut_at_s = time.monotonic()
    cluster.partition("cut", *(",".join(side) for side in sides))
    for side in sides:
        for index in range(keys // 2):
            apis[side[index % len(side)]].put(f"cut/{side[0]}/{index}", f"value {index} of {side[0]}")
    for side in sides:
        wait_until(partial(is_converged, [apis[name] for name in side]), "a side agrees within itself")
    assert not is_converged(list(apis.values())), "the cut was none"
    time.sleep(max(0.0, cut_at_s + cut_s - time.monotonic()))
    healed_s = time.monotonic()
    cluster.partition("heal")
    while not is_converged(list(apis.values())):
        assert time.monotonic() - healed_s < HEAL_TIMEOUT_S
    taken_s = time.monotonic() - healed_s
    for side in sides:
        for index in range(keys // 2):
            for name, api in apis.items():
                found = api.value(f"cut/{side[0]}/{index}")
                assert found == f"value {index} of {side[0]}", (
                    f"{name}: cut/{side[0]}/{index} reads as {found!r}"
                )
    return taken_s
