"""``/livez``: the process works. ``/readyz``: it may serve, whether or not it reaches a peer."""

from typing import TYPE_CHECKING

from aiohttp import web

from kvgossip.api.problem import NOSNIFF, Problem, ProblemError

if TYPE_CHECKING:
    from kvgossip.runtime.node import Node


async def livez(node: "Node", request: web.BaseRequest) -> web.Response:
    return _ok()


async def readyz(node: "Node", request: web.BaseRequest) -> web.Response:
    check_ready(node)
    return _ok()


def check_ready(node: "Node") -> None:
    """Raise ``ProblemError`` (503) while the node starts or stops."""
    if not node.is_ready:
        raise ProblemError(
            Problem.NOT_READY, "the node is starting or stopping: try another one", must_close=True
        )


def _ok() -> web.Response:
    return web.Response(body=b"ok\n", headers=dict((("Content-Type", "text/plain"), NOSNIFF)))
