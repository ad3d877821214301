"""The opening handshake of a connection between two peers, as a state machine over bytes.

    dialler                                  acceptor
    HELLO  version, cluster, address, nonce ->
                                         <-  ANSWER  the same of the acceptor, and its proof
    PROOF                                ->
                                         <-  WELCOME

A *proof* is a MAC under the cluster's handshake key over the role of its maker and both hellos as they were
on the wire. So it cannot be replayed (both nonces are fresh), reflected (the role is in it), or used to join
two clusters (the names are in it). Either side may answer with REFUSE and a reason for people, and does so
before it reveals a proof to another cluster or wire version: the first eleven bytes of a HELLO and the REFUSE
frame are the same in all versions. DUPLICATE, in place of PROOF or WELCOME, says that another link between
the two has opened meanwhile. All of it shows that a peer holds the secret, and which address it advertises;
which replica lives there is said, and judged, above.

Each start of a process draws an *instance number*. A node that reaches itself by a name it did not know for
its own sees it in the ANSWER.
"""

from dataclasses import dataclass
from enum import Enum
from struct import Struct

from kvgossip.config import WIRE_VERSION
from kvgossip.errors import RemoteError
from kvgossip.model.ids import Address
from kvgossip.model.member import ADDRESS_CHARS_MAX
from kvgossip.model.secret import mac, mac_is_valid

NONCE_BYTES = 32
INSTANCE_BYTES = 16
HANDSHAKE_BYTES_MAX = 1_024
"""No frame of a handshake is larger: two names of at most 262 characters, two numbers, a proof."""
REASON_CHARS_MAX = 200

_MAGIC = b"kvgossip"
_VERSION = Struct(">H")
_LENGTHS = Struct(">HH")
_MAC_BYTES = 16


class HandshakeError(RemoteError):
    """The peer and this node do not belong together; no link exists. ``reason`` is for people."""

    def __init__(self, reason: str, *, peer: Address | None = None, is_said_by_peer: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.peer = peer
        """The address that the peer claimed, if it came that far. Unproven."""
        self.is_said_by_peer = is_said_by_peer


class SelfReachedError(HandshakeError):
    """The address leads to this very process."""


class DuplicateLinkError(HandshakeError):
    """The two nodes have a link already: use that one. No failure."""


class _Frame(Enum):
    HELLO = b"\x01"
    ANSWER = b"\x02"
    PROOF = b"\x03"
    WELCOME = b"\x04"
    REFUSE = b"\x05"
    DUPLICATE = b"\x06"


@dataclass(frozen=True, slots=True)
class Hello:
    """How a node introduces itself. The nonce is drawn for each connection."""

    cluster: str
    address: Address
    instance: bytes
    nonce: bytes

    def encode(self) -> bytes:
        cluster, address = self.cluster.encode(), self.address.encode()
        lengths = _LENGTHS.pack(len(cluster), len(address))
        version = _VERSION.pack(WIRE_VERSION)
        return b"".join((_MAGIC, version, self.nonce, self.instance, lengths, cluster, address))

    @staticmethod
    def decode(raw: bytes) -> "Hello":
        """Total: raises ``HandshakeError`` for anything that is no hello of this wire version."""
        if not raw.startswith(_MAGIC) or len(raw) < len(_MAGIC) + _VERSION.size:
            raise HandshakeError("what it sent is no hello of a kvgossip node")
        (version,) = _VERSION.unpack_from(raw, len(_MAGIC))
        if version != WIRE_VERSION:
            raise HandshakeError(
                f"it speaks wire version {version} and this node {WIRE_VERSION}: upgrade the older one"
            )
        nonce_at = len(_MAGIC) + _VERSION.size
        instance_at = nonce_at + NONCE_BYTES
        lengths_at = instance_at + INSTANCE_BYTES
        cluster_at = lengths_at + _LENGTHS.size
        if len(raw) < cluster_at:
            raise HandshakeError("its hello is cut short")
        cluster_length, address_length = _LENGTHS.unpack_from(raw, lengths_at)
        address_at = cluster_at + cluster_length
        if len(raw) != address_at + address_length:
            raise HandshakeError("its hello has lengths that do not add up")
        try:
            cluster, address = raw[cluster_at:address_at].decode(), raw[address_at:].decode()
        except UnicodeDecodeError:
            raise HandshakeError("its hello is no text") from None
        if (
            not 0 < len(address) <= ADDRESS_CHARS_MAX
            or not address.isprintable()
            or not cluster.isprintable()
        ):
            raise HandshakeError("its cluster name or address is empty, too long or not printable")
        nonce, instance = raw[nonce_at:instance_at], raw[instance_at:lengths_at]
        return Hello(cluster=cluster, address=Address(address), instance=instance, nonce=nonce)


class Opening:
    """One side of one handshake. Feed it frames; send what it returns; ``is_done`` means a link is open.

    After a ``HandshakeError`` it is of no more use; send ``encode_refusal`` unless the peer said it.
    """

    def __init__(self, mine: Hello, key: bytes, *, is_dialler: bool) -> None:
        self.is_done = False
        self.peer: Hello | None = None
        """Proven once ``is_done``; a claim before."""
        self._mine = mine
        self._mine_raw = mine.encode()
        self._peer_raw = b""
        self._key = key
        self._is_dialler = is_dialler
        self._expected = _Frame.ANSWER if is_dialler else _Frame.HELLO

    def start(self) -> bytes | None:
        """The first frame; None for the acceptor, who waits."""
        return _Frame.HELLO.value + self._mine_raw if self._is_dialler else None

    def receive(self, frame: bytes) -> bytes | None:
        """Take the peer's next frame and return the answer to it, if there is one.

        Raises ``HandshakeError`` (the peer's fault, or two nodes that do not belong together).
        """
        if len(frame) > HANDSHAKE_BYTES_MAX:
            raise self._error(f"a handshake frame has at most {HANDSHAKE_BYTES_MAX} bytes, not {len(frame)}")
        kind, body = frame[:1], frame[1:]
        if kind == _Frame.REFUSE.value:
            raise self._error(_decode_reason(body), is_said_by_peer=True)
        if kind == _Frame.DUPLICATE.value and self._expected in (_Frame.PROOF, _Frame.WELCOME):
            peer = self.peer.address if self.peer is not None else None
            raise DuplicateLinkError("a link is open already", peer=peer, is_said_by_peer=True)
        if kind != self._expected.value or self.is_done:
            raise self._error(f"frame {kind.hex() or 'empty'} came where {self._expected.name} was due")
        match self._expected:
            case _Frame.HELLO:
                return self._receive_hello(body)
            case _Frame.ANSWER:
                return self._receive_answer(body)
            case _Frame.PROOF:
                self._check_proof(body)
                self.is_done = True
                return _Frame.WELCOME.value
            case _:
                self.is_done = True
                return None

    def _receive_hello(self, body: bytes) -> bytes:
        self._adopt(body)
        self._expected = _Frame.PROOF
        return _Frame.ANSWER.value + self._proof(is_dialler=False) + self._mine_raw

    def _receive_answer(self, body: bytes) -> bytes:
        self._adopt(body[_MAC_BYTES:])
        self._check_proof(body[:_MAC_BYTES])
        assert self.peer is not None
        if self.peer.instance == self._mine.instance:
            raise SelfReachedError("the address is this node's own", peer=self.peer.address)
        self._expected = _Frame.WELCOME
        return _Frame.PROOF.value + self._proof(is_dialler=True)

    def _adopt(self, raw: bytes) -> None:
        """Take the peer's hello, unless it belongs elsewhere."""
        self.peer = Hello.decode(raw)
        self._peer_raw = raw
        if self.peer.cluster != self._mine.cluster:
            theirs = _printable(self.peer.cluster)
            raise self._error(f"it belongs to cluster {theirs!r} and this node to {self._mine.cluster!r}")
        if self.peer.address == self._mine.address and self.peer.instance != self._mine.instance:
            raise self._error(
                f"two nodes advertise {self._mine.address}: give each an --advertise-peer of its own"
            )

    def _proof(self, *, is_dialler: bool) -> bytes:
        return mac(self._key, self._proven(is_dialler=is_dialler))

    def _check_proof(self, proof: bytes) -> None:
        if not mac_is_valid(self._key, self._proven(is_dialler=not self._is_dialler), proof):
            raise self._error("it does not hold this cluster's secret: compare --secret-file on both nodes")

    def _proven(self, *, is_dialler: bool) -> bytes:
        """What the proof of the dialler, or else of the acceptor, speaks for."""
        mine, peer = self._mine_raw, self._peer_raw
        dialler, acceptor = (mine, peer) if self._is_dialler else (peer, mine)
        role = b"dialler" if is_dialler else b"acceptor"
        return b"%b:%d:%b%b" % (role, len(dialler), dialler, acceptor)

    def _error(self, reason: str, *, is_said_by_peer: bool = False) -> HandshakeError:
        peer = self.peer.address if self.peer is not None else None
        return HandshakeError(reason, peer=peer, is_said_by_peer=is_said_by_peer)


def encode_refusal(error: HandshakeError) -> bytes:
    """The frame that tells the peer why."""
    if isinstance(error, DuplicateLinkError):
        return _Frame.DUPLICATE.value
    return _Frame.REFUSE.value + error.reason[:REASON_CHARS_MAX].encode()


def _decode_reason(body: bytes) -> str:
    return _printable(body.decode(errors="replace")) or "it gave no reason"


def _printable(text: str) -> str:
    return "".join(char for char in text[:REASON_CHARS_MAX] if char.isprintable())
