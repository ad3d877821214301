"""The Merkle tree over the hashes of keys. (Under construction: the interface that others build on.)"""

from typing import NamedTuple


class Fingerprint(NamedTuple):
    """Of a range of hashes: the sum (mod 2**128) of its entry digests, and how many rows there are."""

    sum: int
    row_count: int


class MerkleTree:
    @property
    def root(self) -> Fingerprint:
        raise NotImplementedError
