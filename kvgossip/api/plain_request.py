"""Plain requests: those that are told from their bytes at a glance, and need nothing of an HTTP library.

A plain request is complete in the bytes at hand and reads

    GET | HEAD | PUT   /v1/kv/KEY HTTP/1.1   followed by a plain head, and for a PUT by its whole body

where KEY needs no decoding, and the head says nothing but who asks whom for a value of what type and length.
This is a small language on purpose: what is in it means the same to every reader of HTTP, and whatever is not
in it (another method or path, a query, an escape, a precondition, a chunked or compressed body, a field that
is not listed below or comes twice, half a request) is not judged here but left to aiohttp.

Clients send the same head again and again, so a head that was found plain is remembered by its bytes, and the
next request with it costs one look into a table of bounded size.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from kvgossip.api.body import checked_content_type
from kvgossip.api.problem import ProblemError

KEY_CHARS_MAX = 1_024
HEAD_BYTES_MAX = 1_024
HEADS_KEPT_MAX = 512
"""Some 200 kB, and a client that changes its head each time gains nothing and costs nothing."""

_LINE = re.compile(
    rb"(GET|PUT|HEAD) /v1/kv/([A-Za-z0-9._~!$&'()*+,;=:@/-]{1,%d}) HTTP/1\.1\r\n" % KEY_CHARS_MAX
)
_FIELD = re.compile(rb"([A-Za-z-]+): ?([!-~](?:[ -~]*[!-~])?)\r\n")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,6}")

_IGNORED = {"host", "user-agent", "accept", "accept-encoding", "accept-language"}
"""What may stand in a plain head and changes nothing for a ``kv`` key."""


@dataclass(frozen=True, slots=True)
class PlainHead:
    """What a head says of the body; ``length`` is None if there is no such field."""

    length: int | None
    content_type: str


class PlainRequest(NamedTuple):
    """``name``: the key as the client calls it."""

    method: str
    name: bytes
    content_type: str
    body: bytes


class PlainHeads:
    """Tells plain requests, and remembers the heads that it saw."""

    def __init__(self) -> None:
        self._known: dict[bytes, PlainHead] = {}

    def find_request(self, data: bytes) -> PlainRequest | None:
        """The plain request that ``data`` is, from first byte to last; None if it is anything else."""
        line = _LINE.match(data)
        if line is None:
            return None
        head_start = line.end()
        head_end = data.find(b"\r\n\r\n", head_start, head_start + HEAD_BYTES_MAX) + 2
        raw = data[head_start:head_end]  # nothing, if there is no end
        head = self._known.get(raw)
        if head is None:
            head = self._learn(raw)
            if head is None:
                return None
        method, name = line.groups()
        length = head.length
        body_start = head_end + 2
        if method != b"PUT":
            if length is not None or head.content_type or body_start != len(data):
                return None
            return PlainRequest("GET" if method == b"GET" else "HEAD", name, "", b"")
        if length is None or body_start + length != len(data):
            return None
        return PlainRequest("PUT", name, head.content_type, data[body_start:])

    def _learn(self, raw: bytes) -> PlainHead | None:
        head = read_plain_head(raw)
        if head is not None:
            if len(self._known) >= HEADS_KEPT_MAX:
                self._known.clear()
            self._known[raw] = head
        return head


def read_plain_head(raw: bytes) -> PlainHead | None:
    """The fields of a request without the empty line behind them; None if they are not plain."""
    fields: dict[str, str] = {}
    position = 0
    while position < len(raw):
        field = _FIELD.match(raw, position)
        if field is None:
            return None
        position = field.end()
        name = field[1].decode().lower()
        if name in fields:
            return None
        fields[name] = field[2].decode()
    if fields.pop("host", None) is None or fields.pop("connection", "keep-alive").lower() != "keep-alive":
        return None
    length = fields.pop("content-length", None)
    content_type = fields.pop("content-type", "")
    if not fields.keys() <= _IGNORED or not (length is None or _LENGTH.fullmatch(length)):
        return None
    try:
        checked_type = checked_content_type(content_type)
    except ProblemError:
        return None
    return PlainHead(None if length is None else int(length), checked_type)
