"""Key hashes, entry digests and fingerprints: XXH3, seeded from the cluster secret.

XXH3 is not collision resistant against an adversary who knows the seed. The seed stops accidents and
guessing; a peer that holds the secret and lies is not stopped by any digest.
"""

from xxhash import xxh3_64_intdigest, xxh3_128_hexdigest, xxh3_128_intdigest

from kvgossip.model.ids import Key

DIGEST_MASK = (1 << 128) - 1


def key_hash(seed: int, key: Key) -> int:
    """64 bits: where a key lies in the Merkle tree."""
    hashed: int = xxh3_64_intdigest(key, seed)
    return hashed


def entry_digest(seed: int, key: Key, data: bytes) -> int:
    """128 bits over kind, key and stored bytes (which hold version, tombstone flag and value)."""
    digest: int = xxh3_128_intdigest(b"%d:%b%b" % (len(key), key, data), seed)
    return digest


def entry_version(seed: int, key: Key, data: bytes) -> str:
    """``entry_digest`` in 32 hexadecimal digits: the name of a version, equal where the entries are."""
    version: str = xxh3_128_hexdigest(b"%d:%b%b" % (len(key), key, data), seed)
    return version


def bytes_digest(seed: int, data: bytes) -> int:
    """128 bits over anything else, such as an encoded clock."""
    digest: int = xxh3_128_intdigest(data, seed)
    return digest
