"""The API listener: from its start to the orderly end of all its connections."""

import asyncio
import socket

from kvgossip.api.connection import Connections
from kvgossip.runtime.node import Node

SHUTDOWN_TIMEOUT_S = 4.0
"""What requests in flight have left when the listener closes."""


class ApiServer:
    """A listener that serves the API of one node until it is closed."""

    def __init__(self, listener: asyncio.Server, connections: Connections) -> None:
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
    connections = Connections(node)
    listener = await asyncio.get_running_loop().create_server(connections, sock=listening)
    return ApiServer(listener, connections)
