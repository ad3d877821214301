"""Five nodes as five processes, with real data directories, that leave nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import kvgossip

NODE_COUNT = 5
STOP_TIMEOUT_S = 5.0
LOG_LINES_SHOWN = 10


class DemoError(Exception):
    """The demo cannot go on, or found a difference. The message is one line, perhaps with a log below it."""


@dataclass(frozen=True, slots=True)
class NodeProcess:
    name: str
    api: str
    peer: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{self.api}"

    def check_alive(self) -> None:
        code = self.process.poll()
        if code is not None:
            lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
            raise DemoError("\n".join([f"{self.name} died with exit code {code}; its last words:", *lines]))


class Cluster:
    """Nodes n1 to n5, all in one temporary directory."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kvgossip-demo-"))
        self.nodes: list[NodeProcess] = []

    def start(self) -> None:
        """Start the processes. They are not ready yet."""
        secret = self.directory / "secret"
        secret.write_text(token_hex(32))
        apis, peers = _free_addresses(NODE_COUNT), _free_addresses(NODE_COUNT)
        for number, (api, peer) in enumerate(zip(apis, peers, strict=True), start=1):
            name = f"n{number}"
            log = self.directory / f"{name}.log"
            seeds = ",".join(other for other in peers if other != peer)
            command = [
                *(sys.executable, "-m", "kvgossip", "serve", "--allow-faults"),
                *("--node", name, "--cluster", self.directory.name),
                *("--listen", api, "--peer-listen", peer, "--seeds", seeds),
                *("--data-dir", str(self.directory / name), "--secret-file", str(secret)),
            ]
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    start_new_session=True,  # Ctrl-C is for the demo, which then stops its nodes in order
                )
            self.nodes.append(NodeProcess(name, api, peer, log, process))

    def check_alive(self) -> None:
        """Raise ``DemoError`` if a node has died."""
        for node in self.nodes:
            node.check_alive()

    def stop(self) -> None:
        """Stop all nodes and remove every file. Safe to call at any moment, and twice."""
        with ExitStack() as cleanup:
            cleanup.callback(shutil.rmtree, self.directory, ignore_errors=True)
            cleanup.callback(self._kill)  # comes first, even when the waiting below is interrupted
            for node in self.nodes:
                if node.process.poll() is None:
                    node.process.send_signal(signal.SIGTERM)
            deadline_s = time.monotonic() + STOP_TIMEOUT_S
            for node in self.nodes:
                try:
                    node.process.wait(max(0.0, deadline_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue

    def _kill(self) -> None:
        for node in self.nodes:
            if node.process.poll() is None:
                node.process.kill()
                node.process.wait()


def _free_addresses(count: int) -> list[str]:
    """Loopback addresses with ports that nobody listened on a moment ago."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{bound.getsockname()[1]}" for bound in sockets]


def _environment() -> dict[str, str]:
    """Ours, with this very package first on the path of the nodes' interpreter."""
    package_parent = str(Path(kvgossip.__file__).parents[1])
    path = os.pathsep.join([package_parent, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}
