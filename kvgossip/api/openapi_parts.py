"""The parts that the table of ``api/openapi.py`` names: headers, parameters and schemas."""

from collections.abc import Mapping

from kvgossip.api.answer import Json
from kvgossip.api.expiry import TTL_S_MAX
from kvgossip.api.listing import LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX
from kvgossip.config import KEY_BYTES_MAX, VALUE_BYTES_MAX
from kvgossip.model.aggregate import METRICS
from kvgossip.model.member import NODE_NAME_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX

_STRING: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}


def _header(description: str, pattern: str | None = None) -> Json:
    schema: Json = _STRING if pattern is None else {"type": "string", "pattern": pattern}
    return {"description": description, "schema": schema}


HEADERS: Mapping[str, Json] = {
    "ETag": _header("the version of the entry, the same wherever it is the same", '^"[0-9a-f]{32}"$'),
    "Kv-Stamp": _header("when it was written: milliseconds.logic", r"^[0-9]+\.[0-9]+$"),
    "Kv-Dot": _header("the name of the write: replica-counter", "^[0-9a-f]{16}-[0-9]+$"),
    "Kv-Context": _header("what the client has seen of the key: send it with the next write"),
    "Kv-Deleted": _header("the key was deleted", "^true$"),
    "Kv-Expires": _header("when the value will be absent, in milliseconds since 1970", "^[0-9]+$"),
    "Kv-Clock-Correction": _header("this node's clock is wrong and corrected by so many milliseconds"),
    "X-Content-Type-Options": _header("bytes are of the type that they are said to be", "^nosniff$"),
    "Date": _header("this node's clock"),
    "Cache-Control": _header("a stream of events is not to be kept", "^no-store$"),
    "Vary": _header("the form depends on Accept"),
    "Retry-After": _header("seconds", "^[0-9]+$"),
    "Accept-Encoding": _header("what a body may be encoded as"),
}


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _request_header(name: str, description: str) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": _STRING}


PARAMETERS: Mapping[str, Json] = {
    "key": {
        "name": "key",
        "in": "path",
        "required": True,
        "description": f"1 to {KEY_BYTES_MAX} bytes of UTF-8, percent-encoded; a '/' may stand as it is",
        "schema": {"type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX},
    },
    "node": {
        "name": "node",
        "in": "path",
        "required": True,
        "description": "the name or the replica id of a member",
        "schema": {"type": "string", "minLength": 1, "maxLength": NODE_NAME_CHARS_MAX},
    },
    "ttl": _query(
        "ttl",
        "seconds until the value is absent, as a decimal",
        {"type": "number", "exclusiveMinimum": 0, "maximum": TTL_S_MAX},
    ),
    "prefix": _query("prefix", "only keys that start so", _STRING),
    "start": _query("start", "the first key", _STRING),
    "end": _query("end", "behind the last key", _STRING),
    "limit": _query(
        "limit",
        "how many on a page",
        {"type": "integer", "minimum": 1, "maximum": LIST_LIMIT_MAX, "default": LIST_LIMIT_DEFAULT},
    ),
    "reverse": _query("reverse", "from the last to the first", _FLAG),
    "cursor": _query("cursor", "where the page before ended", _STRING),
    "keys": _query("keys", "names only", _FLAG),
    "separator": _query("separator", "with keys: one level, like a directory", _STRING),
    "metric": _query("metric", "which number", {"type": "string", "enum": list(METRICS)}),
    "If-Match": _request_header("If-Match", "* or a list of ETags: only if the key is at one of them here"),
    "If-None-Match": _request_header("If-None-Match", "* or a list of ETags: only if it is at none of them"),
    "Kv-Context": _request_header("Kv-Context", "what the client has seen of the key"),
    "Accept": _request_header("Accept", "application/json for a list, multipart/mixed for parts"),
}


def _object(required: dict[str, Json], **optional: Json) -> Json:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


_INTEGER: Json = {"type": "integer"}
_NUMBER: Json = {"type": "number"}
_MEASURED: Json = {"type": ["number", "null"]}
"""A number that this node may not have."""
SCHEMAS: Mapping[str, Json] = {
    "Bytes": {"type": "string", "format": "binary", "maxLength": VALUE_BYTES_MAX},
    "Object": {"type": "object"},
    "Problem": _object(
        {"type": _STRING, "title": _STRING, "status": _INTEGER, "detail": _STRING},
        limit=_STRING,
        limit_value=_INTEGER,
    ),
    "Aggregate": _object(
        {
            "metric": _STRING,
            **dict.fromkeys(("count", "sum", "average", "error"), _NUMBER),
            **dict.fromkeys(("minimum", "maximum", "epoch", "age_ms"), _INTEGER),
        }
    ),
    "Siblings": {
        "type": "array",
        "items": _object({"value": _STRING, "type": _STRING, "dot": _STRING}, expires_ms=_INTEGER),
    },
    "Page": _object(
        {"cursor": {"type": ["string", "null"]}},
        items={
            "type": "array",
            "items": _object(
                {"key": _STRING, "etag": _STRING, "size": _INTEGER, "type": _STRING}, siblings=_INTEGER
            ),
        },
        keys={"type": "array", "items": _STRING},
    ),
    "Members": _object({"members": {"type": "array", "items": {"$ref": "#/components/schemas/Member"}}}),
    "Sample": _object({"peer": {"$ref": "#/components/schemas/Member"}}),
    "Member": _object(
        {
            "name": _STRING,
            "replica": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "generation": _INTEGER,
            "incarnation": _INTEGER,
            "state": {"enum": ["alive", "suspect", "down", "left"]},
            "is_self": _FLAG,
            "is_fit": _FLAG,
            "troubles": {"type": "array", "items": _STRING},
            "phi": {"type": "number"},
            "round_trip_ms": _MEASURED,
            "link_round_trip_ms": _MEASURED,
            "heard_ms_ago": _MEASURED,
            "zone": _STRING,
            "tags": {"$ref": "#/components/schemas/Tags"},
            "load": _object(
                {
                    "keys": _INTEGER,
                    "writes_per_s": _INTEGER,
                    "cpu_permille": _INTEGER,
                    "memory_bytes": _INTEGER,
                    "disk_free_bytes": _INTEGER,
                }
            ),
            "root": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "peer": _STRING,
            "api": _STRING,
            "software": _STRING,
            "wire_version": _INTEGER,
        }
    ),
    "Tags": {
        "type": "object",
        "maxProperties": TAGS_MAX,
        "additionalProperties": {"type": "string", "maxLength": TAG_VALUE_CHARS_MAX},
    },
    "Lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
    "Line": _object(
        {"op": {"enum": ["put", "get", "delete"]}, "key": _STRING},
        kind={"enum": ["kv", "mv"]},
        value=_STRING,
        value_base64=_STRING,
        type=_STRING,
        context=_STRING,
        ttl={"type": "number"},
    ),
    "Rules": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            rule: {"type": "array", "items": {"type": "string", "minLength": 1}}
            for rule in ("drop_to", "drop_from")
        },
    },
}
