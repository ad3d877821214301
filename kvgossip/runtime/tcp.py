"""What TCP itself must do for a link, and what it knows of the link's life.

A connection whose packets are dropped on the way looks healthy to its user for minutes: retransmits come at
doubling pauses. So a link is judged by progress. A frame of 256 KiB takes eight seconds on a line of
256 kbit/s, and nothing is heard meanwhile; but its bytes are acknowledged, a few at a time, and that is
progress. Linux tells it (``TCP_INFO``, tcp(7)); elsewhere only whole frames count.
"""

import socket
import sys
from contextlib import suppress
from struct import Struct
from typing import NamedTuple, Protocol

USER_TIMEOUT_MS = 5_000
"""After this long without an acknowledgement the kernel gives up: the net under our own check."""
NOTSENT_BYTES_MAX = 128 << 10
"""Unsent bytes that the kernel takes before it says *not writable*: what it holds nothing can overtake."""

_INFO_BYTES = 160
_UNACKED = Struct("I")
_UNACKED_AT = 24
_ROUND_TRIP_AT = 68
_COUNTERS = Struct("QQ")
_COUNTERS_AT = 120
_NOTSENT_AT = 144


class Socket(Protocol):
    """What event loops hand out for a socket."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


class Progress(NamedTuple):
    """Byte counters of a connection. ``is_backlogged``: sent or waiting bytes are not acknowledged yet."""

    bytes_received: int
    bytes_acked: int
    is_backlogged: bool


def tune(sock: Socket | None) -> None:
    """Send at once, hold little, give up in seconds. What the platform does not know is left out."""
    if sock is None:
        return
    options = (
        ("TCP_NODELAY", 1),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("TCP_NOTSENT_LOWAT", NOTSENT_BYTES_MAX),
    )
    for name, value in options:
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError, ValueError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def read_progress(sock: Socket | None) -> Progress | None:
    """None where the platform does not tell, or the connection is gone."""
    info = _read_info(sock)
    if info is None:
        return None
    (unacked,) = _UNACKED.unpack_from(info, _UNACKED_AT)
    (notsent,) = _UNACKED.unpack_from(info, _NOTSENT_AT)
    acked, received = _COUNTERS.unpack_from(info, _COUNTERS_AT)
    return Progress(bytes_received=received, bytes_acked=acked, is_backlogged=bool(unacked or notsent))


def read_round_trip_s(sock: Socket | None) -> float | None:
    """The kernel's smoothed round-trip time; None where the platform does not tell."""
    info = _read_info(sock)
    if info is None:
        return None
    (round_trip_us,) = _UNACKED.unpack_from(info, _ROUND_TRIP_AT)
    return float(round_trip_us) / 1_000_000


def _read_info(sock: Socket | None) -> bytes | None:
    if sys.platform != "linux" or sock is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except (OSError, ValueError):  # uvloop's word for a closed one
        return None
    return info if len(info) >= _NOTSENT_AT + _UNACKED.size else None
