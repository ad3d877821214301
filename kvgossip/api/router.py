"""Which handler answers a request: prefixes that hold a key or a name, listings, and exact paths.

The raw target decides (``api/target.py``), never a normalised path. All errors end here as problem documents.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NoReturn, TypeVar

from aiohttp import web

from kvgossip.api import (
    aggregate,
    batch,
    cluster,
    faults,
    gossip,
    health,
    kv,
    listing,
    member_events,
    metrics,
    mv,
    openapi,
    status,
)
from kvgossip.api.answer import Answer
from kvgossip.api.errors import problem_of
from kvgossip.api.health import check_ready
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.query import Query, parse_query
from kvgossip.api.target import decode_name, decode_percent, split_target
from kvgossip.errors import KvGossipError
from kvgossip.model.ids import Key, Kind, make_key
from kvgossip.runtime.node import Node

KeyHandler = Callable[[Node, web.BaseRequest, Key, Query], Awaitable[web.StreamResponse]]
Handler = Callable[[Node, web.BaseRequest], Awaitable[web.StreamResponse]]
QueryHandler = Callable[[Node, web.BaseRequest, Query], Awaitable[web.StreamResponse]]
NamedHandler = Callable[[Node, web.BaseRequest, str], Awaitable[web.StreamResponse]]

H = TypeVar("H")

KV_PREFIX = "/v1/kv/"
KEYED: tuple[tuple[str, Kind, Mapping[str, KeyHandler]], ...] = (
    (KV_PREFIX, Kind.KV, {"GET": kv.get, "HEAD": kv.get, "PUT": kv.put, "DELETE": kv.delete}),
    ("/v1/mv/", Kind.MV, {"GET": mv.get, "HEAD": mv.get, "PUT": mv.put, "DELETE": mv.delete}),
)
KEY_PARAMETERS = {"PUT": ("ttl",)}
NAMED: tuple[tuple[str, Mapping[str, NamedHandler]], ...] = (
    ("/v1/cluster/forget/", {"POST": cluster.forget}),
)
"""Prefixes that the name of a member follows."""
LISTINGS: Mapping[str, Kind] = {"/v1/kv": Kind.KV, "/v1/mv": Kind.MV}
EXACT: Mapping[str, Mapping[str, Handler]] = {
    "/livez": {"GET": health.livez, "HEAD": health.livez},
    "/readyz": {"GET": health.readyz, "HEAD": health.readyz},
    "/openapi.json": {"GET": openapi.get, "HEAD": openapi.get},
    "/metrics": {"GET": metrics.get, "HEAD": metrics.get},
    "/v1/status": {"GET": status.get, "HEAD": status.get},
    "/v1/cluster/members": {"GET": cluster.members, "HEAD": cluster.members},
    "/v1/cluster/check": {"GET": cluster.check, "HEAD": cluster.check},
    "/v1/cluster/events": {"GET": member_events.every, "HEAD": member_events.every},
    "/v1/cluster/leave": {"POST": cluster.leave},
    "/v1/cluster/tags": {"PUT": cluster.tags},
    "/gossip/init": {"GET": gossip.init, "HEAD": gossip.init},
    "/gossip/get-peer": {"GET": gossip.get_peer, "HEAD": gossip.get_peer},
    "/gossip/on-join": {"GET": member_events.on_join, "HEAD": member_events.on_join},
    "/gossip/on-alive": {"GET": member_events.on_alive, "HEAD": member_events.on_alive},
    "/gossip/on-dead": {"GET": member_events.on_dead, "HEAD": member_events.on_dead},
    "/gossip/on-change": {"GET": member_events.on_change, "HEAD": member_events.on_change},
    "/v1/batch": {"POST": batch.post},
    "/v1/faults": {"GET": faults.get, "HEAD": faults.get, "POST": faults.post, "DELETE": faults.delete},
}
QUERIED: Mapping[str, tuple[Collection[str], QueryHandler]] = {
    "/v1/cluster/aggregate": (aggregate.PARAMETERS, aggregate.get),
}
"""Paths that are only read, with parameters."""

OTHER = "other"
"""What metrics call paths and methods that are none of ours, so that clients cannot invent labels."""
_METHODS = frozenset(
    method
    for methods in (*(row[2] for row in KEYED), *(row[1] for row in NAMED), *EXACT.values())
    for method in methods
)


def path_label(raw_path: str) -> str:
    """The path of a request without its key, or the name in it."""
    for prefix in (*(row[0] for row in KEYED), *(row[0] for row in NAMED)):
        if raw_path.startswith(prefix):
            return prefix
    path, _, _ = raw_path.partition("?")
    return path if path in EXACT or path in LISTINGS or path in QUERIED else OTHER


def end_request(node: Node, label: str, method: str, answer: web.StreamResponse) -> None:
    """Count a request, and tell its client if the clock of this node is wrong."""
    node.measures.requests[label, method, answer.status] += 1
    correction_ms = node.replica.clock_correction_ms
    if correction_ms and isinstance(answer, Answer):
        answer.add_header("Kv-Clock-Correction", str(correction_ms))


def _method_label(request: web.BaseRequest) -> str:
    return request.method if request.method in _METHODS else OTHER


class Router:
    """Answers the requests of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            answer = await self._answer(request)
        except ConnectionError:
            raise  # the client has gone
        except Exception:
            label = path_label(request.raw_path), _method_label(request)
            self._node.measures.requests[*label, 500] += 1  # as ``connection.py`` will answer
            raise
        end_request(self._node, path_label(request.raw_path), _method_label(request), answer)
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except ProblemError as error:
            return error.answer()
        except KvGossipError as error:
            return problem_of(error).answer()

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.version.major != 1:
            raise ProblemError(Problem.HTTP_VERSION, "HTTP/1.1 and HTTP/1.0 are served", must_close=True)
        path, query = split_target(request.raw_path)
        for prefix, kind, key_handlers in KEYED:
            if path.startswith(prefix):
                key_handler = _choose(key_handlers, request.method)
                parameters = parse_query(query, KEY_PARAMETERS.get(request.method, ()))
                key = make_key(kind, decode_name(path[len(prefix) :]))
                check_ready(self._node)
                return await key_handler(self._node, request, key, parameters)
        for prefix, named_handlers in NAMED:
            if path.startswith(prefix):
                named_handler = _choose(named_handlers, request.method)
                parse_query(query, ())
                name = decode_percent(path[len(prefix) :], Problem.BAD_TARGET).decode(errors="replace")
                return await named_handler(self._node, request, name)
        if path in LISTINGS:
            if request.method not in ("GET", "HEAD"):
                _refuse_method(request.method, ("GET", "HEAD"))
            parameters = parse_query(query, listing.PARAMETERS)
            check_ready(self._node)
            return await listing.get(self._node, request, LISTINGS[path], parameters)
        if path in QUERIED:
            if request.method not in ("GET", "HEAD"):
                _refuse_method(request.method, ("GET", "HEAD"))
            names, read = QUERIED[path]
            return await read(self._node, request, parse_query(query, names))
        handlers = EXACT.get(path)
        if handlers is None:
            raise ProblemError(Problem.UNKNOWN_PATH, "see the documentation for what a node answers")
        handler = _choose(handlers, request.method)
        parse_query(query, ())
        return await handler(self._node, request)


def _choose(handlers: Mapping[str, H], method: str) -> H:
    handler = handlers.get(method)
    if handler is None:
        _refuse_method(method, handlers)
    return handler


def _refuse_method(method: str, handlers: Collection[str]) -> NoReturn:
    allowed = ", ".join(handlers)
    raise ProblemError(
        Problem.METHOD_NOT_ALLOWED, f"{method} is not among {allowed}", headers={"Allow": allowed}
    )
