"""One line of a batch: what it asks for, and what it is answered.

    {"op": "put", "kind": "kv", "key": "a", "value": "text", "type": "text/plain", "ttl": 60}
    {"op": "put", "kind": "mv", "key": "a", "value_base64": "AAE=", "context": "…"}
    {"op": "get", "key": "a"}
    {"op": "delete", "key": "a"}

``kind`` is ``kv`` if it is left out. A field that would be ignored is refused.
"""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from kvgossip.api.answer import Json
from kvgossip.api.body import checked_content_type
from kvgossip.api.expiry import expires_ms_after, parse_ttl_ms
from kvgossip.api.kv import NOT_FOUND_DETAIL
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.siblings import sibling_json
from kvgossip.api.written import refusal_of
from kvgossip.config import ENTRY_BYTES_MAX, VALUE_BYTES_MAX
from kvgossip.model.context import decode_context, encode_context
from kvgossip.model.ids import Key, Kind, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.stamp import format_stamp
from kvgossip.model.value import DEFAULT_CONTENT_TYPE, Value
from kvgossip.node.effects import Refused, Result, Written
from kvgossip.runtime.engine import Tell
from kvgossip.runtime.node import Node

Fields = dict[str, Json]

_KINDS = {"kv": Kind.KV, "mv": Kind.MV}
_FIELDS = {
    "put": {"op", "kind", "key", "value", "value_base64", "type", "context", "ttl"},
    "get": {"op", "kind", "key"},
    "delete": {"op", "kind", "key", "context"},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """A well-formed line."""

    op: str
    key: Key
    value: Value | None
    ttl_ms: int | None
    context: str | None


def read_fields(line: bytes) -> Mapping[str, object]:
    """Raises ``ProblemError`` (400) unless ``line`` is a JSON object."""
    try:
        document = json.loads(line.decode())
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ProblemError(Problem.BAD_LINE, "the line is no JSON object in UTF-8")
    return document


def read_operation(fields: Mapping[str, object]) -> Operation:
    """Raises ``ProblemError``, ``KeyNameError`` or ``LimitError``."""
    op = _text(fields, "op") or ""
    known = _FIELDS.get(op)
    if known is None:
        raise ProblemError(Problem.BAD_LINE, "op is one of put, get and delete")
    for name in fields:
        if name not in known:
            meant = get_close_matches(name[:100], known, 1)
            hint = f"did you mean {meant[0]!r}?" if meant else f"it takes {', '.join(sorted(known))}"
            raise ProblemError(Problem.BAD_LINE, f"{op} has no field {name[:100]!r}: {hint}")
    kind = _KINDS.get(_text(fields, "kind") or "kv")
    if kind is None:
        raise ProblemError(Problem.BAD_LINE, "kind is kv or mv")
    context = _text(fields, "context")
    if context is not None and kind is Kind.KV:
        raise ProblemError(Problem.BAD_CONTEXT, "a kv key has no context: it was given out for an mv key")
    return Operation(
        op=op,
        key=make_key(kind, _encoded(_text(fields, "key") or "")),
        value=_read_value(fields) if op == "put" else None,
        ttl_ms=_read_ttl_ms(fields),
        context=context,
    )


def begin_write(node: Node, operation: Operation, tell: Tell) -> None:
    """Begin a put or delete. Raises ``ContextError`` or ``StoreError``; then ``tell`` is not called."""
    key, value = operation.key, operation.value
    context = None
    if operation.context is not None:
        context = decode_context(node.secret, key, operation.context)
    if value is None:
        node.begin_delete(key, tell, context)
        return
    if operation.ttl_ms is not None:
        value = value._replace(expires_ms=expires_ms_after(node, operation.ttl_ms))
    node.begin_put(key, value, tell, context)


def show_written(node: Node, operation: Operation, result: Result) -> Fields:
    """What a put or delete answers. Raises ``ProblemError`` if it was refused."""
    if isinstance(result, Refused):
        raise refusal_of(node.secret, operation.key, result)
    assert isinstance(result, Written)  # a write is never answered by a convergence check
    fields: Fields = {
        "status": 201 if operation.value is not None and result.created else 204,
        "etag": f'"{result.etag}"',
        "stamp": format_stamp(result.stamp),
        "dot": str(result.dot),
    }
    if result.context is not None:
        fields["context"] = encode_context(node.secret, operation.key, result.context)
    return fields


def show(node: Node, key: Key) -> Fields:
    """What a get answers. Raises ``ProblemError`` (404, 413) or ``StoreError``."""
    found = node.replica.read(key)
    if found is None:
        raise ProblemError(Problem.NOT_FOUND, NOT_FOUND_DETAIL)
    entry, etag = found
    now_ms = node.replica.wall_ms(node.now())
    fields: Fields = {"status": 200, "etag": f'"{etag}"', "stamp": format_stamp(entry.stamp)}
    if isinstance(entry, KvEntry):
        value = entry.live(now_ms)
        if value is None:
            raise ProblemError(Problem.NOT_FOUND, NOT_FOUND_DETAIL, headers=_deleted(entry.is_tombstone))
        fields |= {"dot": str(entry.dot), "value_base64": b64encode(value.body).decode()}
        fields["type"] = value.content_type or DEFAULT_CONTENT_TYPE
        return fields | ({"expires_ms": value.expires_ms} if value.expires_ms else {})
    context = encode_context(node.secret, key, entry.vector)
    live = entry.live(now_ms)
    if not live:
        headers = {"Kv-Context": context, **_deleted(entry.is_tombstone)}
        raise ProblemError(Problem.NOT_FOUND, NOT_FOUND_DETAIL, headers=headers)
    if sum(len(sibling.value.body) for sibling in live if sibling.value) > ENTRY_BYTES_MAX:
        detail = f"its siblings have more than {ENTRY_BYTES_MAX} bytes together: get the key by itself"
        raise ProblemError(Problem.ENTRY_TOO_LARGE, detail, headers={"Kv-Context": context})
    fields |= {"status": 300 if len(live) > 1 else 200, "context": context}
    fields["siblings"] = [sibling_json(sibling) for sibling in live]
    return fields


def problem_fields(error: ProblemError) -> Fields:
    """The answer to a line that was refused, with what the headers of a request's answer would tell."""
    fields: Fields = {"status": error.problem.status, "problem": error.document}
    if "Kv-Context" in error.headers:
        fields["context"] = error.headers["Kv-Context"]
    if "Kv-Deleted" in error.headers:
        fields["deleted"] = True
    return fields


def _deleted(is_tombstone: bool) -> dict[str, str]:
    return {"Kv-Deleted": "true"} if is_tombstone else {}


def _read_value(fields: Mapping[str, object]) -> Value:
    text, encoded = _text(fields, "value"), _text(fields, "value_base64")
    if (text is None) == (encoded is None):
        raise ProblemError(Problem.BAD_LINE, "a put has either value or value_base64")
    try:
        body = _encoded(text) if text is not None else b64decode(encoded or "", validate=True)
    except (Base64Error, ValueError):
        raise ProblemError(Problem.BAD_LINE, "value_base64 is no base64 (RFC 4648, section 4)") from None
    if len(body) > VALUE_BYTES_MAX:
        raise ProblemError(
            Problem.VALUE_TOO_LARGE,
            f"the value has {len(body)} bytes: at most {VALUE_BYTES_MAX} are allowed",
            limit="value_bytes_max",
            limit_value=VALUE_BYTES_MAX,
        )
    return Value(body, checked_content_type(_text(fields, "type") or ""))


def _read_ttl_ms(fields: Mapping[str, object]) -> int | None:
    ttl = fields.get("ttl")
    if "ttl" not in fields:
        return None
    if not isinstance(ttl, int | float) or isinstance(ttl, bool):
        raise ProblemError(Problem.BAD_TTL, "ttl is a number of seconds")
    return parse_ttl_ms(format(Decimal(str(ttl)), "f"))


def _text(fields: Mapping[str, object], name: str) -> str | None:
    text = fields.get(name)
    if name in fields and not isinstance(text, str):
        raise ProblemError(Problem.BAD_LINE, f"{name} is a string")
    return text if isinstance(text, str) else None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ProblemError(Problem.BAD_LINE, "half a surrogate pair is no text: use value_base64") from None
