"""The API listener: aiohttp's low-level server with deadlines and limits of our own.

aiohttp by default lets a half-sent request stay open for an hour. Here

* the headers of a request must be complete ``HEAD_TIMEOUT_S`` after the connection was made or the last
  answer was sent, so an idle connection is closed after as long;
* a body has the deadline of ``api/body.py``;
* an answer must be taken by the client within ``ANSWER_TIMEOUT_S``;
* connections, the bytes of headers and the length of a target are bounded, and bodies are never decompressed,
  so the memory that clients can claim is bounded too.
"""

import asyncio
import logging
import socket

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from kvgossip.api.problem import Problem, ProblemError, raw_problem
from kvgossip.api.router import Router
from kvgossip.model.context import CONTEXT_CHARS_MAX
from kvgossip.runtime.node import Node

HEAD_TIMEOUT_S = 12.0
ANSWER_TIMEOUT_S = 60.0
"""The largest value over the slowest link that we serve (``api/body.py``)."""
LINGER_S = 1.0
"""How long a body that was refused is still read and thrown away, so that the client sees the answer."""
SHUTDOWN_TIMEOUT_S = 4.0
"""What requests in flight have left when the listener closes."""
CONNECTIONS_MAX = 1_000
TARGET_BYTES_MAX = 8 << 10
"""A key of 1,024 bytes, all of them percent-encoded, takes 3 KiB."""
HEADER_BYTES_MAX = CONTEXT_CHARS_MAX + 1_024
"""One header; the longest is a ``Kv-Context``."""
HEAD_BYTES_MAX = 2 * HEADER_BYTES_MAX
"""All headers together."""
HEADERS_MAX = 100

_log = logging.getLogger("kvgossip.api")

_TOO_MANY_CONNECTIONS = raw_problem(
    Problem.TOO_MANY_CONNECTIONS, f"{CONNECTIONS_MAX} connections are open: close some, or ask another node"
)
_HEAD_TOO_LARGE = raw_problem(
    Problem.HEADERS_TOO_LARGE, f"the headers have more than {HEAD_BYTES_MAX} bytes together"
)


class ApiServer:
    """A listener that serves the API of one node until it is closed."""

    def __init__(self, listener: asyncio.Server, connections: "_Connections") -> None:
        self._listener = listener
        self._connections = connections

    @property
    def connection_count(self) -> int:
        return self._connections.count

    async def close(self) -> None:
        """Accept nobody any more, let requests in flight finish, then close all connections."""
        self._listener.close()
        self._connections.pre_shutdown()
        await self._connections.shutdown(SHUTDOWN_TIMEOUT_S)


async def start_api(node: Node, listening: socket.socket) -> ApiServer:
    """Serve ``node`` on a socket that listens already, and is closed with the server."""
    connections = _Connections(Router(node))
    listener = await asyncio.get_running_loop().create_server(connections, sock=listening)
    return ApiServer(listener, connections)


class _Connections(web.Server):
    """All connections of one listener."""

    def __init__(self, router: Router) -> None:
        super().__init__(router.handle)
        self.count = 0

    def __call__(self) -> "_Connection":
        return _Connection(self)


class _Connection(web.RequestHandler):
    """One connection, bounded in time and memory."""

    __slots__ = ("_answer_timer", "_connections", "_head_bytes", "_is_counted")

    def __init__(self, connections: _Connections) -> None:
        super().__init__(
            connections,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp means: no access log
            auto_decompress=False,
            keepalive_timeout=HEAD_TIMEOUT_S,
            lingering_time=LINGER_S,
            max_line_size=TARGET_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
            read_bufsize=64 << 10,
        )
        self._connections = connections
        self._head_bytes = 0
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.count += 1
        if self._connections.count > CONNECTIONS_MAX:
            self._end_with(_TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.count -= 1
        self._stop_answer_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        requests_before = self._request_count
        super().data_received(data)
        if self._request_count != requests_before:
            self._head_bytes = 0
        elif self._waiter is not None:  # no request is being answered, so this is part of a head
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._end_with(_HEAD_TOO_LARGE)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer_timer = self._loop.call_later(ANSWER_TIMEOUT_S, self._abort)

    def resume_writing(self) -> None:
        self._stop_answer_timer()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what never reached a handler, or to a handler that failed."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client has gone: nobody to answer, and nothing to log
        if status >= 500:
            _log.error("a request failed: %s %s", request.method, request.path, exc_info=exc)
            if request.writer.output_size > 0:
                raise ConnectionError("half an answer was sent")
        return _problem_of(status, exc).answer()

    def _end_with(self, answer: bytes) -> None:
        if self.transport is not None:
            self.transport.write(answer)
        self.force_close()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None


def _problem_of(status: int, exc: BaseException | None) -> ProblemError:
    if status >= 500:
        return ProblemError(Problem.INTERNAL_ERROR, "see the log of this node", must_close=True)
    text = str(exc)
    if isinstance(exc, LineTooLong) and exc.args[1] == TARGET_BYTES_MAX:
        return ProblemError(
            Problem.TARGET_TOO_LONG,
            f"the request target has more than {TARGET_BYTES_MAX} bytes",
            limit="target_bytes_max",
            limit_value=TARGET_BYTES_MAX,
            must_close=True,
        )
    if isinstance(exc, LineTooLong) or "Too many headers" in text:
        return ProblemError(
            Problem.HEADERS_TOO_LARGE,
            f"a header has more than {HEADER_BYTES_MAX} bytes, or there are more than {HEADERS_MAX}",
            limit="header_bytes_max",
            limit_value=HEADER_BYTES_MAX,
            must_close=True,
        )
    return ProblemError(Problem.BAD_REQUEST, "this is no HTTP/1.1 request", must_close=True)
