"""Errors as problem documents (RFC 9457): one table of all that can go wrong, each with its status.

The ``type`` of a problem is ``/problems/`` and its name, the same for ever and on every node; clients
compare it as a string. A limit that was exceeded is told in ``limit`` and ``limit_value``. A request that was
answered with a problem stored nothing; the one exception is ``outcome-unknown``.
"""

import json
from collections.abc import Mapping
from enum import Enum

from kvgossip.api.answer import Answer, Json


class Problem(Enum):
    """Status and title of each problem; the name is its ``type``."""

    BAD_REQUEST = (400, "The request is malformed")
    BAD_TARGET = (400, "The request target is malformed")
    BAD_KEY = (400, "The key is not allowed")
    BAD_CONTEXT = (400, "The causal context is not valid for this key")
    BAD_FAULTS = (400, "The fault rules are malformed")
    BAD_TAGS = (400, "The tags are malformed")
    UNKNOWN_PARAMETER = (400, "The query holds an unknown parameter")
    BAD_PARAMETER = (400, "A parameter has a value that is not allowed")
    BAD_TTL = (400, "The time to live is not allowed")
    BAD_CURSOR = (400, "The cursor is not one of this listing")
    BAD_LINE = (400, "The line of the batch is malformed")
    BAD_PRECONDITION = (400, "A precondition is malformed")
    UNKNOWN_PATH = (404, "There is nothing at this path")
    NOT_FOUND = (404, "The key has no value on this node")
    UNKNOWN_MEMBER = (404, "There is no such member")
    NO_PEER = (404, "There is no peer to be had")
    METHOD_NOT_ALLOWED = (405, "The method is not allowed here")
    NOT_ACCEPTABLE = (406, "No form of the key is acceptable")
    REQUEST_TIMEOUT = (408, "The request took too long")
    TOO_MANY_SIBLINGS = (409, "The key has too many siblings")
    STAMPS_EXHAUSTED = (409, "No later stamp exists for this key")
    MEMBER_PRESENT = (409, "The member is present")
    PRECONDITION_FAILED = (412, "The precondition does not hold on this node")
    LINE_TOO_LONG = (413, "The line is too long")
    VALUE_TOO_LARGE = (413, "The value is too large")
    ENTRY_TOO_LARGE = (413, "The entry with all its siblings is too large")
    TARGET_TOO_LONG = (414, "The request target is too long")
    BAD_CONTENT_TYPE = (415, "The content type is malformed")
    CONTENT_ENCODING = (415, "Content encodings are not supported")
    UNKNOWN_EXPECTATION = (417, "The expectation is unknown")
    HEADERS_TOO_LARGE = (431, "The request headers are too large")
    INTERNAL_ERROR = (500, "The node has a bug")
    NOT_READY = (503, "The node is not serving")
    OVERLOADED = (503, "The node is overloaded")
    TOO_MANY_CONNECTIONS = (503, "The node has too many connections")
    TOO_MANY_LISTENERS = (503, "The node has too many streams of events")
    READ_ONLY = (503, "The node takes no writes")
    DISK_FAILED = (503, "The disk failed")
    ROW_UNREADABLE = (503, "The entry cannot be read from the disk")
    OUTCOME_UNKNOWN = (503, "The write may or may not take effect")
    HTTP_VERSION = (505, "The HTTP version is not supported")
    DISK_FULL = (507, "The disk is full")

    @property
    def status(self) -> int:
        return self.value[0]

    @property
    def title(self) -> str:
        return self.value[1]

    @property
    def type(self) -> str:
        return "/problems/" + self.name.lower().replace("_", "-")


RETRY_AFTER_S = 1
BUG_DETAIL = "see the log of this node"
_RETRIED = frozenset(
    {
        Problem.NOT_READY,
        Problem.OVERLOADED,
        Problem.TOO_MANY_CONNECTIONS,
        Problem.TOO_MANY_LISTENERS,
    }
)


class ProblemError(Exception):
    """Ends a request with a problem document. ``must_close``: its body was not read to the end."""

    def __init__(
        self,
        problem: Problem,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        limit: str | None = None,
        limit_value: int | None = None,
        must_close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.problem = problem
        self.document = problem_document(problem, detail, limit=limit, limit_value=limit_value)
        self.headers = headers or {}
        self.must_close = must_close

    def answer(self) -> Answer:
        body = encode_problem(self.document)
        return problem_answer(self.problem, body, self.headers, must_close=self.must_close)


def problem_document(
    problem: Problem, detail: str, *, limit: str | None = None, limit_value: int | None = None
) -> Mapping[str, Json]:
    document: dict[str, Json] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
    }
    if limit is not None:
        document |= {"limit": limit, "limit_value": limit_value}
    return document


def encode_problem(document: Mapping[str, Json]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def problem_answer(
    problem: Problem, body: bytes, headers: Mapping[str, str], *, must_close: bool = False
) -> Answer:
    return Answer(problem.status, {**_headers(problem), **headers}, body, must_close=must_close)


def raw_problem(problem: Problem, detail: str) -> bytes:
    """A whole answer as bytes, for a connection that has no request yet. It is closed afterwards."""
    body = encode_problem(problem_document(problem, detail))
    headers = {**_headers(problem), "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {problem.status} {problem.title}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _headers(problem: Problem) -> dict[str, str]:
    headers = {"Content-Type": "application/problem+json"}
    if problem in _RETRIED:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return headers
