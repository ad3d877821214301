"""``/v1/mv/{key}``: causal registers, whose concurrent values are all kept until a client resolves them.

One value is answered as it is, several as a JSON list with status 300, unless the client asks for another
form (``api/accept.py``). Every answer carries ``Kv-Context``: what its reader has seen, to be sent back with
the next PUT or DELETE.
"""

from aiohttp import web

from kvgossip.api.accept import Form, choose_form
from kvgossip.api.answer import Answer
from kvgossip.api.expiry import expiry_header, read_expiring_value
from kvgossip.api.kv import NOT_FOUND_BODY
from kvgossip.api.precondition import answer_unless_wanted, read_condition
from kvgossip.api.problem import Problem, problem_answer
from kvgossip.api.query import Query
from kvgossip.api.siblings import answer_siblings
from kvgossip.api.written import answer_write, context_header, version_headers
from kvgossip.model.context import decode_context
from kvgossip.model.dot import VersionVector
from kvgossip.model.ids import Key
from kvgossip.model.mv import MvEntry
from kvgossip.model.value import DEFAULT_CONTENT_TYPE
from kvgossip.runtime.node import Node


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
    values = [sibling.value for sibling in live if sibling.value is not None]
    form = choose_form(request, [value.content_type or DEFAULT_CONTENT_TYPE for value in values])
    headers["Vary"] = "Accept"
    if len(values) == 1:
        headers |= expiry_header(values[0])
    unwanted = answer_unless_wanted(condition, etag, headers, problem_headers=context)
    if unwanted is not None:
        return unwanted
    if form is not Form.AS_IT_IS:
        return await answer_siblings(node, request, live, form, headers)
    value = values[0]
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
