"""What goes back to a client: a whole answer, written to the connection in one piece.

aiohttp's own ``Response`` spends more time on an answer than all the rest of a GET does, so this class
replaces its two steps, ``prepare`` and ``write_eof``. Header values come from this package alone
(hexadecimal, base64, stamps, and content types that were checked when they were stored), so no line break can
be among them.
"""

import json
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from time import time

from aiohttp import web

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

_STARTS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nX-Content-Type-Options: nosniff\r\n"
    for status in HTTPStatus
}
_WITHOUT_LENGTH = (204, 304)
CONNECTION_CLOSE = "Connection: close\r\n"


class Answer(web.StreamResponse):
    """Status, headers and the whole body. ``must_close``: the connection ends with it.

    ``headers`` may be the lines of a head: to make those at once is what the answers do that are given most.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str] | str, body: bytes = b"", *, must_close: bool = False
    ) -> None:
        self._status = status
        self._headers_sent = headers
        self._whole_body = body
        self._must_close = must_close

    def add_header(self, name: str, value: str) -> None:
        self._headers_sent = f"{self._lines()}{name}: {value}\r\n"

    async def prepare(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self._keep_alive = request.keep_alive and not self._must_close
        connection = ""
        if not self._keep_alive:
            connection = CONNECTION_CLOSE
        elif request.version.minor == 0:
            connection = "Connection: keep-alive\r\n"
        transport.write(self.encode(is_head=request.method == "HEAD", connection=connection))
        self._request = request

    async def write_eof(self, data: bytes = b"") -> None:
        """Wait while the client is slow to take what was written."""
        await self._request.writer.drain()

    def encode(self, *, is_head: bool, connection: str = "") -> bytes:
        """The whole answer. ``connection``: the line of that field, if there is to be one."""
        status, body = self._status, self._whole_body
        length = "" if status in _WITHOUT_LENGTH else f"Content-Length: {len(body)}\r\n"
        head = f"{_STARTS[status]}{self._lines()}{length}{connection}Date: {_date()}\r\n\r\n".encode()
        return head if is_head else head + body

    def _lines(self) -> str:
        headers = self._headers_sent
        if isinstance(headers, str):
            return headers
        return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def json_answer(document: Json, *, status: int = 200) -> Answer:
    return Answer(
        status, {"Content-Type": "application/json"}, json.dumps(document, indent=2).encode() + b"\n"
    )


class _Date:
    """The text of the current second, made once."""

    second = 0
    text = ""


def _date() -> str:
    second = int(time())
    if second != _Date.second:
        _Date.second, _Date.text = second, formatdate(second, usegmt=True)
    return _Date.text
