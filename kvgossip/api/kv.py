"""``/v1/kv/{key}``: last-write-wins registers."""

from aiohttp import web

from kvgossip.api.answer import Answer
from kvgossip.api.expiry import expiry_header, read_expiring_value
from kvgossip.api.precondition import answer_unless_wanted, read_condition
from kvgossip.api.problem import Problem, ProblemError, encode_problem, problem_answer, problem_document
from kvgossip.api.query import Query
from kvgossip.api.written import answer_write, version_headers, version_lines
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.model.kv import KvEntry
from kvgossip.model.value import DEFAULT_CONTENT_TYPE
from kvgossip.node.effects import Condition
from kvgossip.node.local_writes import NO_CONDITION
from kvgossip.runtime.node import Node

NOT_FOUND_DETAIL = "no value of this key has reached this node, or it was deleted"
NOT_FOUND_BODY = encode_problem(problem_document(Problem.NOT_FOUND, NOT_FOUND_DETAIL))


async def get(node: Node, request: web.BaseRequest, key: Key, query: Query) -> Answer:
    condition = read_condition(request)
    return show(node, node.replica.read(key), condition)


def show(node: Node, found: tuple[Entry, str] | None, condition: Condition) -> Answer:
    """The answer to a GET or HEAD, by the entry and its version. Raises ``ProblemError``."""
    if found is None:
        return problem_answer(Problem.NOT_FOUND, NOT_FOUND_BODY, {})
    entry, etag = found
    assert isinstance(entry, KvEntry)  # the kind is part of the key
    value = entry.value
    if value is not None and value.expires_ms:
        value = entry.live(node.replica.wall_ms(node.now()))
    if value is None:
        headers = version_headers(etag, entry.stamp, entry.dot)
        if entry.is_tombstone:
            headers["Kv-Deleted"] = "true"
        return problem_answer(Problem.NOT_FOUND, NOT_FOUND_BODY, headers)
    if condition is not NO_CONDITION or value.expires_ms:
        headers = version_headers(etag, entry.stamp, entry.dot) | expiry_header(value)
        unwanted = answer_unless_wanted(condition, etag, headers, problem_headers={})
        if unwanted is not None:
            return unwanted
        headers["Content-Type"] = value.content_type or DEFAULT_CONTENT_TYPE
        return Answer(200, headers, value.body)
    lines = version_lines(etag, entry.stamp, entry.dot)
    return Answer(200, f"{lines}Content-Type: {value.content_type or DEFAULT_CONTENT_TYPE}\r\n", value.body)


async def put(node: Node, request: web.BaseRequest, key: Key, query: Query) -> Answer:
    _refuse_context(request)
    condition = read_condition(request)
    value = await read_expiring_value(node, request, query)
    result = await node.put(key, value, condition=condition)
    return answer_write(node.secret, key, result, is_put=True)


async def delete(node: Node, request: web.BaseRequest, key: Key, query: Query) -> Answer:
    _refuse_context(request)
    result = await node.delete(key, condition=read_condition(request))
    return answer_write(node.secret, key, result, is_put=False)


def _refuse_context(request: web.BaseRequest) -> None:
    """A context belongs to one ``mv`` key, so here it is always a foreign one."""
    if "Kv-Context" in request.headers:
        raise ProblemError(
            Problem.BAD_CONTEXT, "a kv key has no context: it was given out for an mv key", must_close=True
        )
