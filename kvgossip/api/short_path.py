"""The short path: plain requests answered from the connection itself, without a task and a request object.

aiohttp spends some 50 µs on any request before a handler sees it, which is five times what a GET costs below
it. A plain request (``api/plain_request.py``) needs none of that. It is answered here by the very functions
that answer it on the long path, so the answers are equal byte for byte.

The GETs of one turn of the loop are answered when it is over, because rows that are read together cost half
of what they cost one by one. Writes are staged together likewise (``runtime/engine.py``).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

from kvgossip.api import kv
from kvgossip.api.answer import CONNECTION_CLOSE, Answer
from kvgossip.api.errors import problem_of
from kvgossip.api.plain_request import PlainHeads, PlainRequest
from kvgossip.api.problem import BUG_DETAIL, Problem, ProblemError
from kvgossip.api.router import KV_PREFIX, end_request
from kvgossip.api.written import answer_write
from kvgossip.errors import KvGossipError
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Kind, make_key
from kvgossip.model.value import Value
from kvgossip.node.effects import Result
from kvgossip.node.local_writes import NO_CONDITION
from kvgossip.runtime.node import Node

READ_TOGETHER_MAX = 32
"""More gain little, and the largest values take 64 MiB while these are answered, as rows and as bodies."""

Tell = Callable[[bytes, bool], None]
"""Is called once with the whole answer, and True if the connection ends with it."""
Found = tuple[Entry, str] | Exception | None
"""What became of a read: the entry and its version, nothing, or why it cannot be read."""
T = TypeVar("T")

_log = logging.getLogger("kvgossip.api")


class ShortPath:
    """Of one node, for all its connections."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._heads = PlainHeads()
        self._asked: list[tuple[PlainRequest, Tell]] = []
        """The GETs and HEADs of this turn of the loop."""

    def find_request(self, data: bytes) -> PlainRequest | None:
        """The plain request that ``data`` is; None if it is anything else, or the node is not ready."""
        return self._heads.find_request(data) if self._node.is_ready else None

    def begin(self, request: PlainRequest, tell: Tell) -> bool:
        """Begin to answer; ``tell`` is called later. False if the request is for the long path."""
        if request.method == "PUT":
            return self._begin_put(request, tell)
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._answer_asked)
        self._asked.append((request, tell))
        return True

    def _answer_asked(self) -> None:
        asked, self._asked = iter(self._asked), []
        while some := list(islice(asked, READ_TOGETHER_MAX)):
            self._answer_some(some)

    def _answer_some(self, asked: list[tuple[PlainRequest, Tell]]) -> None:
        rows: Sequence[Found]
        try:
            rows = self._node.replica.read_many([make_key(Kind.KV, request.name) for request, _ in asked])
        except Exception as error:
            if len(asked) > 1:  # no request fails by another
                for one in asked:
                    self._answer_some([one])
                return
            rows = [error]
        for (request, tell), found in zip(asked, rows, strict=True):
            self._end(request, tell, self._show, found)

    def _show(self, found: Found) -> Answer:
        if isinstance(found, KvGossipError):
            return _refusal(found)
        if isinstance(found, Exception):
            raise found
        return kv.show(self._node, found, NO_CONDITION)

    def _begin_put(self, request: PlainRequest, tell: Tell) -> bool:
        node = self._node
        key = make_key(Kind.KV, request.name)

        def show(result: Result | KvGossipError) -> Answer:
            try:
                return answer_write(node.secret, key, result, is_put=True)
            except (ProblemError, KvGossipError) as error:
                return _refusal(error)

        def finish(result: Result | KvGossipError) -> None:
            self._end(request, tell, show, result)

        try:
            node.begin_put(key, Value(request.body, request.content_type), finish)
        except Exception:
            return False
        return True

    def _end(self, request: PlainRequest, tell: Tell, show: Callable[[T], Answer], outcome: T) -> None:
        """Count a request and tell its answer. After a bug that is a 500, as on the long path."""
        is_head = request.method == "HEAD"
        try:
            answer = show(outcome)
            end_request(self._node, KV_PREFIX, request.method, answer)
            tell(answer.encode(is_head=is_head), False)
        except Exception:
            _log.exception("a request failed: %s %s%r", request.method, KV_PREFIX, request.name)
            self._node.measures.requests[KV_PREFIX, request.method, 500] += 1
            answer = ProblemError(Problem.INTERNAL_ERROR, BUG_DETAIL, must_close=True).answer()
            tell(answer.encode(is_head=is_head, connection=CONNECTION_CLOSE), True)


def _refusal(error: ProblemError | KvGossipError) -> Answer:
    return (error if isinstance(error, ProblemError) else problem_of(error)).answer()
