"""What a cluster shares: its name, and keys derived from its secret.

Each use has a key of its own (BLAKE2b, keyed by the secret, over a label), so that nothing which one use
reveals helps against another.
"""

from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest

SECRET_BYTES_MIN = 16


@dataclass(frozen=True)
class ClusterSecret:
    """The derived keys. ``digest_seed``: 64 bits; the others: 32 bytes."""

    cluster: str
    digest_seed: int
    context_key: bytes
    handshake_key: bytes
    check: bytes
    """Kept in the data directory, to notice that the secret has changed. Reveals nothing."""

    @staticmethod
    def derive(cluster: str, secret: bytes | None) -> "ClusterSecret":
        """Keys of a cluster. Without a secret they come from its name: that guards against accidents only."""
        root = blake2b(secret or cluster.encode(), digest_size=32, person=b"kvgossip").digest()

        def key(label: bytes) -> bytes:
            return blake2b(label + b":" + cluster.encode(), key=root, digest_size=32).digest()

        return ClusterSecret(
            cluster=cluster,
            digest_seed=int.from_bytes(key(b"digest")[:8], "big"),
            context_key=key(b"context"),
            handshake_key=key(b"handshake"),
            check=key(b"check"),
        )


def mac(key: bytes, data: bytes) -> bytes:
    """A 16-byte message authentication code."""
    return blake2b(data, key=key, digest_size=16).digest()


def mac_is_valid(key: bytes, data: bytes, code: bytes) -> bool:
    """In constant time."""
    return compare_digest(mac(key, data), code)
