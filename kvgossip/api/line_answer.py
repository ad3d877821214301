"""What a line of a batch is answered: a line of JSON for each way in which an operation can end."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Struct, UnsetType

from kvgossip.api.answer import Json
from kvgossip.api.kv import NOT_FOUND_DETAIL
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.siblings import sibling_json
from kvgossip.api.written import refusal_of
from kvgossip.config import ENTRY_BYTES_MAX
from kvgossip.model.context import encode_context
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry
from kvgossip.model.stamp import format_stamp
from kvgossip.model.value import DEFAULT_CONTENT_TYPE
from kvgossip.node.effects import Refused, Result, Written
from kvgossip.node.local_writes import Write
from kvgossip.runtime.node import Node


class LineAnswer(Struct, gc=False, kw_only=True):
    """What all answers have; the last one of a batch that broke off is to no line."""

    name: str | UnsetType | None = msgspec.field(default=UNSET, name="key")
    line: int | UnsetType = UNSET
    """Counted from 1."""
    status: int


class WrittenAnswer(LineAnswer, kw_only=True, gc=False):
    etag: str
    stamp: str
    dot: str
    context: str | UnsetType = UNSET


class KvAnswer(LineAnswer, kw_only=True, gc=False):
    etag: str
    stamp: str
    dot: str
    value_base64: bytes
    type: str
    expires_ms: int | UnsetType = UNSET


class MvAnswer(LineAnswer, kw_only=True, gc=False):
    etag: str
    stamp: str
    context: str
    siblings: list[Mapping[str, Json]]


class ProblemAnswer(LineAnswer, kw_only=True, gc=False):
    """With what the headers of a request's answer would tell."""

    problem: Mapping[str, Json]
    context: str | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


def show_written(node: Node, write: Write, outcome: Result | Exception) -> LineAnswer:
    """What a put or delete answers. Raises ``ProblemError`` if it was refused, or the error that it is."""
    if isinstance(outcome, Refused):
        raise refusal_of(node.secret, write.key, outcome)
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome, Written)  # what else is asked of a node is not asked in a batch
    dot, stamp, etag, created, vector = outcome
    return WrittenAnswer(
        status=201 if created and write.value is not None else 204,
        etag=f'"{etag}"',
        stamp=format_stamp(stamp),
        dot=str(dot),
        context=UNSET if vector is None else encode_context(node.secret, write.key, vector),
    )


def show(node: Node, key: Key, row: tuple[Entry, str] | Exception | None) -> LineAnswer:
    """What a get answers. Raises ``ProblemError`` (404, 413), or the error that the row is."""
    if row is None:
        raise ProblemError(Problem.NOT_FOUND, NOT_FOUND_DETAIL)
    if isinstance(row, Exception):
        raise row
    entry, etag = row
    return _show_kv(node, entry, etag) if isinstance(entry, KvEntry) else _show_mv(node, key, entry, etag)


def show_problem(error: ProblemError) -> LineAnswer:
    return ProblemAnswer(
        status=error.problem.status,
        problem=error.document,
        context=error.headers.get("Kv-Context", UNSET),
        deleted=True if "Kv-Deleted" in error.headers else UNSET,
    )


def encode_answer(answer: LineAnswer) -> bytes:
    return _encode(answer) + b"\n"


def _show_kv(node: Node, entry: KvEntry, etag: str) -> LineAnswer:
    dot, stamp, value = entry
    if value is not None and value.expires_ms:
        value = entry.live(node.replica.wall_ms(node.now()))
    if value is None:
        raise ProblemError(Problem.NOT_FOUND, NOT_FOUND_DETAIL, headers=_deleted(entry.is_tombstone))
    body, content_type, expires_ms = value
    return KvAnswer(
        status=200,
        etag=f'"{etag}"',
        stamp=format_stamp(stamp),
        dot=str(dot),
        value_base64=body,
        type=content_type or DEFAULT_CONTENT_TYPE,
        expires_ms=expires_ms or UNSET,
    )


def _show_mv(node: Node, key: Key, entry: MvEntry, etag: str) -> LineAnswer:
    context = encode_context(node.secret, key, entry.vector)
    live = entry.live(node.replica.wall_ms(node.now()))
    if not live:
        headers = {"Kv-Context": context, **_deleted(entry.is_tombstone)}
        raise ProblemError(Problem.NOT_FOUND, NOT_FOUND_DETAIL, headers=headers)
    if sum(len(sibling.value.body) for sibling in live if sibling.value) > ENTRY_BYTES_MAX:
        detail = f"its siblings have more than {ENTRY_BYTES_MAX} bytes together: get the key by itself"
        raise ProblemError(Problem.ENTRY_TOO_LARGE, detail, headers={"Kv-Context": context})
    return MvAnswer(
        status=300 if len(live) > 1 else 200,
        etag=f'"{etag}"',
        stamp=format_stamp(entry.stamp),
        context=context,
        siblings=[sibling_json(sibling) for sibling in live],
    )


def _deleted(is_tombstone: bool) -> dict[str, str]:
    return {"Kv-Deleted": "true"} if is_tombstone else {}
