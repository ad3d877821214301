"""All live values of an ``mv`` key in one answer: a JSON list, or the parts of ``multipart/mixed``.

One sibling is written at a time: a merge may have gathered more than fits beside its own encoding in memory.
"""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from secrets import token_hex

from aiohttp import web

from kvgossip.api.accept import JSON, MULTIPART, Form
from kvgossip.api.answer import Json
from kvgossip.api.expiry import expiry_header
from kvgossip.api.stream import Stream
from kvgossip.model.mv import Sibling
from kvgossip.model.stamp import format_stamp
from kvgossip.model.value import DEFAULT_CONTENT_TYPE, Value
from kvgossip.runtime.node import Node


async def answer_siblings(
    node: Node, request: web.BaseRequest, live: tuple[Sibling, ...], form: Form, headers: Mapping[str, str]
) -> web.StreamResponse:
    """200 for one value, 300 for several."""
    boundary = token_hex(16)  # not to be foreseen, so no value can hold it
    content_type = JSON if form is Form.JSON else f"{MULTIPART}; boundary={boundary}"
    answer = Stream(node, 300 if len(live) > 1 else 200, {**headers, "Content-Type": content_type})
    await answer.prepare(request)
    if request.method != "HEAD":
        async for part in _json_list(live) if form is Form.JSON else _parts(live, boundary):
            await answer.write(part)
        await answer.write_eof()
    return answer


def sibling_json(sibling: Sibling) -> dict[str, Json]:
    value = _value_of(sibling)
    document: dict[str, Json] = {
        "value": b64encode(value.body).decode(),
        "type": value.content_type or DEFAULT_CONTENT_TYPE,
        "dot": str(sibling.dot),
    }
    return document | ({"expires_ms": value.expires_ms} if value.expires_ms else {})


async def _json_list(live: tuple[Sibling, ...]) -> AsyncIterator[bytes]:
    opening = b"[\n"
    for sibling in live:
        yield opening + json.dumps(sibling_json(sibling)).encode()
        opening = b",\n"
    yield b"\n]\n"


async def _parts(live: tuple[Sibling, ...], boundary: str) -> AsyncIterator[bytes]:
    for sibling in live:
        value = _value_of(sibling)
        headers = {
            "Content-Type": value.content_type or DEFAULT_CONTENT_TYPE,
            "Kv-Stamp": format_stamp(sibling.stamp),
            "Kv-Dot": str(sibling.dot),
            **expiry_header(value),
        }
        head = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        yield f"--{boundary}\r\n{head}\r\n".encode() + value.body + b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _value_of(sibling: Sibling) -> Value:
    assert sibling.value is not None  # live siblings have one
    return sibling.value
