"""The short path: plain requests answered from the connection itself, without a task and a request object.

aiohttp spends some 50 µs on any request before a handler sees it, which is five times what a GET costs below
it. A plain request (``api/plain_request.py``) needs none of that. It is answered here by the very functions
that answer it on the long path, so the answers are equal byte for byte. What goes wrong is left to the long
path, which meets it again and says so: a node that starts or stops, a row that cannot be read, a bug. The one
thing that cannot be done again is a write that was begun, so what becomes of it is answered here.
"""

from collections.abc import Callable

from kvgossip.api import kv
from kvgossip.api.errors import problem_of
from kvgossip.api.plain_request import PlainHeads, PlainRequest
from kvgossip.api.problem import ProblemError
from kvgossip.api.router import KV_PREFIX, end_request
from kvgossip.api.written import answer_write
from kvgossip.errors import KvGossipError
from kvgossip.model.ids import Kind, make_key
from kvgossip.model.value import Value
from kvgossip.node.effects import Result
from kvgossip.node.local_writes import NO_CONDITION
from kvgossip.runtime.node import Node


class ShortPath:
    """Of one node, for all its connections."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._heads = PlainHeads()

    def find_requests(self, data: bytes) -> list[PlainRequest]:
        """The plain requests that ``data`` is; none if it is anything else, or the node is not ready."""
        if not self._node.is_ready:
            return []
        request = self._heads.find_request(data, 0)
        found = []
        while request is not None:
            found.append(request)
            if request.end == len(data):
                return found
            request = self._heads.find_request(data, request.end)
        return []

    def get(self, request: PlainRequest) -> bytes | None:
        """The answer to a GET or HEAD; None if it is for the long path."""
        node = self._node
        try:
            answer = kv.show(node, make_key(Kind.KV, request.name), NO_CONDITION)
        except Exception:
            return None
        end_request(node, KV_PREFIX, request.method, answer)
        return answer.encode(is_head=request.method == "HEAD")

    def put(self, request: PlainRequest, tell: Callable[[bytes], None]) -> bool:
        """Begin a PUT; ``tell`` is called once with the answer, later. False if it is for the long path."""
        node = self._node
        key = make_key(Kind.KV, request.name)

        def finish(result: Result | KvGossipError) -> None:
            try:
                answer = answer_write(node.secret, key, result, is_put=True)
            except ProblemError as error:
                answer = error.answer()
            except KvGossipError as error:
                answer = problem_of(error).answer()
            end_request(node, KV_PREFIX, "PUT", answer)
            tell(answer.encode(is_head=False))

        try:
            node.begin_put(key, Value(request.body, request.content_type), finish)
        except Exception:
            return False
        return True
