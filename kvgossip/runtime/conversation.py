"""Carries one opening handshake over a WebSocket, from the first frame to the last."""

from collections.abc import Awaitable, Callable

from aiohttp import WebSocketError, WSMsgType

from kvgossip.runtime.handshake import HandshakeError, Hello, Opening, encode_refusal
from kvgossip.runtime.websocket import PeerSocket


async def converse(sock: PeerSocket, opening: Opening, check: Callable[[Opening], Awaitable[None]]) -> Hello:
    """The proven peer. ``check`` is called after each frame that was taken, before its answer; it may raise.

    Raises ``HandshakeError`` (the peer was told, unless it said so itself), ``OSError``, ``ClientError``.
    Then the connection is gone.
    """
    try:
        frame = opening.start()
        while True:
            if frame is not None:
                await sock.send_bytes(frame)
            if opening.is_done:
                # The last send did not suspend (a few bytes never fill a buffer), so nothing happens between
                # it and the caller, who opens the link. The rule about duplicates needs that.
                assert opening.peer is not None
                return opening.peer
            frame = opening.receive(await receive_frame(sock))
            await check(opening)
    except HandshakeError as error:
        if not error.is_said_by_peer:
            await sock.send_bytes(encode_refusal(error))
            await sock.close()
        sock.abort()
        raise
    except BaseException:
        sock.abort()
        raise


async def receive_frame(sock: PeerSocket) -> bytes:
    """The next binary frame. Raises ``HandshakeError`` for any other, ``ConnectionResetError`` at the end."""
    message = await sock.receive()
    if message.type is WSMsgType.BINARY:
        data: bytes = message.data
        return data
    if message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
        raise HandshakeError("what it sent is no WebSocket frame, or too large")
    if message.type in (WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG):
        raise HandshakeError("a handshake has binary frames only")
    raise ConnectionResetError("the peer closed the connection")
