"""One line of a batch: what it asks for.

    {"op": "put", "kind": "kv", "key": "a", "value": "text", "type": "text/plain", "ttl": 60}
    {"op": "put", "kind": "mv", "key": "a", "value_base64": "AAE=", "context": "…"}
    {"op": "get", "key": "a"}
    {"op": "delete", "key": "a"}

``kind`` is ``kv`` if it is left out. A field that would be ignored is refused. msgspec reads a line and
checks it against the classes below; one that it refuses is looked at again, to say what is wrong with it.
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from kvgossip.api.body import checked_content_type
from kvgossip.api.expiry import expires_ms_after, parse_ttl_ms
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.config import VALUE_BYTES_MAX
from kvgossip.model.context import decode_context
from kvgossip.model.ids import Key, Kind, make_key
from kvgossip.model.value import Value
from kvgossip.node.local_writes import Write
from kvgossip.runtime.node import Node

_KINDS = {"kv": Kind.KV, "mv": Kind.MV}


class Operation(Struct, tag_field="op", forbid_unknown_fields=True, gc=False):
    """What all lines have. ``name`` is the key as the client wrote it."""

    name: str = msgspec.field(default="", name="key")
    kind: Literal["kv", "mv"] = "kv"

    def key(self) -> Key:
        """Raises ``KeyNameError`` or ``LimitError``."""
        return make_key(_KINDS[self.kind], self.name.encode())


class Get(Operation, tag="get"):
    pass


class Delete(Operation, tag="delete"):
    context: str | UnsetType = UNSET


class Put(Operation, tag="put"):
    value: str | UnsetType = UNSET
    value_base64: bytes | UnsetType = UNSET
    type: str = ""
    context: str | UnsetType = UNSET
    ttl: int | float | UnsetType = UNSET


_decode: Callable[[bytes], Get | Put | Delete] = msgspec.json.Decoder(Get | Put | Delete).decode
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_OPERATIONS = {"get": Get, "put": Put, "delete": Delete}


def read_operation(raw: bytes) -> Get | Put | Delete:
    """Raises ``UNREADABLE``: then ask ``explain``."""
    return _decode(raw)


def explain(raw: bytes) -> tuple[str | None, ProblemError]:
    """The key in a line that is no operation, if it has one, and what is wrong with it."""
    try:
        fields = json.loads(raw.decode())
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return None, ProblemError(Problem.BAD_LINE, "the line is no JSON object in UTF-8")
    name = fields.get("key")
    name = name if isinstance(name, str) and _is_text(name) else None
    try:
        _check_fields(fields)
    except ProblemError as error:
        return name, error
    return name, ProblemError(Problem.BAD_LINE, "the line is malformed")


def write_of(node: Node, operation: Put | Delete, key: Key) -> Write:
    """Raises ``ProblemError`` or ``ContextError``."""
    context = None
    if operation.context is not UNSET:
        if operation.kind == "kv":
            raise ProblemError(Problem.BAD_CONTEXT, "a kv key has no context: it was given out for an mv key")
        context = decode_context(node.secret, key, operation.context)
    value = _value_of(node, operation) if isinstance(operation, Put) else None
    return Write(key, value, context)


def _value_of(node: Node, put: Put) -> Value:
    if (put.value is UNSET) is (put.value_base64 is UNSET):
        raise ProblemError(Problem.BAD_LINE, "a put has either value or value_base64")
    body = put.value.encode() if isinstance(put.value, str) else put.value_base64
    assert isinstance(body, bytes)
    if len(body) > VALUE_BYTES_MAX:
        raise ProblemError(
            Problem.VALUE_TOO_LARGE,
            f"the value has {len(body)} bytes: at most {VALUE_BYTES_MAX} are allowed",
            limit="value_bytes_max",
            limit_value=VALUE_BYTES_MAX,
        )
    content_type = checked_content_type(put.type) if put.type else ""
    if put.ttl is UNSET:
        return Value(body, content_type)
    return Value(body, content_type, expires_ms_after(node, _ttl_ms(put.ttl)))


def _ttl_ms(ttl: object) -> int:
    if not isinstance(ttl, int | float) or isinstance(ttl, bool):
        raise ProblemError(Problem.BAD_TTL, "ttl is a number of seconds")
    return parse_ttl_ms(format(Decimal(str(ttl)), "f"))


def _check_fields(fields: Mapping[str, object]) -> None:
    """Raises ``ProblemError`` for the first that is wrong."""
    operation = _OPERATIONS.get(str(fields.get("op")))
    if operation is None:
        raise ProblemError(Problem.BAD_LINE, "op is one of put, get and delete")
    known = ("op", *operation.__struct_encode_fields__)
    for name, field in fields.items():
        if name not in known:
            meant = get_close_matches(name[:100], known, 1)
            hint = f"did you mean {meant[0]!r}?" if meant else f"it takes {', '.join(known)}"
            raise ProblemError(Problem.BAD_LINE, f"{fields['op']} has no field {name[:100]!r}: {hint}")
        if name == "ttl":
            _ttl_ms(field)
        elif not isinstance(field, str):
            raise ProblemError(Problem.BAD_LINE, f"{name} is a string")
        elif not _is_text(field):
            raise ProblemError(Problem.BAD_LINE, "half a surrogate pair is no text: use value_base64")
    if fields.get("kind", "kv") not in _KINDS:
        raise ProblemError(Problem.BAD_LINE, "kind is kv or mv")
    if "value_base64" in fields:
        raise ProblemError(Problem.BAD_LINE, "value_base64 is no base64 (RFC 4648, section 4)")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
