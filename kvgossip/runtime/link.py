"""One open connection to a peer: frames out of a queue, frames in to a callback, and a judgement of its life.

Two tasks: the reader, which is whoever runs the link, and one writer. All that is sent, pings and pongs
included, goes through the writer, so a reader never waits for a peer that does not read.

**Silence.** From the first frame written after the peer was last heard, a clock runs. After
``PING_AFTER_S`` a ping asks for a sign of life; after ``SILENCE_S`` without one the link is aborted, so that
the owner can dial anew, which notices the end of a partition at once. Bytes that arrive, or bytes of a
backlog that get acknowledged, start the clock again: a slow line is not a dead one (``tcp.py``). A link on
which nothing is written costs nothing.

Many frames want no answer. While the peer's kernel has acknowledged all that was written, the clock may run
``ACKNOWLEDGED_S`` longer, and mostly a frame comes meanwhile: so idle nodes send hardly any pings. A peer
that is frozen, or hides behind a proxy that acknowledges for it, is given up that much later.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import ClientError, WebSocketError, WSMessage, WSMsgType

from kvgossip.runtime import tcp
from kvgossip.runtime.faults import Faults
from kvgossip.runtime.handshake import Hello
from kvgossip.runtime.send_queue import SendQueue
from kvgossip.runtime.websocket import CLOSE_TIMEOUT_S, PeerSocket

PING_AFTER_S = 1.0
SILENCE_S = 3.0
ACKNOWLEDGED_S = 4.0
IDLE_S = 300.0
"""A link that carried no frame for this long is closed; the next frame opens another."""

_TURN_S = 0.001
"""After so much work on frames other tasks get a turn: a chunk from the network may hold thousands of small
ones, or some that each ask for a hundred entries."""
_FRAME_S = 30e-6
"""What a frame takes at least, with its way through aiohttp."""
_ENDED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


@dataclass(slots=True)
class LinkCounters:
    """Totals of all links since the start."""

    frames_sent: int = 0
    frame_bytes_sent: int = 0
    frames_received: int = 0
    frame_bytes_received: int = 0
    frames_malformed: int = 0
    """Too large, no binary frame, or no WebSocket frame at all. What is in a frame the replica judges."""
    links_silent: int = 0


class Link:
    """See the module. ``peer`` is proven."""

    def __init__(
        self,
        sock: PeerSocket,
        peer: Hello,
        queue: SendQueue,
        *,
        receive: Callable[["Link", bytes], None],
        faults: Faults | None,
        counters: LinkCounters,
        now_s: float,
    ) -> None:
        self.peer = peer
        self.opened_s = now_s
        self.is_lost = False
        """True once it ended otherwise than by a closing handshake: then frames may be lost."""
        self._sock = sock
        self._queue = queue
        self._receive = receive
        self._faults = faults
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._used_s = now_s
        self._silent_since_s: float | None = None
        self._progress = tcp.read_progress(sock.tcp_socket)
        self._is_acknowledged: bool | None = None
        """Whether the peer's kernel has all that was written; None before anybody looked."""
        self._is_closing = False
        self._is_ping_due = False
        self._is_pinged = False
        self._is_pong_due = False
        self._wakeup: asyncio.Future[None] | None = None

    @property
    def is_unanswered(self) -> bool:
        """True if nothing came since something was written."""
        return self._silent_since_s is not None

    @property
    def is_in_doubt(self) -> bool:
        """True if that was not even acknowledged when somebody last looked."""
        return self.is_unanswered and self._is_acknowledged is False

    @property
    def round_trip_s(self) -> float | None:
        """As the kernel measured it; None where it does not tell."""
        return tcp.read_round_trip_s(self._sock.tcp_socket)

    async def run(self) -> None:
        """Carry frames until the link ends. Never raises, but for cancellation."""
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer

    def wake(self) -> None:
        """Something is in the queue."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def note_written(self) -> None:
        """A frame has gone, or has vanished by injected fault: from now on a sign of life is expected."""
        if self._silent_since_s is None:
            self._silent_since_s = self._loop.time()
            self._progress = self._is_acknowledged = None

    def check_alive(self, now_s: float) -> bool:
        """Ping or abort a silent link. False if it was aborted. Call it a few times a second."""
        if self._silent_since_s is None:
            return True
        if now_s - self._silent_since_s < PING_AFTER_S / 2:
            return True  # most frames are answered by then, and to ask the kernel costs
        was_acknowledged = self._is_acknowledged
        if self._has_progressed() or (was_acknowledged and not self._is_acknowledged):
            self._silent_since_s = now_s
            self._is_pinged = False
        silence_s = now_s - self._silent_since_s - (ACKNOWLEDGED_S if self._is_acknowledged else 0.0)
        if silence_s >= SILENCE_S:
            self._counters.links_silent += 1
            self.abort()
            return False
        if silence_s >= PING_AFTER_S and not self._is_pinged:
            self._is_pinged = self._is_ping_due = True
            self.wake()
        return True

    def excuse(self, stall_s: float) -> None:
        """This node itself was asleep for so long: the peer is not to blame for that time."""
        if self._silent_since_s is not None:
            self._silent_since_s += stall_s

    def is_idle(self, now_s: float) -> bool:
        return not self._is_closing and now_s - self._used_s >= IDLE_S

    def abort(self) -> None:
        self.is_lost = True
        self._sock.abort()

    async def close(self) -> None:
        """End it in order, within ``CLOSE_TIMEOUT_S``; what is still queued is not sent."""
        self._is_closing = True
        with suppress(ClientError, OSError, TimeoutError, RuntimeError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._sock.close()
        self._sock.abort()

    def _has_progressed(self) -> bool:
        progress = tcp.read_progress(self._sock.tcp_socket)
        if progress is None:
            self._is_acknowledged = False
            return False
        last, self._progress = self._progress, progress
        self._is_acknowledged = not (progress.is_backlogged or self._is_cut())
        if last is None or self._is_deaf():
            return False
        if progress.bytes_received != last.bytes_received:
            return True
        return progress.is_backlogged and progress.bytes_acked != last.bytes_acked

    def _is_cut(self) -> bool:
        return self._faults is not None and self._faults.cuts(self.peer.address)

    def _is_deaf(self) -> bool:
        return self._faults is not None and self.peer.address in self._faults.dropping_from

    # -- the reader

    async def _read(self) -> None:
        worked_s = 0.0
        while True:
            message = await self._sock.receive()
            taken_s = time.monotonic()
            if message.type in _ENDED or message.type is WSMsgType.ERROR:
                self._note_end(message)
                return
            if self._faults is None or not self._faults.drops_from(self.peer.address):
                self._take(message)
            worked_s += max(time.monotonic() - taken_s, _FRAME_S)
            if worked_s >= _TURN_S:
                worked_s = 0.0
                await asyncio.sleep(0)

    def _take(self, message: WSMessage) -> None:
        self._silent_since_s = None
        self._is_pinged = False
        if message.type is WSMsgType.BINARY:
            self._counters.frames_received += 1
            self._counters.frame_bytes_received += len(message.data)
            self._used_s = self._loop.time()
            self._receive(self, message.data)
        elif message.type is WSMsgType.PING:
            self._is_pong_due = True
            self.wake()
        elif message.type is not WSMsgType.PONG:
            self._counters.frames_malformed += 1

    def _note_end(self, message: WSMessage) -> None:
        if message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
            self._counters.frames_malformed += 1
        if message.type in (WSMsgType.ERROR, WSMsgType.CLOSED) and not self._is_closing:
            self.is_lost = True

    # -- the writer

    async def _write(self) -> None:
        try:
            while True:
                if not await self._write_next():
                    self._wakeup = self._loop.create_future()
                    await self._wakeup
        except (ClientError, OSError, RuntimeError):
            self.abort()  # and the reader ends

    async def _write_next(self) -> bool:
        """Send what is most urgent. False if there is nothing."""
        if self._is_pong_due:
            self._is_pong_due = False
            if not self._vanishes():
                await self._sock.pong()
        elif self._is_ping_due:
            self._is_ping_due = False
            if not self._vanishes():
                await self._sock.ping()
        else:
            frame = self._queue.pop()
            if frame is None:
                return False
            self.note_written()
            if not self._vanishes():
                self._counters.frames_sent += 1
                self._counters.frame_bytes_sent += len(frame)
                self._used_s = self._loop.time()
                await self._sock.send_bytes(frame)
        return True

    def _vanishes(self) -> bool:
        return self._faults is not None and self._faults.drops_to(self.peer.address)
