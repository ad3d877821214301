"""Nodes as processes on loopback, with real data directories, that leave nothing behind.

What ``kvgossip demo``, the benchmarks and the tests on real processes start their clusters with.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from secrets import token_hex

import kvgossip

STOP_TIMEOUT_S = 10.0
LOG_LINES_SHOWN = 10
PORTS = range(20_000, 32_000)


class ClusterError(Exception):
    """A node died or did not start. The message is one line, with the end of its log below it."""


@dataclass(slots=True)
class NodeProcess:
    """One node. A restart replaces the process; the addresses and the directory stay."""

    name: str
    api: str
    peer: str
    data_dir: Path
    log: Path
    command: list[str]
    started: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self.started is None:
            raise ClusterError(f"{self.name} was not started")
        return self.started

    @property
    def url(self) -> str:
        return f"http://{self.api}"

    @property
    def resident_bytes(self) -> int:
        """What the process holds in memory by now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def resident_bytes_peak(self) -> int:
        """The most that the process has held since its start."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise ClusterError(f"{self.name}: the system does not tell its peak memory")

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def check_alive(self) -> None:
        """Raise ``ClusterError`` if the node has died."""
        code = self.process.poll()
        if code is not None:
            lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
            raise ClusterError(
                "\n".join([f"{self.name} died with exit code {code}; its last words:", *lines])
            )

    def wait_ready(self, timeout_s: float = 20.0) -> float:
        """Wait until the node may serve; returns the seconds since now. Raises ``ClusterError``."""
        from http.client import HTTPConnection, HTTPException

        started_s = time.monotonic()
        host, port = self.api.rsplit(":", 1)
        while time.monotonic() < started_s + timeout_s:
            self.check_alive()
            connection = HTTPConnection(host, int(port), timeout=1.0)
            try:
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return time.monotonic() - started_s
            except (OSError, HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.005)
        raise ClusterError(f"{self.name} was not ready after {timeout_s:.0f} s; see {self.log}")

    def start(self) -> None:
        """Start the process (again)."""
        with self.log.open("ab") as output:
            self.started = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for who started it, which then stops its nodes in order
            )

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)


class LocalCluster:
    """Nodes n1, n2, …, all in one temporary directory."""

    def __init__(self, count: int, *, flags: Sequence[str] = (), joined: bool = True) -> None:
        """``joined``: all have all the others as seeds. ``{name}`` and ``{dir}`` in a flag are filled in."""
        self.directory = Path(tempfile.mkdtemp(prefix="kvgossip-"))
        secret = self.directory / "secret"
        secret.write_text(token_hex(32))
        addresses = free_addresses(2 * count)
        apis, peers = addresses[:count], addresses[count:]
        self.nodes: list[NodeProcess] = []
        for number, (api, peer) in enumerate(zip(apis, peers, strict=True), start=1):
            name = f"n{number}"
            data_dir = self.directory / name
            seeds = ",".join(other for other in peers if other != peer) if joined else ""
            command = [
                *(sys.executable, "-m", "kvgossip", "serve"),
                *("--node", name, "--cluster", self.directory.name),
                *("--listen", api, "--peer-listen", peer),
                *(("--seeds", seeds) if seeds else ()),
                *("--data-dir", str(data_dir), "--secret-file", str(secret)),
                *(flag.format(name=name, dir=self.directory) for flag in flags),
            ]
            log = self.directory / f"{name}.log"
            self.nodes.append(NodeProcess(name, api, peer, data_dir, log, command))

    def start(self) -> None:
        """Start all processes. They are not ready yet."""
        for node in self.nodes:
            node.start()

    def wait_ready(self, timeout_s: float = 20.0) -> None:
        for node in self.nodes:
            node.wait_ready(timeout_s)

    def check_alive(self) -> None:
        """Raise ``ClusterError`` if a node has died."""
        for node in self.nodes:
            node.check_alive()

    def stop(self) -> None:
        """Stop all nodes and remove every file. Safe to call at any moment, and twice."""
        started = [node for node in self.nodes if node.started is not None]
        with ExitStack() as cleanup:
            cleanup.callback(shutil.rmtree, self.directory, ignore_errors=True)
            for node in started:  # these come first, even when the waiting below is interrupted
                cleanup.callback(node.kill)
            for node in started:
                if node.process.poll() is None:
                    node.process.send_signal(signal.SIGTERM)
            deadline_s = time.monotonic() + STOP_TIMEOUT_S
            for node in started:
                try:
                    node.process.wait(max(0.0, deadline_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue

    def __enter__(self) -> "LocalCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_addresses(count: int) -> list[str]:
    """Loopback addresses with ports that nobody had a moment ago.

    They are below those that systems give to outgoing connections, so a node that is stopped for a while
    finds its port free when it starts again.
    """
    addresses: list[str] = []
    with ExitStack() as held:
        while len(addresses) < count:
            bound, port = held.enter_context(socket.socket()), SystemRandom().choice(PORTS)
            with suppress(OSError):
                bound.bind(("127.0.0.1", port))
                addresses.append(f"127.0.0.1:{port}")
    return addresses


def _environment() -> dict[str, str]:
    """Ours, with this very package first on the path of the nodes' interpreter."""
    package_parent = str(Path(kvgossip.__file__).parents[1])
    path = os.pathsep.join([package_parent, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}
