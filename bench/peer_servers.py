"""The servers that ``python -m bench peers`` compares: how each is started, filled and asked.

Every server is pinned to one core, the generator to another. They are started together and asked in turn; one
that is not asked does next to nothing.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from kvgossip.cli.local_cluster import free_addresses

SERVER_CORE, GENERATOR_CORE = 0, 1
CONNECTIONS, MIXED_CONNECTIONS = 64, 100
READY_TIMEOUT_S = 20.0
REST_WINDOW_S, REST_SHARE_MAX, REST_TIMEOUT_S = 2.0, 0.1, 120.0
HERE = Path(__file__).parent

Measured = dict[str, float]


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked: ``reads`` is the share of GETs."""

    name: str
    reads: float
    connections: int


LOADS = (Load("get", 1.0, CONNECTIONS), Load("put", 0.0, CONNECTIONS), Load("mixed", 0.9, MIXED_CONNECTIONS))


@dataclass(frozen=True, slots=True)
class Server:
    """One server. In ``command`` ``{dir}``, ``{address}``, ``{port}``, ``{other}`` are filled in."""

    name: str
    title: str
    package: str
    """The Debian package that has it; nothing if it comes with this repository."""
    command: tuple[str, ...]
    ready: str = "/"
    prefix: str = "/v1/kv/k/"
    body: str = "raw"
    script: str = "peers.lua"

    @property
    def is_redis(self) -> bool:
        return self.package == "redis-server"

    @property
    def is_here(self) -> bool:
        return shutil.which(self.command[0]) is not None


_ETCD = (
    *("etcd", "--enable-v2", "--data-dir", "{dir}", "--log-level", "error"),
    *("--listen-client-urls", "http://{address}", "--advertise-client-urls", "http://{address}"),
    *("--listen-peer-urls", "http://{other}", "--initial-advertise-peer-urls", "http://{other}"),
    *("--initial-cluster", "default=http://{other}"),
)
_REDIS = ("redis-server", "--port", "{port}", "--dir", "{dir}", "--save", "", "--appendonly")
_KVGOSSIP = (
    *(sys.executable, "-m", "kvgossip", "serve", "--listen", "{address}", "--peer-listen", "{other}"),
    *("--data-dir", "{dir}/data"),
)
_YARDSTICK = (sys.executable, str(HERE / "yardstick.py"))

SERVERS = (
    Server("kvgossip", "kvgossip", "", _KVGOSSIP, ready="/readyz"),
    Server("etcd_v2", "etcd 3.4, v2 API", "etcd-server", _ETCD, "/health", "/v2/keys/k/", "form"),
    Server("etcd_v3", "etcd 3.4, v3 gateway", "etcd-server", _ETCD, "/health", script="peers_v3.lua"),
    Server(
        "redis", "redis, `appendfsync always`", "redis-server", (*_REDIS, "yes", "--appendfsync", "always")
    ),
    Server("redis_no", "redis, nothing kept", "redis-server", (*_REDIS, "no")),
    Server("aiohttp_server", "bare `web.Server`, a dict", "", (*_YARDSTICK, "server", "{host}", "{port}")),
    Server(
        "aiohttp_app", "bare `web.Application`, a dict", "", (*_YARDSTICK, "application", "{host}", "{port}")
    ),
)


@contextmanager
def running(server: Server, directory: Path) -> Iterator[str]:
    """Start ``server`` in a directory of its own; yields its address. Killed when the block ends."""
    address, other = free_addresses(2)
    host, port = address.split(":")
    own = directory / server.name
    own.mkdir()
    places = {"dir": str(own), "address": address, "host": host, "port": port, "other": other}
    command = ["taskset", "-c", str(SERVER_CORE), *(part.format(**places) for part in server.command)]
    with ExitStack() as cleanup:
        log = cleanup.enter_context((directory / f"{server.name}.log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        _wait_ready(server, address)
        yield address


def fill(server: Server, address: str, keys: int) -> None:
    """Write every key; of redis' those that random writes reach."""
    if server.is_redis:
        port = address.split(":")[1]
        requests = ("-t", "set", "-n", str(4 * keys), "-r", str(keys), "-d", "100", "-P", "32", "-q")
        _generate("redis-benchmark", "-p", port, *requests)
    elif not server.name.startswith("aiohttp"):
        done = 0
        while done < keys:
            done += int(_wrk(server, address, CONNECTIONS, keys, f"from {done}", seconds=2)["requests"])


def rest() -> None:
    """Wait until the servers have done what filling left behind: compaction, snapshots."""
    deadline_s = time.monotonic() + REST_TIMEOUT_S
    while time.monotonic() < deadline_s:
        before = _busy_s()
        time.sleep(REST_WINDOW_S)
        if _busy_s() - before < REST_SHARE_MAX * REST_WINDOW_S:
            return
    print(f"the core of the servers was busy for {REST_TIMEOUT_S:.0f} s after the filling", file=sys.stderr)


def _busy_s() -> float:
    """What the core of the servers has worked so far."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{SERVER_CORE}":
            user, nice, system = (int(count) for count in ticks[:3])
            return (user + nice + system) / os.sysconf("SC_CLK_TCK")
    raise RuntimeError(f"/proc/stat has no core {SERVER_CORE}")


def measure(server: Server, address: str, load: Load, keys: int, *, seconds: int) -> Measured:
    """Requests a second and their latencies. Raises ``RuntimeError`` if any request failed."""
    if server.is_redis:
        return _measure_redis(address, load, keys, seconds)
    measured = _wrk(server, address, load.connections, keys, str(load.reads), seconds=seconds)
    del measured["requests"]
    if measured.pop("errors"):
        raise RuntimeError(f"{server.name} answered errors to {load.name}: were the keys filled in?")
    return measured


def _wrk(server: Server, address: str, connections: int, keys: int, reads: str, *, seconds: int) -> Measured:
    shape = ("-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / server.script))
    ask = (f"http://{address}", "--", server.prefix, str(keys), reads, server.body)
    measured: Measured = json.loads(_generate("wrk", *shape, *ask).splitlines()[-1])
    return measured


def _measure_redis(address: str, load: Load, keys: int, seconds: int) -> Measured:
    """Mixed loads are not to be had from redis-benchmark."""
    if 0 < load.reads < 1:
        return {}
    port = address.split(":")[1]
    command = "get" if load.reads else "set"
    shape = ("-c", str(load.connections), "-r", str(keys), "-d", "100", "-t", command, "--csv")
    header, row = _generate("redis-benchmark", "-p", port, "-n", str(40_000 * seconds), *shape).splitlines()
    named = dict(zip(header.replace('"', "").split(","), row.replace('"', "").split(","), strict=True))
    p50_ms, p99_ms = float(named["p50_latency_ms"]), float(named["p99_latency_ms"])
    return {"per_s": float(named["rps"]), "p50_ms": p50_ms, "p99_ms": p99_ms}


def _generate(*command: str) -> str:
    pinned = ("taskset", "-c", str(GENERATOR_CORE), *command)
    return subprocess.run(pinned, check=True, capture_output=True, text=True).stdout


def _wait_ready(server: Server, address: str) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s:
        try:
            if server.is_redis:
                _generate("redis-cli", "-p", address.split(":")[1], "ping")
            else:
                urllib.request.urlopen(f"http://{address}{server.ready}", timeout=1).close()
        except (URLError, OSError, subprocess.CalledProcessError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{server.name} did not start within {READY_TIMEOUT_S:.0f} s")
