"""``/v1/cluster/events`` and ``/gossip/on-…``: what happens among the members, as server-sent events.

    event: down
    data: {"kind": "down", "name": "n2", …}

A stream begins with a comment, so a client knows at once that it listens, and has another one while nothing
happens. Nothing is repeated: a client that was away asks ``/v1/cluster/members`` once it listens again. The
last event is ``end``, with the reason: the node stops, or the client did not keep up.

Source: WHATWG HTML, "Server-sent events".
"""

import json

from aiohttp import web

from kvgossip.api.answer import Json
from kvgossip.api.health import check_ready
from kvgossip.api.member_json import event_json
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.stream import Stream
from kvgossip.runtime.member_feed import LISTENERS_MAX, MemberEventKind
from kvgossip.runtime.node import Node

KEEP_ALIVE_S = 15.0
"""Below the time-out of the usual proxies, and of the command line."""
MEDIA = "text/event-stream"
_RETRY = b": listening\nretry: 1000\n\n"
_NOTHING_NEW = b": nothing new\n\n"


class EventStream:
    """The handler of one path: the events of some kinds."""

    def __init__(self, *kinds: MemberEventKind) -> None:
        self._kinds = frozenset(kinds)

    async def __call__(self, node: Node, request: web.BaseRequest) -> web.StreamResponse:
        check_ready(node)
        feed = node.member_feed
        if feed.is_full:
            raise ProblemError(
                Problem.TOO_MANY_LISTENERS, f"{LISTENERS_MAX} streams of events are open: close some"
            )
        stream = Stream(node, 200, {"Content-Type": MEDIA, "Cache-Control": "no-store"})
        if request.method == "HEAD":
            await stream.prepare(request)
            return stream
        listener = feed.listen(self._kinds)
        try:
            stream.force_close()  # where it ends, the connection ends
            await stream.prepare(request)
            await stream.write(_RETRY)
            while not listener.is_over:
                event = await listener.next(KEEP_ALIVE_S)
                if event is not None:
                    document = event_json(event)
                    assert isinstance(document, dict)
                    await stream.write(_encode(str(document["kind"]), document))
                elif listener.ended is None:
                    await stream.write(_NOTHING_NEW)
            assert listener.ended is not None
            await stream.write(_encode("end", {"kind": "end", "reason": listener.ended.value}))
            await stream.write_eof()
        finally:
            feed.unlisten(listener)
        return stream


def _encode(kind: str, document: Json) -> bytes:
    """JSON has no line break outside of texts, and escapes it there: one line of data is enough."""
    return f"event: {kind}\ndata: {json.dumps(document)}\n\n".encode()


every = EventStream(*MemberEventKind)
on_join = EventStream(MemberEventKind.JOIN)
on_alive = EventStream(MemberEventKind.ALIVE)
on_dead = EventStream(MemberEventKind.DOWN)
on_change = EventStream(MemberEventKind.CHANGE)
