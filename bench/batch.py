"""Batches: gets and durable puts a second on one core through ``POST /v1/batch``, uniformly over many keys.

One node, pinned to one core with all of its threads, on a directory that was filled beforehand. The client is
on the other core. It keeps some connections busy, each with one request of many lines after the other, and
looks at the status of every line that is answered.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable
from random import Random

from bench.environment import Figures, write_result
from bench.filled import KEY_BYTES, VALUE_BYTES, fill_directory, name_of
from bench.peer_servers import GENERATOR_CORE, SERVER_CORE
from kvgossip.cli.local_cluster import LocalCluster, NodeProcess

CONNECTIONS = 4
LINES = 1_000
BODIES = 300
"""Requests drawn beforehand, so that drawing costs nothing while it counts."""
TARGETS_MIN = {"get_per_s": 80_000.0, "put_per_s": 50_000.0}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench batch")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (default 3)")
    options = parser.parse_args(arguments)
    with LocalCluster(1) as cluster:
        (node,) = cluster.nodes
        fill_directory(node, options.keys)
        node.command[:0] = ["taskset", "-c", str(SERVER_CORE)]
        cluster.start()
        cluster.wait_ready()
        os.sched_setaffinity(0, {GENERATOR_CORE})
        runs = [measure(node, options.keys, options.seconds, seed) for seed in range(options.runs)]
    parameters: dict[str, object] = {
        "keys": options.keys,
        "key_bytes": KEY_BYTES,
        "value_bytes": VALUE_BYTES,
        "connections": CONNECTIONS,
        "lines_a_request": LINES,
        "seconds": options.seconds,
    }
    write_result("batch", parameters, runs, {}, targets_min=TARGETS_MIN)


def measure(node: NodeProcess, keys: int, seconds: float, seed: int) -> Figures:
    rng = Random(seed)
    value = "v" * VALUE_BYTES

    def get() -> str:
        return f'{{"op":"get","key":"{name_of(rng.randrange(keys))}"}}\n'

    def put() -> str:
        return f'{{"op":"put","key":"{name_of(rng.randrange(keys))}","value":"{value}"}}\n'

    get_per_s, get_cpu = asyncio.run(lines_per_s(node, draw(get), b"200", seconds))
    put_per_s, put_cpu = asyncio.run(lines_per_s(node, draw(put), b"204", seconds))
    return {
        "get_per_s": get_per_s,
        "put_per_s": put_per_s,
        "get_cpu_us": get_cpu * 1e6,
        "put_cpu_us": put_cpu * 1e6,
    }


def draw(line: Callable[[], str]) -> list[bytes]:
    """Requests of ``LINES`` lines each."""
    bodies = ["".join([line() for _ in range(LINES)]).encode() for _ in range(BODIES)]
    head = "POST /v1/batch HTTP/1.1\r\nHost: n\r\nContent-Length: {}\r\n\r\n"
    return [head.format(len(body)).encode() + body for body in bodies]


async def lines_per_s(
    node: NodeProcess, requests: list[bytes], status: bytes, seconds: float
) -> tuple[float, float]:
    """Lines answered a second, and processor seconds of the node a line."""
    mark = b'"status":' + status + b","
    lines = 0
    started_s, cpu_before_s = time.monotonic(), node.cpu_seconds

    async def work(number: int) -> None:
        nonlocal lines
        host, port = node.api.split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        index = number
        while time.monotonic() < started_s + seconds:
            writer.write(requests[index % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            answer = await reader.readuntil(b"\r\n0\r\n\r\n")
            text = answer.replace(b'": ', b'":')
            answered = text.count(mark)
            if not head.startswith(b"HTTP/1.1 200 ") or answered < LINES * 0.97:
                raise RuntimeError(f"a batch was answered {head!r} {answer[:300]!r} {answered}")
            lines += LINES
            index += CONNECTIONS
        writer.close()

    await asyncio.gather(*[work(number) for number in range(CONNECTIONS)])
    return lines / (time.monotonic() - started_s), (node.cpu_seconds - cpu_before_s) / lines
