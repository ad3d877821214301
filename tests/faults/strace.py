"""strace: what a node's system calls were, in order, and faults injected into them.

With ``-D`` the tracer is not the parent of the node, so the process that a test starts, signals and measures
is the node itself.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kvgossip.cli.local_cluster import NodeProcess
from tests.faults.conftest import cannot_run, need

WRITES = "write,pwrite64,writev,sendto,sendmsg"
SYNCS = "fdatasync,fsync,sync_file_range"
_LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
_CALL = re.compile(r"(\w+)\((\d+)<(.*?)>[,)]?(.*)", re.DOTALL)


def need_strace() -> None:
    """Go on only if strace is there and may trace what it starts."""
    need("strace")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        cannot_run(f"strace may not trace here: {tried.stderr.strip()}")


def traced(output: Path) -> list[str]:
    """What comes before a command whose writes and syncs are to be recorded."""
    return [
        *("strace", "-D", "-f", "-ttt", "-y", "-s", "65536", "-o", str(output)),
        *("-e", f"trace={WRITES},{SYNCS}"),
    ]


def injected(fault: str) -> list[str]:
    """What comes before a command into whose system calls a fault is put, such as ``write:error=EIO``."""
    calls = fault.partition(":")[0]
    return ["strace", "-D", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={fault}"]


@contextmanager
def injecting(node: NodeProcess, fault: str) -> Iterator[None]:
    """Put a fault into the system calls of a node that runs, until the end of the block."""
    calls = fault.partition(":")[0]
    pid = str(node.process.pid)
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", pid, "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={fault}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert tracer.stderr is not None
        line = tracer.stderr.readline()
        assert "attached" in line, f"strace could not attach: {line}"
        yield
    finally:
        tracer.terminate()  # it lets go of the node
        tracer.communicate(timeout=10)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call. ``began`` and ``ended`` are line numbers of the trace: the order of events."""

    name: str
    fd: int
    file: str
    text: str
    began: int
    ended: int


def read_calls(output: Path) -> list[Call]:
    """All finished calls of a trace. A call that another thread interrupted is put together again."""
    calls: list[Call] = []
    unfinished: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(output.read_text(errors="replace").splitlines()):
        split = _LINE.fullmatch(line)
        if split is None:
            continue
        pid, _, text = split.groups()
        began = number
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = number, text
            continue
        if text.startswith("<... ") and pid in unfinished:
            began, start = unfinished.pop(pid)
            text = start.removesuffix("<unfinished ...>") + text.partition("resumed>")[2]
        found = _CALL.match(text)
        if found is not None and not re.search(r"= -1 \w+", text[-80:]):
            name, fd, file, rest = found.groups()
            calls.append(Call(name, int(fd), file, rest, began, number))
    return calls
