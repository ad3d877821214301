"""``POST /v1/batch``: many operations over one request, a JSON line each, answered by a line each, in order.

A batch is no transaction: every line stands for itself, and a bad one is answered as such. Lines take effect
in order: a get sees the writes before it and none behind it. Both directions stream: lines are performed as
they come, many writes are under way at once, and all is bounded in count and bytes, so a client that does not
read its answers is not read from. Nothing grows with the length of a batch.
"""

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from kvgossip.api.body import answer_expectation, refuse_encoding
from kvgossip.api.errors import problem_of
from kvgossip.api.health import check_ready
from kvgossip.api.lines import read_lines
from kvgossip.api.operation import (
    Fields,
    Operation,
    begin_write,
    problem_fields,
    read_fields,
    read_operation,
    show,
    show_written,
)
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.stream import Stream
from kvgossip.config import KEY_BYTES_MAX
from kvgossip.errors import KvGossipError
from kvgossip.model.ids import Key
from kvgossip.node.effects import Result
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
        while (lines := await batch.next_answers()) is not None:
            await answer.write(lines)
        await reader
    except ProblemError as error:  # the lines cannot be told apart any more
        answer.force_close()
        await answer.write(_encode(problem_fields(error)))
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    await answer.write_eof()
    return answer


@dataclass(slots=True)
class _Line:
    """A line that was begun, until its answer was taken. ``size`` counts against the limit meanwhile."""

    base: Fields
    size: int
    answer: bytes | None = None


class _Batch:
    """The lines in flight, in order. A line whose answer is there waits for those before it alone."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lines: deque[_Line] = deque()
        self._bytes = 0
        self._has_ended = False
        self._has_room = asyncio.Event()
        self._has_news = asyncio.Event()
        """An answer has come to the first line, or the end."""
        self._writes: Counter[Key] = Counter()
        """How many writes of each key are in flight."""
        self._has_written = asyncio.Event()

    async def read(self, request: web.BaseRequest) -> None:
        """Begin line after line. Raises ``ProblemError`` if the body is garbled or too slow."""
        number = 0
        try:
            async for raw in read_lines(request, bytes_max=LINE_BYTES_MAX):
                number += 1
                while len(self._lines) >= LINES_IN_FLIGHT_MAX or self._bytes >= BYTES_IN_FLIGHT_MAX:
                    self._has_room.clear()
                    await self._has_room.wait()
                await self._begin(raw, number)
        finally:
            self._has_ended = True
            self._has_news.set()

    async def next_answers(self) -> bytes | None:
        """All that can be told by now, in the order of the lines; None at the end."""
        lines = self._lines
        while not lines or lines[0].answer is None:
            if self._has_ended and not lines:
                return None
            self._has_news.clear()
            await self._has_news.wait()
        answers = []
        while lines and (answer := lines[0].answer) is not None:
            answers.append(answer)
            self._bytes -= lines.popleft().size
        self._has_room.set()
        return b"".join(answers)

    async def _begin(self, raw: bytes | None, number: int) -> None:
        """A write is left under way; anything else is answered at once, behind the writes of its key."""
        line = _Line({"key": None, "line": number}, len(raw or b""))
        try:
            operation = _understand(raw, line.base)
        except ProblemError as error:
            self._add(line)
            self._tell(line, problem_fields(error))
            return
        if operation.op == "get":
            while operation.key in self._writes:
                self._has_written.clear()
                await self._has_written.wait()
            line.answer = _encode(line.base | _checked(lambda: show(self._node, operation.key)))
            line.size = len(line.answer)
            self._add(line)
            self._note(line)
        else:
            self._add(line)
            self._begin_write(line, operation)

    def _begin_write(self, line: _Line, operation: Operation) -> None:
        key, writes = operation.key, self._writes
        writes[key] += 1

        def end(fields: Fields) -> None:
            writes[key] -= 1
            if not writes[key]:
                del writes[key]
            self._has_written.set()
            self._tell(line, fields)

        def finish(result: Result) -> None:
            end(_checked(lambda: show_written(self._node, operation, result)))

        def begin() -> Fields:
            begin_write(self._node, operation, finish)
            return {}

        problem = _checked(begin)
        if problem:
            end(problem)

    def _add(self, line: _Line) -> None:
        self._bytes += line.size
        self._lines.append(line)

    def _tell(self, line: _Line, fields: Fields) -> None:
        line.answer = _encode(line.base | fields)
        self._note(line)

    def _note(self, line: _Line) -> None:
        if self._lines[0] is line:
            self._has_news.set()


def _checked(act: Callable[[], Fields]) -> Fields:
    """What ``act`` returns, or the problem that it raises: what goes wrong with one line stops no other."""
    try:
        return act()
    except ProblemError as error:
        return problem_fields(error)
    except KvGossipError as error:
        return problem_fields(problem_of(error))
    except Exception:
        _log.exception("a line of a batch failed")
        return problem_fields(ProblemError(Problem.INTERNAL_ERROR, "see the log of this node"))


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
