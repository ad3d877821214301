"""``/livez``: the process works. ``/readyz``: it may serve, whether or not it reaches a peer."""

from aiohttp import web

from kvgossip.api.answer import Answer
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.runtime.node import Node

SILENT_S_MAX = 10.0


async def livez(node: Node, request: web.BaseRequest) -> Answer:
    """503 if timers have not run for ``SILENT_S_MAX``; a loop that stands still answers nothing at all."""
    if node.silent_s > SILENT_S_MAX:
        raise ProblemError(Problem.NOT_READY, f"the event loop has been stalled for {node.silent_s:.0f} s")
    return _ok()


async def readyz(node: Node, request: web.BaseRequest) -> Answer:
    """Ready; further lines say what a person should look at all the same."""
    check_ready(node)
    notes = []
    correction_ms = node.replica.clock_correction_ms
    if correction_ms:
        notes.append(f"the clock of this node is wrong: it goes by the others', {correction_ms:+} ms\n")
    troubles = node.replica.troubles
    if troubles:
        notes.append(f"the others do not choose this node to serve: {', '.join(troubles)}\n")
    if node.replica.read_only_because is not None:
        notes.append(f"this node takes no writes: {node.replica.read_only_because}\n")
    return _ok("".join(notes))


def check_ready(node: Node) -> None:
    """Raise ``ProblemError`` (503) while the node starts or stops."""
    if not node.is_ready:
        raise ProblemError(
            Problem.NOT_READY, "the node is starting or stopping: try another one", must_close=True
        )


def _ok(note: str = "") -> Answer:
    return Answer(200, {"Content-Type": "text/plain"}, f"ok\n{note}".encode())
