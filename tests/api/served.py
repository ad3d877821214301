"""A node that serves its API in a thread, and two clients for it: one well-behaved, one raw socket."""

import asyncio
import json
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from io import StringIO
from typing import TypeVar, cast

from kvgossip.api.server import ApiServer, start_api
from kvgossip.config import Tuning
from kvgossip.runtime.endpoint import Endpoint
from kvgossip.runtime.log import Log
from kvgossip.runtime.node import Node
from kvgossip.runtime.settings import Settings
from kvgossip.runtime.websocket import bind

TIMEOUT_S = 10.0

T = TypeVar("T")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        return cast(dict[str, object], json.loads(self.body))

    @property
    def problem(self) -> str:
        """The name of the problem that the body holds."""
        assert self.headers["content-type"] == "application/problem+json"
        document = self.json()
        assert document["status"] == self.status
        assert set(document) >= {"type", "title", "detail"}
        return str(document["type"]).removeprefix("/problems/")


@dataclass
class Served:
    node: Node
    port: int
    api: ApiServer

    def call(
        self,
        method: str,
        target: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send the target exactly as given; head and body in one piece, as most clients do."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.connect()
            is_whole = body is None or isinstance(body, bytes)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, is_whole)
            connection.request(method, target, body=body, headers=headers or {})
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, False)
            answer = connection.getresponse()
            lowered = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, lowered, answer.read())
        finally:
            connection.close()

    def put(self, target: str, body: bytes, **headers: str) -> Answer:
        return self.call(
            "PUT", target, body, {name.replace("_", "-"): text for name, text in headers.items()}
        )

    def get(self, target: str) -> Answer:
        return self.call("GET", target)

    def send_raw(self, data: bytes, *, timeout_s: float = TIMEOUT_S) -> bytes:
        """All that comes back until the node closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as raw:
            raw.sendall(data)
            return read_to_end(raw)


def read_to_end(raw: socket.socket) -> bytes:
    parts = []
    try:
        while part := raw.recv(65_536):
            parts.append(part)
    except ConnectionResetError:  # closed while we still had things to say
        pass
    return b"".join(parts)


@contextmanager
def serving(node: Node) -> Iterator[Served]:
    """Serve ``node`` in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = bind(Endpoint("127.0.0.1", 0))
    port = listening.getsockname()[1]
    try:
        api = _run(loop, _start(node, listening))
        try:
            yield Served(node, port, api)
        finally:
            _run(loop, _stop(node, api))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(TIMEOUT_S)
        loop.close()


def memory_node(
    name: str = "n1",
    *,
    allow_faults: bool = False,
    seeds: tuple[str, ...] = (),
    zone: str = "",
    tag: tuple[str, ...] = (),
    tuning: Tuning | None = None,
) -> Node:
    """A node that is not started yet, listens anywhere, and keeps nothing."""
    settings = Settings(
        node=name,
        listen="127.0.0.1:0",
        peer_listen="127.0.0.1:0",
        allow_faults=allow_faults,
        seeds=seeds,
        zone=zone,
        tag=tag,
        tuning=tuning or Tuning(),
    )
    return Node(settings, log=Log(node=name, cluster="kvgossip", stream=StringIO()))


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[object, object, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, loop).result(TIMEOUT_S)


async def _start(node: Node, listening: socket.socket) -> ApiServer:
    await node.start()
    return await start_api(node, listening)


async def _stop(node: Node, api: ApiServer) -> None:
    await asyncio.gather(node.stop(), api.close())
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
