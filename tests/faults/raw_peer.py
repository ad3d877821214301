"""A peer that is no node: the true handshake, or a false one, and then whatever bytes a test likes."""

import socket
from base64 import b64encode
from contextlib import suppress
from os import urandom
from pathlib import Path
from struct import pack, unpack

from kvgossip.cli.local_cluster import NodeProcess
from kvgossip.model.ids import Address
from kvgossip.model.secret import ClusterSecret
from kvgossip.runtime.handshake import INSTANCE_BYTES, NONCE_BYTES, Hello, Opening

TIMEOUT_S = 5.0
BINARY, TEXT, CONTINUATION, PING = 2, 1, 0, 9
NOBODY = Address("127.0.0.1:9")
"""Where nobody listens: the node may try to dial us."""


def cluster_secret(node: NodeProcess) -> ClusterSecret:
    """The secret that the node was started with."""
    flags = node.command
    path = Path(flags[flags.index("--secret-file") + 1])
    return ClusterSecret.derive(flags[flags.index("--cluster") + 1], path.read_text().strip().encode())


class RawPeer:
    """A WebSocket to a node's peer listener, without a handshake yet."""

    def __init__(self, node: NodeProcess) -> None:
        host, port = node.peer.rsplit(":", 1)
        self._raw = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
        key = b64encode(urandom(16)).decode()
        self._raw.sendall(
            f"GET /v1/peer HTTP/1.1\r\nHost: {node.peer}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self._raw.recv(1)
            if not byte:
                raise ConnectionResetError("the node hung up")
            head += byte
        assert head.startswith(b"HTTP/1.1 101 "), head

    def shake_hands(self, secret: ClusterSecret, said: list[bytes] | None = None) -> None:
        """Raises ``HandshakeError`` if the node refuses. ``said`` takes the frames that were sent."""
        hello = Hello(secret.cluster, NOBODY, urandom(INSTANCE_BYTES), urandom(NONCE_BYTES))
        opening = Opening(hello, secret.handshake_key, is_dialler=True)
        frame = opening.start()
        while not opening.is_done:
            if frame is not None:
                self.send(frame)
                if said is not None:
                    said.append(frame)
            frame = opening.receive(self.receive())

    def send(
        self, data: bytes, *, opcode: int = BINARY, first_bits: int = 0x80, claimed: int | None = None
    ) -> None:
        """One WebSocket frame. ``claimed``: the length that its header tells, if that is a lie."""
        size = len(data) if claimed is None else claimed
        if size < 126:
            length = pack(">B", 0x80 | size)
        elif size < 1 << 16:
            length = pack(">BH", 0x80 | 126, size)
        else:
            length = pack(">BQ", 0x80 | 127, size)
        self.send_raw(bytes([first_bits | opcode]) + length + b"\0\0\0\0" + data)  # a mask of zeros

    def send_raw(self, data: bytes) -> None:
        """Never raises for a node that hung up: what it thinks is asked elsewhere."""
        with suppress(ConnectionError):
            self._raw.sendall(data)

    def receive(self) -> bytes:
        """The next binary frame. Raises ``ConnectionError`` if the node hung up instead."""
        while True:
            first, second = self._read(2)
            size = second & 0x7F
            if size == 126:
                (size,) = unpack(">H", self._read(2))
            elif size == 127:
                (size,) = unpack(">Q", self._read(8))
            data = self._read(size)
            if first & 0x0F == BINARY:
                return data
            if first & 0x0F == PING:
                self.send(data, opcode=10)

    def is_closed(self, timeout_s: float) -> bool:
        """True if the node hangs up in time, whatever it says before."""
        self._raw.settimeout(timeout_s)
        try:
            while True:
                self.receive()
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def close(self) -> None:
        self._raw.close()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._raw.recv(size - len(data))
            if not part:
                raise ConnectionResetError("the node hung up")
            data += part
        return data
