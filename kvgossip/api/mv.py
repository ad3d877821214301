"""``/v1/mv/{key}``: causal registers, whose concurrent values are all kept until a client resolves them.

One value is answered as it is, several as a JSON list with status 300. Every answer carries ``Kv-Context``:
what its reader has seen, to be sent back with the next PUT or DELETE.
"""

import json
from base64 import b64encode

from aiohttp import web

from kvgossip.api.answer import Answer, Json
from kvgossip.api.expiry import expiry_header, read_expiring_value
from kvgossip.api.kv import NOT_FOUND_BODY
from kvgossip.api.precondition import answer_unless_wanted, read_condition
from kvgossip.api.problem import Problem, problem_answer
from kvgossip.api.query import Query
from kvgossip.api.stream import Stream
from kvgossip.api.written import answer_write, context_header, version_headers
from kvgossip.model.context import decode_context
from kvgossip.model.dot import VersionVector
from kvgossip.model.ids import Key
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.value import DEFAULT_CONTENT_TYPE
from kvgossip.runtime.node import Node

_LIST_HEADERS = {"Content-Type": "application/json"}


async def get(node: Node, request: web.BaseRequest, key: Key, query: Query) -> web.StreamResponse:
    condition = read_condition(request)
    found = node.replica.read(key)
    if found is None:
        return problem_answer(Problem.NOT_FOUND, NOT_FOUND_BODY, {})
    entry, etag = found
    assert isinstance(entry, MvEntry)  # the kind is part of the key
    live = entry.live(node.replica.wall_ms(node.now()))
    context = context_header(node.secret, key, entry.vector)
    headers = dict(context)
    if entry.siblings:  # a merge may have left the vector alone
        latest = max(live or entry.siblings, key=lambda sibling: sibling.stamp)
        headers |= version_headers(etag, latest.stamp, latest.dot)
    if not live:
        if entry.is_tombstone:
            headers["Kv-Deleted"] = "true"
        return problem_answer(Problem.NOT_FOUND, NOT_FOUND_BODY, headers)
    value = live[0].value
    assert value is not None  # live siblings have one
    if len(live) == 1:
        headers |= expiry_header(value)
    unwanted = answer_unless_wanted(condition, etag, headers, problem_headers=context)
    if unwanted is not None:
        return unwanted
    if len(live) > 1:
        return await _answer_siblings(request, live, headers)
    headers["Content-Type"] = value.content_type or DEFAULT_CONTENT_TYPE
    return Answer(200, headers, value.body)


async def put(node: Node, request: web.BaseRequest, key: Key, query: Query) -> Answer:
    context = _context(node, request, key)
    condition = read_condition(request)
    value = await read_expiring_value(node, request, query)
    result = await node.put(key, value, context, condition=condition)
    return answer_write(node.secret, key, result, is_put=True)


async def delete(node: Node, request: web.BaseRequest, key: Key, query: Query) -> Answer:
    context = _context(node, request, key)
    result = await node.delete(key, context, condition=read_condition(request))
    return answer_write(node.secret, key, result, is_put=False)


def _context(node: Node, request: web.BaseRequest, key: Key) -> VersionVector | None:
    """What the client has seen of the key; None if it does not say. Raises ``ContextError``."""
    text = request.headers.get("Kv-Context")
    return None if text is None else decode_context(node.secret, key, text)


async def _answer_siblings(
    request: web.BaseRequest, live: tuple[Sibling, ...], headers: dict[str, str]
) -> web.StreamResponse:
    """One sibling at a time: a merge may have gathered more than fits beside its own encoding in memory."""
    answer = Stream(300, {**headers, **_LIST_HEADERS})
    await answer.prepare(request)
    if request.method != "HEAD":
        opening = b"[\n"
        for sibling in live:
            await answer.write(opening + json.dumps(sibling_json(sibling)).encode())
            opening = b",\n"
        await answer.write_eof(b"\n]\n")
    return answer


def sibling_json(sibling: Sibling) -> dict[str, Json]:
    value = sibling.value
    assert value is not None
    document: dict[str, Json] = {
        "value": b64encode(value.body).decode(),
        "type": value.content_type or DEFAULT_CONTENT_TYPE,
        "dot": str(sibling.dot),
    }
    return document | ({"expires_ms": value.expires_ms} if value.expires_ms else {})
