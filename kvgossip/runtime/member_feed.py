"""What happens among the members, told to whoever asked: streams of events over HTTP, and hooks in Python.

The replica notifies, the engine publishes here, on the event loop. A listener has a bounded queue: one that
does not keep up is dropped, and what it is told last is that. A hook is called at once, so it must be quick;
one that raises is written to the log and called again the next time. Nothing here can hold up the loop or
the other listeners.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from kvgossip.node.effects import Event, MemberEvent

EVENTS_WAITING_MAX = 1_024
"""Of one listener: some hundred members that go and come at once."""
LISTENERS_MAX = 64


class MemberEventKind(StrEnum):
    """Of other members; what a node does itself is no event to it."""

    JOIN = "join"
    """A member that this node had never heard of."""
    ALIVE = "alive"
    """From now on it is spoken to: new, back, or no longer suspected."""
    SUSPECT = "suspect"
    DOWN = "down"
    LEAVE = "leave"
    """It announced that it leaves."""
    CHANGE = "change"
    """What it says of itself is new: its start, addresses, zone, tags, version or health."""
    FORGET = "forget"


class EndReason(StrEnum):
    """Why a stream of events is over."""

    SLOW = "slow"
    STOPPING = "stopping"


Hook = Callable[[MemberEvent], None]

_KINDS = {
    "member-joined": MemberEventKind.JOIN,
    "member-alive": MemberEventKind.ALIVE,
    "member-suspect": MemberEventKind.SUSPECT,
    "member-down": MemberEventKind.DOWN,
    "member-left": MemberEventKind.LEAVE,
    "member-changed": MemberEventKind.CHANGE,
    "member-restarted": MemberEventKind.CHANGE,
    "member-forgotten": MemberEventKind.FORGET,
}


def kind_of(event: MemberEvent) -> MemberEventKind:
    return _KINDS[event.name]


class Listener:
    """One stream: its events in order, then the reason of its end."""

    def __init__(self, kinds: frozenset[MemberEventKind]) -> None:
        self.kinds = kinds
        self.ended: EndReason | None = None
        """Set once nothing more will be queued."""
        self._waiting: deque[MemberEvent] = deque()
        self._has_news = asyncio.Event()

    async def next(self, timeout_s: float) -> MemberEvent | None:
        """None after ``timeout_s`` without any, or when the stream has ended and all was taken."""
        if not self._waiting and self.ended is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_news.wait(), timeout_s)
        self._has_news.clear()
        return self._waiting.popleft() if self._waiting else None

    @property
    def is_over(self) -> bool:
        return self.ended is not None and not self._waiting

    def push(self, event: MemberEvent) -> None:
        if self.ended is not None:
            return
        if len(self._waiting) >= EVENTS_WAITING_MAX:
            self.end(EndReason.SLOW)
            return
        self._waiting.append(event)
        self._has_news.set()

    def end(self, reason: EndReason) -> None:
        self.ended = self.ended or reason
        self._has_news.set()


class MemberFeed:
    """All listeners and hooks of one node."""

    def __init__(self, write_event: Callable[[Event], None]) -> None:
        self._write_event = write_event
        self._hooks: dict[MemberEventKind, list[Hook]] = {kind: [] for kind in MemberEventKind}
        self._listeners: list[Listener] = []
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        return len(self._listeners) >= LISTENERS_MAX

    def add_hook(self, kind: MemberEventKind, hook: Hook) -> None:
        self._hooks[kind].append(hook)

    def listen(self, kinds: frozenset[MemberEventKind]) -> Listener:
        """Hand it back to ``unlisten``."""
        listener = Listener(kinds)
        if self._is_closed:
            listener.end(EndReason.STOPPING)
        self._listeners.append(listener)
        return listener

    def unlisten(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    def publish(self, event: MemberEvent) -> None:
        """Never raises."""
        kind = kind_of(event)
        for listener in self._listeners:
            if kind in listener.kinds:
                listener.push(event)
        for hook in tuple(self._hooks[kind]):
            try:
                hook(event)
            except Exception:
                fields: dict[str, str | int] = {"kind": kind.value, "trace": traceback.format_exc()}
                self._write_event(Event("member-hook-failed", fields))

    def close(self) -> None:
        """End all streams: the node stops."""
        self._is_closed = True
        for listener in self._listeners:
            listener.end(EndReason.STOPPING)
