"""``POST /v1/batch``: many operations over one request, a JSON line each, answered by a line each, in order.

A batch is no transaction: every line stands for itself, and a bad one is answered as such. Lines take effect
in order: a get sees the writes before it and none behind it. Both directions stream: lines are performed as
they come, many writes are under way at once, and all is bounded in count and bytes, so a client that does not
read its answers is not read from. Nothing grows with the length of a batch.
"""

import asyncio
import json
import logging
from dataclasses import dataclass

from aiohttp import web

from kvgossip.api.body import answer_expectation, refuse_encoding
from kvgossip.api.errors import problem_of
from kvgossip.api.health import check_ready
from kvgossip.api.lines import read_lines
from kvgossip.api.operation import Fields, Operation, problem_fields, read_fields, read_operation, show, write
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.stream import Stream
from kvgossip.config import KEY_BYTES_MAX
from kvgossip.errors import KvGossipError
from kvgossip.model.ids import Key
from kvgossip.runtime.node import Node

LINE_BYTES_MAX = 2 << 20
"""A value of 1 MiB in base64 takes 1.4 MB."""
LINES_IN_FLIGHT_MAX = 256
BYTES_IN_FLIGHT_MAX = 4 << 20
"""Of the lines and answers of one batch, before one more is begun."""

_log = logging.getLogger("kvgossip.api")


async def post(node: Node, request: web.BaseRequest) -> web.StreamResponse:
    check_ready(node)
    refuse_encoding(request)
    if not request.content.is_eof():
        answer_expectation(request)
    answer = Stream(node, 200, {"Content-Type": "application/x-ndjson"})
    await answer.prepare(request)
    batch = _Batch(node)
    reader = asyncio.create_task(batch.read(request))
    try:
        while (line := await batch.next_answer()) is not None:
            await answer.write(line)
        await reader
    except ProblemError as error:  # the lines cannot be told apart any more
        answer.force_close()
        await answer.write(_encode(problem_fields(error)))
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    await answer.write_eof()
    return answer


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that is performed, until its answer was taken."""

    answer: asyncio.Task[bytes]
    size: int
    key: Key | None
    """Of a write."""


class _Batch:
    """The lines in flight."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lines: asyncio.Queue[_Line | None] = asyncio.Queue()
        self._count = 0
        self._bytes = 0
        self._has_room = asyncio.Event()
        self._writes: dict[Key, asyncio.Task[bytes]] = {}
        """The last write in flight of each key."""

    async def read(self, request: web.BaseRequest) -> None:
        """Begin line after line. Raises ``ProblemError`` if the body is garbled or too slow."""
        number = 0
        try:
            async for line in read_lines(request, bytes_max=LINE_BYTES_MAX):
                number += 1
                await self._room()
                await self._begin(line, number)
        finally:
            self._lines.put_nowait(None)

    async def next_answer(self) -> bytes | None:
        """In the order of the lines; None at the end."""
        line = await self._lines.get()
        if line is None:
            return None
        answer = await line.answer
        if line.key is not None and self._writes.get(line.key) is line.answer:
            del self._writes[line.key]
        self._count -= 1
        self._bytes -= line.size
        self._has_room.set()
        return answer

    async def _room(self) -> None:
        while self._count >= LINES_IN_FLIGHT_MAX or self._bytes >= BYTES_IN_FLIGHT_MAX:
            self._has_room.clear()
            await self._has_room.wait()

    async def _begin(self, raw: bytes | None, number: int) -> None:
        """A write is left under way; anything else is done at once, behind the writes of its key."""
        base: Fields = {"key": None, "line": number}
        operation: Operation | ProblemError
        try:
            operation = _understand(raw, base)
        except ProblemError as error:
            operation = error
        key = operation.key if isinstance(operation, Operation) else None
        is_write = isinstance(operation, Operation) and operation.op != "get"
        if not is_write and key in self._writes:
            await asyncio.wait((self._writes[key],))
        task = asyncio.create_task(self._answer(operation, base))
        if is_write and key is not None:
            self._writes[key] = task
            self._add(_Line(task, len(raw or b""), key))
        else:
            await asyncio.wait((task,))
            self._add(_Line(task, len(task.result()), None))

    def _add(self, line: _Line) -> None:
        self._count += 1
        self._bytes += line.size
        self._lines.put_nowait(line)

    async def _answer(self, operation: Operation | ProblemError, base: Fields) -> bytes:
        """Never raises: what goes wrong with one line stops no other."""
        try:
            if isinstance(operation, ProblemError):
                raise operation
            if operation.op == "get":
                return _encode(base | show(self._node, operation.key))
            return _encode(base | await write(self._node, operation))
        except ProblemError as error:
            return _encode(base | problem_fields(error))
        except KvGossipError as error:
            return _encode(base | problem_fields(problem_of(error)))
        except Exception:
            _log.exception("a line of a batch failed")
            return _encode(
                base | problem_fields(ProblemError(Problem.INTERNAL_ERROR, "see the log of this node"))
            )


def _understand(raw: bytes | None, base: Fields) -> Operation:
    """Raises ``ProblemError``. ``base`` gets the key as the client wrote it, once that is known."""
    if raw is None:
        raise ProblemError(
            Problem.LINE_TOO_LONG,
            f"the line has more than {LINE_BYTES_MAX} bytes",
            limit="line_bytes_max",
            limit_value=LINE_BYTES_MAX,
        )
    fields = read_fields(raw)
    key = fields.get("key")
    if isinstance(key, str) and len(key) <= KEY_BYTES_MAX:
        base["key"] = key
    try:
        return read_operation(fields)
    except KvGossipError as error:
        raise problem_of(error) from None


def _encode(fields: Fields) -> bytes:
    return json.dumps(fields).encode() + b"\n"
