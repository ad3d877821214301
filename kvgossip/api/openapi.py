"""``/openapi.json``: what a node answers, as OpenAPI 3.1, from one table.

A row of the table is one method of one path with every status and header that it can answer. Two tests hold
it: the router serves exactly these paths and methods, and schemathesis finds no status, header or body that
is not written down here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from aiohttp import web

import kvgossip
from kvgossip.api.answer import Answer, Json
from kvgossip.api.member_events import MEDIA
from kvgossip.api.openapi_parts import HEADERS, PARAMETERS, SCHEMAS
from kvgossip.api.problem import Problem
from kvgossip.runtime.node import Node

VERSION = ("ETag", "Kv-Stamp", "Kv-Dot")
CONTEXT = (*VERSION, "Kv-Context")
_ALWAYS = ("X-Content-Type-Options", "Date", "Kv-Clock-Correction")
_ON_PROBLEM = {"Kv-Context", "Retry-After", "Accept-Encoding", "Vary"}

_CONNECTION = (
    Problem.BAD_REQUEST,
    Problem.BAD_TARGET,
    Problem.UNKNOWN_PARAMETER,
    Problem.UNKNOWN_PATH,
    Problem.TARGET_TOO_LONG,
    Problem.HEADERS_TOO_LARGE,
    Problem.INTERNAL_ERROR,
    Problem.TOO_MANY_CONNECTIONS,
    Problem.HTTP_VERSION,
)
"""What any request may meet."""
_KEY = (Problem.BAD_KEY, Problem.NOT_READY, Problem.BAD_PRECONDITION, Problem.PRECONDITION_FAILED)
_READ = (*_KEY, Problem.NOT_FOUND, Problem.ROW_UNREADABLE)
_BODY = (Problem.REQUEST_TIMEOUT, Problem.UNKNOWN_EXPECTATION, Problem.CONTENT_ENCODING)
_WRITE = (
    *_KEY,
    Problem.BAD_CONTEXT,
    Problem.STAMPS_EXHAUSTED,
    Problem.OVERLOADED,
    Problem.READ_ONLY,
    Problem.DISK_FAILED,
    Problem.DISK_FULL,
    Problem.OUTCOME_UNKNOWN,
    Problem.ROW_UNREADABLE,
)
_MV_WRITE = (*_WRITE, Problem.TOO_MANY_SIBLINGS, Problem.ENTRY_TOO_LARGE)
_PUT = (*_BODY, Problem.BAD_PARAMETER, Problem.BAD_TTL, Problem.VALUE_TOO_LARGE, Problem.BAD_CONTENT_TYPE)
_LIST = (Problem.BAD_PARAMETER, Problem.BAD_CURSOR, Problem.NOT_READY, Problem.ROW_UNREADABLE)


@dataclass(frozen=True, slots=True)
class Good:
    """An answer that is no problem. ``schema`` None: it has no body; empty: any bytes."""

    status: int
    description: str
    headers: tuple[str, ...] = ()
    media: str = "application/json"
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    good: tuple[Good, ...]
    problems: tuple[Problem, ...] = ()
    parameters: tuple[str, ...] = ()
    body: tuple[str, str] | None = None
    """Media type and schema of what is sent."""


def _reading(
    path: str,
    summary: str,
    *good: Good,
    problems: tuple[Problem, ...] = (),
    parameters: tuple[str, ...] = (),
) -> list[Operation]:
    """GET, and HEAD that answers the same without the body."""
    bare = tuple(Good(g.status, g.description, g.headers) for g in good)
    return [
        Operation("get", path, summary, good, problems, parameters),
        Operation("head", path, f"{summary}, without the body", bare, problems, parameters),
    ]


def _events(path: str, summary: str) -> list[Operation]:
    stream = Good(200, "server-sent events", ("Cache-Control",), MEDIA, "")
    return _reading(path, summary, stream, problems=(Problem.TOO_MANY_LISTENERS, Problem.NOT_READY))


_SHOWN_MV = (*CONTEXT, "Kv-Expires", "Vary")
_CONDITIONS = ("If-Match", "If-None-Match")
_LISTING = ("prefix", "start", "end", "limit", "reverse", "cursor", "keys", "separator")

TABLE: tuple[Operation, ...] = (
    *_reading(
        "/v1/kv/{key}",
        "Read a last-write-wins key",
        Good(200, "the value, as it was sent", (*VERSION, "Kv-Expires"), "*/*", ""),
        Good(304, "the client has this version", (*VERSION, "Kv-Expires")),
        Good(404, "there is none here; Kv-Deleted tells a delete", (*VERSION, "Kv-Deleted")),
        problems=_READ,
        parameters=("key", *_CONDITIONS),
    ),
    Operation(
        "put",
        "/v1/kv/{key}",
        "Write a last-write-wins key",
        (Good(201, "the key had no value here", VERSION), Good(204, "the value was replaced", VERSION)),
        (*_WRITE, *_PUT),
        ("key", "ttl", *_CONDITIONS),
        ("application/octet-stream", "Bytes"),
    ),
    Operation(
        "delete",
        "/v1/kv/{key}",
        "Delete a last-write-wins key",
        (Good(204, "it has no value here any more", VERSION),),
        _WRITE,
        ("key", *_CONDITIONS),
    ),
    *_reading(
        "/v1/mv/{key}",
        "Read a key that keeps concurrent values",
        Good(200, "the value, or a list of it if asked for", _SHOWN_MV, "*/*", ""),
        Good(300, "siblings", _SHOWN_MV, "application/json", "Siblings"),
        Good(300, "siblings", _SHOWN_MV, "multipart/mixed", ""),
        Good(304, "the client has this version", _SHOWN_MV),
        Good(404, "there is none here; Kv-Deleted tells a delete", (*CONTEXT, "Kv-Deleted")),
        problems=(*_READ, Problem.NOT_ACCEPTABLE),
        parameters=("key", *_CONDITIONS, "Accept"),
    ),
    Operation(
        "put",
        "/v1/mv/{key}",
        "Write a key that keeps concurrent values",
        (Good(201, "the key had no value here", CONTEXT), Good(204, "it had one", CONTEXT)),
        (*_MV_WRITE, *_PUT),
        ("key", "ttl", *_CONDITIONS, "Kv-Context"),
        ("application/octet-stream", "Bytes"),
    ),
    Operation(
        "delete",
        "/v1/mv/{key}",
        "Delete what the context saw, or what is here",
        (Good(204, "it is deleted", CONTEXT),),
        _MV_WRITE,
        ("key", *_CONDITIONS, "Kv-Context"),
    ),
    *_reading(
        "/v1/kv",
        "List last-write-wins keys",
        Good(200, "a page", (), "application/json", "Page"),
        problems=_LIST,
        parameters=_LISTING,
    ),
    *_reading(
        "/v1/mv",
        "List keys that keep concurrent values",
        Good(200, "a page", (), "application/json", "Page"),
        problems=_LIST,
        parameters=_LISTING,
    ),
    Operation(
        "post",
        "/v1/batch",
        "Perform lines, each answered by a line, in order",
        (Good(200, "a line for each line", (), "application/x-ndjson", ""),),
        (*_BODY, Problem.NOT_READY),
        (),
        ("application/x-ndjson", "Lines"),
    ),
    *_reading(
        "/livez",
        "Does the process work",
        Good(200, "yes", (), "text/plain", ""),
        problems=(Problem.NOT_READY,),
    ),
    *_reading(
        "/readyz",
        "May it serve",
        Good(200, "yes", (), "text/plain", ""),
        problems=(Problem.NOT_READY,),
    ),
    *_reading("/metrics", "Metrics for Prometheus", Good(200, "metrics", (), "text/plain", "")),
    *_reading("/openapi.json", "This document", Good(200, "it", (), "application/json", "Object")),
    *_reading("/v1/status", "What the node holds", Good(200, "its status", (), "application/json", "Object")),
    *_reading(
        "/v1/cluster/members",
        "Whom the node knows",
        Good(200, "members", (), "application/json", "Members"),
    ),
    *_reading(
        "/v1/cluster/aggregate",
        "A number of all nodes together",
        Good(200, "an estimate", (), "application/json", "Aggregate"),
        problems=(Problem.BAD_PARAMETER, Problem.NOT_READY),
        parameters=("metric",),
    ),
    *_reading(
        "/v1/cluster/check", "Do all members agree", Good(200, "roots", (), "application/json", "Object")
    ),
    *_events("/v1/cluster/events", "What happens among the members"),
    Operation(
        "post",
        "/v1/cluster/forget/{node}",
        "Forget a member that is gone",
        (Good(200, "it is forgotten", (), "application/json", "Object"),),
        (Problem.UNKNOWN_MEMBER, Problem.MEMBER_PRESENT, Problem.NOT_READY),
        ("node",),
    ),
    Operation(
        "post",
        "/v1/cluster/leave",
        "Let this node leave and its process end",
        (Good(202, "it will", (), "application/json", "Object"),),
    ),
    Operation(
        "put",
        "/v1/cluster/tags",
        "Replace the tags of this node",
        (Good(200, "the tags", (), "application/json", "Object"),),
        (Problem.BAD_TAGS, Problem.REQUEST_TIMEOUT, Problem.UNKNOWN_EXPECTATION, Problem.NOT_READY),
        (),
        ("application/json", "Tags"),
    ),
    *_reading(
        "/gossip/init",
        "Whom the node knew when it started",
        Good(200, "members", (), "application/json", "Members"),
        problems=(Problem.NOT_READY,),
    ),
    *_reading(
        "/gossip/get-peer",
        "One random member that is live and can serve",
        Good(200, "a peer", (), "application/json", "Sample"),
        problems=(Problem.NO_PEER, Problem.NOT_READY),
    ),
    *_events("/gossip/on-join", "Members that are new"),
    *_events("/gossip/on-alive", "Members that are alive from now on"),
    *_events("/gossip/on-dead", "Members that are down from now on"),
    *_events("/gossip/on-change", "Members that say something new of themselves"),
    *_reading(
        "/v1/faults",
        "The fault rules (with --allow-faults)",
        Good(200, "the rules", (), "application/json", "Object"),
    ),
    Operation(
        "post",
        "/v1/faults",
        "Replace the fault rules",
        (Good(200, "the rules", (), "application/json", "Object"),),
        (Problem.BAD_FAULTS, Problem.REQUEST_TIMEOUT, Problem.UNKNOWN_EXPECTATION),
        (),
        ("application/json", "Rules"),
    ),
    Operation(
        "delete",
        "/v1/faults",
        "Drop the fault rules",
        (Good(200, "the rules", (), "application/json", "Object"),),
    ),
)


async def get(node: Node, request: web.BaseRequest) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, _encoded())


def document() -> dict[str, Json]:
    paths: dict[str, dict[str, Json]] = {}
    for operation in TABLE:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kvgossip",
            "version": kvgossip.__version__,
            "description": "A leaderless key-value store that converges. See docs/HTTP.md.",
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


@cache
def _encoded() -> bytes:
    return json.dumps(document(), indent=1).encode() + b"\n"


def _operation(operation: Operation) -> Json:
    shown: dict[str, Json] = {
        "summary": operation.summary,
        "operationId": f"{operation.method} {operation.path}",
        "parameters": [PARAMETERS[name] for name in operation.parameters],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        media, schema = operation.body
        shown["requestBody"] = {"required": True, "content": {media: _schema(schema)}}
    return shown


def _responses(operation: Operation) -> Json:
    texts: dict[int, list[str]] = {}
    headers: dict[int, set[str]] = {}
    content: dict[int, dict[str, Json]] = {}
    for good in operation.good:
        texts.setdefault(good.status, []).append(good.description)
        headers.setdefault(good.status, set()).update(good.headers)
        if good.schema is not None:
            content.setdefault(good.status, {})[good.media] = _schema(good.schema)
    for problem in (*_CONNECTION, *operation.problems):
        texts.setdefault(problem.status, []).append(problem.type)
        headers.setdefault(problem.status, set()).update(_ON_PROBLEM)
        if operation.method != "head":
            content.setdefault(problem.status, {})["application/problem+json"] = _schema("Problem")
    return {
        str(status): {
            "description": "; ".join(dict.fromkeys(texts[status])),
            "headers": {name: HEADERS[name] for name in sorted({*headers[status], *_ALWAYS})},
            **({"content": content[status]} if status in content else {}),
        }
        for status in sorted(texts)
    }


def _schema(name: str) -> Mapping[str, Json]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}} if name else {}
