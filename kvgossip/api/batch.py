"""``POST /v1/batch``: many operations over one request, a JSON line each, answered by a line each, in order.

A batch is no transaction: every line stands for itself, and a bad one is answered as such. Lines take effect
in order: a get sees the writes before it and none behind it. Both directions stream: lines are performed as
they come, many writes are under way at once, and all is bounded in count and bytes, so a client that does not
read its answers is not read from. Nothing grows with the length of a batch.

Neighbours that are all gets, or all writes, make a *run* and are begun together, because rows that are read
together cost half, and one call for many writes a fraction of one for each.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from aiohttp import web
from msgspec import Struct

from kvgossip.api.body import answer_expectation, refuse_encoding
from kvgossip.api.errors import problem_of
from kvgossip.api.health import check_ready
from kvgossip.api.line_answer import (
    LineAnswer,
    encode_answer,
    show,
    show_problem,
    show_written,
)
from kvgossip.api.lines import read_lines
from kvgossip.api.operation import UNREADABLE, Get, explain, read_operation, write_of
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.stream import Stream
from kvgossip.config import KEY_BYTES_MAX
from kvgossip.errors import KvGossipError
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.node.effects import Outcomes, Result
from kvgossip.node.local_writes import Write
from kvgossip.runtime.node import Node

LINE_BYTES_MAX = 2 << 20
"""A value of 1 MiB in base64 takes 1.4 MB."""
LINES_IN_FLIGHT_MAX = 256
BYTES_IN_FLIGHT_MAX = 4 << 20
"""Of the lines and answers of one batch, before one more is begun."""
RUN_LINES_MAX = 64
"""Then other work has its turn: it takes about a millisecond."""
ROWS_READ_MAX = 32
"""More at once gain nothing, and 32 values may be 32 MiB that nobody has room for."""

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
        await answer.write(encode_answer(show_problem(error)))
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    await answer.write_eof()
    return answer


class _Line(Struct, gc=False):
    """A line that was understood, until its answer was taken. ``size`` counts against the limit meanwhile.

    ``name`` is the key as the client wrote it; ``write`` is None for a get. A struct, because one
    is made a line, in a third of the time of a dataclass.
    """

    name: str | None
    number: int
    size: int
    key: Key
    write: Write | None
    answer: bytes = b""


class _Batch:
    """The lines in flight, in order. A line whose answer is there waits for those before it alone."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lines: deque[_Line] = deque()
        self._bytes = 0
        self._run: list[_Line] = []
        """The last lines, of one kind, that were not begun yet."""
        self._rows_read = 1
        """How many rows are read at once: few while values are large."""
        self._has_ended = False
        self._has_room = asyncio.Event()
        self._has_news = asyncio.Event()
        """An answer has come to the first line, or the end."""
        self._writing: dict[Key, int] = {}
        """How many writes of each key are in flight."""
        self._has_written = asyncio.Event()

    async def read(self, request: web.BaseRequest) -> None:
        """Begin line after line. Raises ``ProblemError`` if the body is garbled or too slow."""
        number = 0
        try:
            async for lines in read_lines(request, bytes_max=LINE_BYTES_MAX):
                for raw in lines:
                    number += 1
                    if self._is_full:
                        await self._make_room()
                    line = _understand(self._node, raw, number)
                    if self._is_other_run(line):
                        await self._begin_run()
                    self._add(line)
                    if len(self._run) == RUN_LINES_MAX:
                        await self._begin_run()
                        await asyncio.sleep(0)
                await self._begin_run()
        finally:
            self._has_ended = True
            self._has_news.set()

    async def next_answers(self) -> bytes | None:
        """All that can be told by now, in the order of the lines; None at the end."""
        lines = self._lines
        while not lines or not lines[0].answer:
            if self._has_ended and not lines:
                return None
            self._has_news.clear()
            await self._has_news.wait()
        answers = []
        while lines and lines[0].answer:
            line = lines.popleft()
            answers.append(line.answer)
            self._bytes -= line.size
        self._has_room.set()
        return b"".join(answers)

    @property
    def _is_full(self) -> bool:
        return len(self._lines) >= LINES_IN_FLIGHT_MAX or self._bytes >= BYTES_IN_FLIGHT_MAX

    async def _make_room(self) -> None:
        await self._begin_run()
        while self._is_full:
            self._has_room.clear()
            await self._has_room.wait()

    def _is_other_run(self, line: _Line) -> bool:
        run = self._run
        return bool(run) and not line.answer and (line.write is None) is not (run[0].write is None)

    def _add(self, line: _Line) -> None:
        self._lines.append(line)
        self._bytes += line.size
        if line.answer:
            self._look_for_news()
        else:
            self._run.append(line)

    async def _begin_run(self) -> None:
        run, self._run = self._run, []
        if run and run[0].write is None:
            await self._read_run(run)
        elif run:
            self._write_run(run)

    # -- gets

    async def _read_run(self, run: list[_Line]) -> None:
        """Each get is behind the writes of its key that came before it."""
        start = 0
        while start < len(run):
            await self._until_may_read(run[start].key)
            lines = run[start : start + self._rows_read]
            if self._writing:
                lines = list(takewhile(lambda line: line.key not in self._writing, lines))
            start += self._read(lines)

    async def _until_may_read(self, key: Key) -> None:
        while True:
            if self._bytes >= BYTES_IN_FLIGHT_MAX:
                self._has_room.clear()
                await self._has_room.wait()
            elif key in self._writing:
                self._has_written.clear()
                await self._has_written.wait()
            else:
                return

    def _read(self, lines: list[_Line]) -> int:
        """Answer gets at once, as far as there is room. Returns how many."""
        node = self._node
        rows = _read_many(node, [line.key for line in lines])
        for count, (line, row) in enumerate(zip(lines, rows, strict=True), start=1):
            try:
                answer = show(node, line.key, row)
            except Exception as error:
                answer = _show_error(error)
            self._answer(line, answer)
            if self._bytes >= BYTES_IN_FLIGHT_MAX:
                self._rows_read = count
                break
        else:
            self._rows_read = min(2 * self._rows_read, ROWS_READ_MAX)
        self._look_for_news()
        return count

    # -- writes

    def _write_run(self, run: list[_Line]) -> None:
        """Leave writes under way."""
        writing = self._writing
        for line in run:
            writing[line.key] = writing.get(line.key, 0) + 1

        def finish(result: Result | KvGossipError) -> None:
            self._end_writes(run, result.of_each if isinstance(result, Outcomes) else [result] * len(run))

        try:
            self._node.begin_writes([line.write for line in run if line.write is not None], finish)
        except Exception as error:
            self._end_writes(run, [error] * len(run))

    def _end_writes(self, run: list[_Line], outcomes: Sequence[Result | Exception]) -> None:
        writing = self._writing
        for line, outcome in zip(run, outcomes, strict=True):
            count = writing.pop(line.key) - 1
            if count:
                writing[line.key] = count
            assert line.write is not None
            try:
                answer = show_written(self._node, line.write, outcome)
            except Exception as error:
                answer = _show_error(error)
            self._answer(line, answer)
        self._has_written.set()
        self._look_for_news()

    # -- answers

    def _answer(self, line: _Line, answer: LineAnswer) -> None:
        answer.name, answer.line = line.name, line.number
        line.answer = encoded = encode_answer(answer)
        self._bytes += len(encoded) - line.size
        line.size = len(encoded)

    def _look_for_news(self) -> None:
        if self._lines[0].answer:
            self._has_news.set()


def _understand(node: Node, raw: bytes | None, number: int) -> _Line:
    """A line to be begun, or one that is answered already, because it is bad."""
    if raw is None:
        too_long = ProblemError(
            Problem.LINE_TOO_LONG,
            f"the line has more than {LINE_BYTES_MAX} bytes",
            limit="line_bytes_max",
            limit_value=LINE_BYTES_MAX,
        )
        return _bad_line(None, number, too_long)
    try:
        operation = read_operation(raw)
    except UNREADABLE:
        name, problem = explain(raw)
        return _bad_line(name, number, problem)
    name = operation.name
    try:
        key = operation.key()
        if isinstance(operation, Get):
            return _Line(name, number, 0, key, None)
        return _Line(name, number, len(raw), key, write_of(node, operation, key))
    except Exception as error:
        return _bad_line(name, number, error)


def _bad_line(name: str | None, number: int, error: Exception) -> _Line:
    answer = _show_error(error)
    answer.name, answer.line = name if name is not None and len(name) <= KEY_BYTES_MAX else None, number
    encoded = encode_answer(answer)
    return _Line(name, number, len(encoded), Key(b""), None, encoded)


def _read_many(node: Node, keys: list[Key]) -> Sequence[tuple[Entry, str] | Exception | None]:
    try:
        return node.replica.read_many(keys)
    except Exception as error:
        return [error] * len(keys)


def _show_error(error: Exception) -> LineAnswer:
    """What goes wrong with one line stops no other."""
    if isinstance(error, ProblemError):
        return show_problem(error)
    if isinstance(error, KvGossipError):
        return show_problem(problem_of(error))
    _log.error("a line of a batch failed", exc_info=error)
    return show_problem(ProblemError(Problem.INTERNAL_ERROR, "see the log of this node"))
