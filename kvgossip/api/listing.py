"""``/v1/kv`` and ``/v1/mv``: the keys of a kind in order of their bytes, page by page.

A page is a walk over committed rows from a position, in steps that are bounded in rows and bytes, with other
work of the node between them. What is deleted or has expired is walked over. A page ends at its limit or when
it has walked far enough, so it may be short or even empty: only the absence of a cursor ends a listing.

A cursor is a position among the keys and nothing else, so it survives writes and restarts and holds on every
node. Pages are no snapshot: each shows what is there when it is read.
"""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field

from aiohttp import web

from kvgossip.api.answer import Answer, Json
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.query import Query, read_flag
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, Kind, name_of
from kvgossip.model.kv import KvEntry
from kvgossip.model.value import DEFAULT_CONTENT_TYPE, Value
from kvgossip.runtime.node import Node

PARAMETERS = ("prefix", "start", "end", "limit", "reverse", "cursor", "keys", "separator")
LIST_LIMIT_DEFAULT = 100
LIST_LIMIT_MAX = 1_000
LIST_ROWS_MAX = 20_000
"""Rows that one page walks over: half a second."""
LIST_BYTES_MAX = 64 << 20
"""... and bytes of values that it reads."""
_STEP_ROWS = 256
_STEP_BYTES = 1 << 20

_CURSOR_FORMAT = 1
_REVERSE = 0x80
_CURSOR_CHARS_MAX = 2_048


@dataclass(slots=True)
class _Walk:
    """What is still to be walked over: ``low <= key < high``, from ``high`` down if ``reverse``."""

    low: Key
    high: Key
    reverse: bool

    def holds(self, key: Key) -> bool:
        return self.low <= key < self.high

    def pass_over(self, prefix: bytes, *, is_key: bool) -> None:
        """Go on behind a key, or behind all keys that start with ``prefix``."""
        if self.reverse:
            self.high = Key(prefix)
        else:
            self.low = Key(prefix + b"\0") if is_key else _behind(prefix)

    def cursor(self) -> str:
        head = bytes([_CURSOR_FORMAT | (_REVERSE if self.reverse else 0)])
        return urlsafe_b64encode(head + (self.high if self.reverse else self.low)).decode().rstrip("=")

    def resume(self, cursor: str) -> None:
        """Raises ``ProblemError`` (400) for what is no cursor of a listing over this range."""
        position = _decode_cursor(cursor, reverse=self.reverse)
        if not self.low <= position <= self.high:
            raise ProblemError(
                Problem.BAD_CURSOR,
                "the cursor belongs to another listing: send it with the parameters that it was given for",
            )
        if self.reverse:
            self.high = position
        else:
            self.low = position


@dataclass(slots=True)
class _Page:
    """What one answer shows."""

    limit: int
    keys_only: bool
    prefix_bytes: int
    """Of the key: the kind and the prefix that was asked for."""
    separator: bytes
    items: list[Json] = field(default_factory=list)

    def take(self, walk: _Walk, key: Key, entry: Entry, etag: str, now_ms: int) -> bool:
        """Show a row if it has a live value. False if it would be one too many."""
        values = _live_values(entry, now_ms)
        if not values:
            walk.pass_over(key, is_key=True)
            return True
        if len(self.items) == self.limit:
            return False
        at = key.find(self.separator, self.prefix_bytes) if self.separator else -1
        if at >= 0:
            folder = key[: at + len(self.separator)]
            self.items.append(folder[1:].decode())
            walk.pass_over(folder, is_key=False)
            return True
        name = name_of(key).decode()
        self.items.append(name if self.keys_only else _item(name, entry, etag, values))
        walk.pass_over(key, is_key=True)
        return True


async def get(node: Node, request: web.BaseRequest, kind: Kind, query: Query) -> Answer:
    walk, page = _read_walk(kind, query), _read_page(query)
    more = await _fill(node, walk, page)
    document = {
        "keys" if page.keys_only else "items": page.items,
        "cursor": walk.cursor() if more else None,
    }
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(document).encode() + b"\n")


async def _fill(node: Node, walk: _Walk, page: _Page) -> bool:
    """True if there may be more behind the page."""
    replica = node.replica
    now_ms = replica.wall_ms(node.now())
    rows_left, bytes_left = LIST_ROWS_MAX, LIST_BYTES_MAX
    while walk.low < walk.high:
        rows = replica.scan(
            walk.low, walk.high, rows_max=_STEP_ROWS, bytes_max=_STEP_BYTES, reverse=walk.reverse
        )
        if not rows:
            return False
        for key, entry, etag in rows:
            if walk.holds(key) and not page.take(walk, key, entry, etag, now_ms):
                return True
            bytes_left -= sum(len(value.body) for value in _live_values(entry, 0))
        rows_left -= len(rows)
        if rows_left <= 0 or bytes_left <= 0:
            return True
        await asyncio.sleep(0)
    return False


def _read_walk(kind: Kind, query: Query) -> _Walk:
    head = bytes([kind])
    prefix = head + query.get("prefix", "").encode()
    low, high = prefix, _behind(prefix)
    if "start" in query:
        low = max(low, head + query["start"].encode())
    if "end" in query:
        high = min(high, Key(head + query["end"].encode()))
    walk = _Walk(Key(low), high, read_flag(query, "reverse"))
    if "cursor" in query:
        walk.resume(query["cursor"])
    return walk


def _read_page(query: Query) -> _Page:
    text = query.get("limit", str(LIST_LIMIT_DEFAULT))
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    if not (is_number and 0 < int(text) <= LIST_LIMIT_MAX):
        raise ProblemError(
            Problem.BAD_PARAMETER,
            f"limit is a number from 1 to {LIST_LIMIT_MAX}",
            limit="list_limit_max",
            limit_value=LIST_LIMIT_MAX,
        )
    keys_only = read_flag(query, "keys")
    separator = query.get("separator", "")
    if "separator" in query and not (keys_only and separator):
        raise ProblemError(
            Problem.BAD_PARAMETER, "separator goes with keys and is not empty: keys&separator=/"
        )
    prefix_bytes = 1 + len(query.get("prefix", "").encode())
    return _Page(int(text), keys_only, prefix_bytes, separator.encode())


def _decode_cursor(text: str, *, reverse: bool) -> Key:
    try:
        if len(text) > _CURSOR_CHARS_MAX:
            raise ValueError
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        canonical = urlsafe_b64encode(raw).decode().rstrip("=")
    except (Base64Error, ValueError):
        raw, canonical = b"", ""
    head = _CURSOR_FORMAT | (_REVERSE if reverse else 0)
    if canonical != text or raw[:1] != bytes([head]):
        raise ProblemError(
            Problem.BAD_CURSOR,
            "the cursor is none that a node gave out for a listing in this direction: send it back unchanged",
        )
    return Key(raw[1:])


def _behind(prefix: bytes) -> Key:
    """The least bound above every key that starts with ``prefix``. UTF-8 has no byte 0xff to carry over."""
    return Key(prefix[:-1] + bytes([prefix[-1] + 1]))


def _live_values(entry: Entry, now_ms: int) -> list[Value]:
    """What a read sees, the latest last."""
    if isinstance(entry, KvEntry):
        value = entry.live(now_ms)
        return [] if value is None else [value]
    siblings = sorted(entry.live(now_ms), key=lambda sibling: sibling.stamp)
    return [sibling.value for sibling in siblings if sibling.value is not None]


def _item(name: str, entry: Entry, etag: str, values: list[Value]) -> Json:
    item: dict[str, Json] = {
        "key": name,
        "etag": f'"{etag}"',
        "size": sum(len(value.body) for value in values),
        "type": values[-1].content_type or DEFAULT_CONTENT_TYPE,
    }
    if not isinstance(entry, KvEntry):
        item["siblings"] = len(values)
    return item
