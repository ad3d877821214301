"""aiohttp's WebSockets as the links use them: one shape for both sides, and an ``abort`` that does not wait.

Compression is off, frames are bounded, pings are left to the link. The listener has no other purpose than
peers: a connection that has not become a link in ``OPENING_TIMEOUT_S`` is aborted, whatever it did or did not
send, and of connections that are still opening only the newest ``OPENINGS_MAX`` are kept.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import (
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    TCPConnector,
    ThreadedResolver,
    WSMessage,
    web,
)
from aiohttp.web_protocol import RequestHandler

from kvgossip.config import FRAME_BYTES_MAX
from kvgossip.model.ids import Address
from kvgossip.runtime import tcp
from kvgossip.runtime.endpoint import Endpoint

CONNECT_TIMEOUT_S = 3.0
"""Linux asks again each second, before 6.5 after one and three. Who comes a second late himself must not take
that for silence."""
OPENING_TIMEOUT_S = 10.0
"""From the first byte of a connection to its link, on either side. On a starved machine each of the six steps
takes half a second, and a try that is given up short of its end is made again from the start."""
CLOSE_TIMEOUT_S = 1.0
OPENINGS_MAX = 128
"""Strangers' connections held at a time; each may make us hold one frame."""
PEER_PATH = "/v1/peer"
_BACKLOG = 1_024
_MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + 1  # aiohttp refuses what is not below its limit

_silent = logging.getLogger("kvgossip.peer_listener")
_silent.disabled = True  # strangers' malformed requests are counted, not written to the log


def bind(endpoint: Endpoint) -> socket.socket:
    """A listening socket. Raises ``OSError``: the address is in use, or not of this machine.

    A name may stand for several machines, as the name of a service does: what is bound is the first of its
    addresses that is of this one.
    """
    if not endpoint.host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", endpoint.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
        )
    places = socket.getaddrinfo(endpoint.host or "0.0.0.0", endpoint.port, type=socket.SOCK_STREAM)
    for family, *_, place in places:
        try:
            return socket.create_server((str(place[0]), endpoint.port), family=family, backlog=_BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    raise OSError(errno.EADDRNOTAVAIL, f"no address of this machine is behind {endpoint.host}")


class PeerSocket(Protocol):
    """A WebSocket of either side. ``receive`` is for one task at a time, and sending for one other."""

    async def receive(self) -> WSMessage: ...

    async def send_bytes(self, data: bytes) -> None:
        """Returns once the transport takes more."""
        ...

    async def ping(self, message: bytes = b"") -> None: ...

    async def pong(self, message: bytes = b"") -> None: ...

    async def close(self) -> bool: ...

    def abort(self) -> None:
        """Forget the connection at once, with what it still had to send."""
        ...

    @property
    def tcp_socket(self) -> tcp.Socket | None:
        """None once the connection is gone."""
        ...


class DialledSocket(ClientWebSocketResponse):
    def abort(self) -> None:
        if self._conn is not None and self._conn.transport is not None:
            self._conn.transport.abort()

    @property
    def tcp_socket(self) -> tcp.Socket | None:
        sock: tcp.Socket | None = self.get_extra_info("socket")
        return sock


class AcceptedSocket(web.WebSocketResponse):
    def abort(self) -> None:
        if self._req is not None and self._req.transport is not None:
            self._req.transport.abort()

    @property
    def tcp_socket(self) -> tcp.Socket | None:
        sock: tcp.Socket | None = self.get_extra_info("socket")
        return sock


class PeerDialler:
    """Opens WebSockets to peer listeners. Names are resolved anew each time."""

    def __init__(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0, use_dns_cache=False, resolver=ThreadedResolver()),
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            ws_response_class=DialledSocket,
        )

    async def connect(self, address: Address) -> PeerSocket:
        """Raises ``EndpointError``, ``aiohttp.ClientError``, ``OSError`` or ``TimeoutError``."""
        endpoint = Endpoint.parse(address)
        sock = await self._session.ws_connect(
            f"http://{endpoint}{PEER_PATH}",
            timeout=ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
            autoping=False,
            compress=0,
            max_msg_size=_MESSAGE_BYTES_MAX,
        )
        assert isinstance(sock, DialledSocket)
        tcp.tune(sock.tcp_socket)
        return sock

    async def close(self) -> None:
        await self._session.close()


class PeerListener:
    """Accepts WebSockets from peers and hands each to ``accept``, which owns it until it returns.

    ``accept`` also gets the address it came from, and a function to call once it has become a link.
    """

    def __init__(self, accept: Callable[[PeerSocket, str, Callable[[], None]], Awaitable[None]]) -> None:
        self._accept = accept
        self._server = web.Server(self._handle, access_log=None, logger=_silent, tcp_keepalive=False)
        self._listening: asyncio.Server | None = None
        self._opening: dict[RequestHandler, asyncio.TimerHandle] = {}
        self.openings_failed = 0
        """Connections that never became a link: too slow, no WebSocket, refused."""

    async def start(self, sock: socket.socket) -> None:
        """Take connections from ``sock``, which is bound and listening."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._new_connection, sock=sock, backlog=_BACKLOG)

    async def stop(self) -> None:
        """Take no more connections, and end those that are left."""
        if self._listening is not None:
            self._listening.close()
        await self._server.shutdown(timeout=CLOSE_TIMEOUT_S)

    def _new_connection(self) -> RequestHandler:
        connection = self._server()
        loop = asyncio.get_running_loop()
        self._opening[connection] = loop.call_later(OPENING_TIMEOUT_S, self._give_up, connection)
        if len(self._opening) > OPENINGS_MAX:
            self._give_up(next(iter(self._opening)))
        return connection

    def _give_up(self, connection: RequestHandler) -> None:
        if connection in self._opening:
            self._forget(connection)
            self.openings_failed += 1
            # Not at once: of connections that are accepted in one turn, the first have no transport yet.
            asyncio.get_running_loop().call_soon(_abort, connection)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        sock = AcceptedSocket(
            timeout=CLOSE_TIMEOUT_S, autoping=False, compress=False, max_msg_size=_MESSAGE_BYTES_MAX
        )
        if request.path != PEER_PATH or not sock.can_prepare(request):
            return web.Response(status=404, text="Only kvgossip nodes connect here. Clients use --listen.\n")
        await sock.prepare(request)
        tcp.tune(sock.tcp_socket)
        await self._accept(sock, request.remote or "unknown", lambda: self._forget(request.protocol))
        return sock

    def _forget(self, connection: RequestHandler) -> None:
        """It is no longer opening."""
        timer = self._opening.pop(connection, None)
        if timer is not None:
            timer.cancel()


def _abort(connection: RequestHandler) -> None:
    if connection.transport is not None:
        connection.transport.abort()
