"""A connection of a client: aiohttp's, bounded in time and memory, with a short path for plain requests.

aiohttp by default lets a half-sent request stay open for an hour. Here

* the headers of a request must be complete ``HEAD_TIMEOUT_S`` after the connection was made or the last
  answer was sent, so an idle connection is closed after as long;
* a body has the deadline of ``api/body.py``;
* an answer must be taken by the client within ``ANSWER_TIMEOUT_S``;
* connections, the bytes of headers and the length of a target are bounded, and bodies are never decompressed,
  so the memory that clients can claim is bounded too.

A plain request that comes alone while aiohttp has nothing to do for its connection is answered by the short
path (``api/short_path.py``), and aiohttp never sees its bytes. While it waits for its answer, a PUT for the
disk and a GET for the end of the turn, its connection looks to aiohttp as if a handler were at work: the
future by which the handlers' task waits for a request is held back. So requests behind it queue up in
aiohttp, under its limits, no deadline for a head runs, and a shutdown waits. With the answer the future is
given back.

Invariant: aiohttp has nothing to do exactly if its task waits for a request, and the last bytes that it was
given ended a head. The second half is sufficient, as a body that is not read to its end keeps the task from
waiting; and it is not necessary: behind a body the long path stays, until a request without one has passed.
"""

import asyncio
import logging

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from kvgossip.api.problem import BUG_DETAIL, Problem, ProblemError, raw_problem
from kvgossip.api.router import Router
from kvgossip.api.short_path import ShortPath
from kvgossip.model.context import CONTEXT_CHARS_MAX
from kvgossip.runtime.node import Node

HEAD_TIMEOUT_S = 12.0
ANSWER_TIMEOUT_S = 60.0
"""The largest value over the slowest link that we serve (``api/body.py``)."""
LINGER_S = 1.0
"""How long a body that was refused is still read and thrown away, so that the client sees the answer."""
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


class Connections(web.Server):
    """All connections of one listener."""

    def __init__(self, node: Node) -> None:
        super().__init__(Router(node).handle)
        self.count = 0
        self.short_path = ShortPath(node)

    def __call__(self) -> "Connection":
        return Connection(self)


class Connection(web.RequestHandler):
    """One connection, bounded in time and memory."""

    __slots__ = (
        "_answer_timer",
        "_connections",
        "_ends_at_head",
        "_head_bytes",
        "_held_waiter",
        "_short_path",
    )

    def __init__(self, connections: Connections) -> None:
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
        self._short_path = connections.short_path
        self._head_bytes = 0
        self._ends_at_head = True
        """True if the last bytes that aiohttp was given ended a head; or if it was given none."""
        self._held_waiter: asyncio.Future[None] | None = None
        """While a request of the short path waits for its answer: what the handlers' task waits for."""
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.count += 1
        if self._connections.count > CONNECTIONS_MAX:
            self._end_with(_TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.count -= 1
        self._stop_answer_timer()
        if self._held_waiter is not None:
            self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if data and self._is_free:
            request = self._short_path.find_request(data)
            if request is not None:
                self._held_waiter, self._waiter = self._waiter, None
                if self._short_path.begin(request, self._answer_plain):
                    return
                self._end_wait()
        requests_before = self._request_count
        super().data_received(data)
        if data:
            self._ends_at_head = data.endswith(b"\r\n\r\n")
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

    # -- the short path

    @property
    def _is_free(self) -> bool:
        """True if aiohttp has nothing to do, and the client takes its answers."""
        waiter = self._waiter
        return (
            waiter is not None
            and not waiter.done()
            and self._ends_at_head
            and not self._paused
            and not self._upgraded
            and not self._reading_paused
        )

    def _answer_plain(self, answer: bytes, is_last: bool) -> None:
        waiter = self._held_waiter
        if waiter is None:
            return  # the client has gone
        self._end_wait()  # first: whatever fails, the connection is not held
        if is_last:
            self._end_with(answer)
            return
        self._send(answer)
        if self._force_close or self._close:
            waiter.cancel()
            if not self._force_close and self.transport is not None:
                self.transport.close()
        elif self._messages and not waiter.done():
            waiter.set_result(None)

    def _end_wait(self) -> None:
        """A plain request was answered, or nobody waits for its answer any more."""
        self._held_waiter, self._waiter = None, self._held_waiter

    def _send(self, answer: bytes) -> None:
        """As the end of a request on the long path: the next head has its time from now on."""
        if self.transport is not None:
            self.transport.write(answer)
        self._next_keepalive_close_time = close_s = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_s, self._process_keepalive)

    # -- private

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
        return ProblemError(Problem.INTERNAL_ERROR, BUG_DETAIL, must_close=True)
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
