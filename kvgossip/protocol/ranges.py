"""Ranges of key hashes, and how two nodes describe theirs to each other.

A range is all hashes with given first bits. It is described in one of two ways: by the fingerprints of its
children, or, where that is no dearer or saves a round, by its rows. Fingerprints
and digests are truncated to 32 bits and blinded by the salt of the exchange: a false match costs one period,
because the next exchange has another salt. Only equal roots, of 128 bits, end it for good.

The levels are at 0, 8, 12, 16, … bits: with a fan-out of 16 a difference is found in fewer messages than with
one of 4, for about the same bytes (``docs/adr/0005``; figures by ``python -m bench exchange``).
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from kvgossip.errors import RemoteError

FIRST_BITS = 8
STEP_BITS = 4
HASH_BITS = 64
PRINT_BYTES = 4
DIGEST_BITS = 32

_RANGE = struct.Struct(">QB")
_MS_BITS = 48
_DIGEST_AND_MS_BYTES = (DIGEST_BITS + _MS_BITS) // 8

ROWS_AS_CHEAP_AS_CHILDREN = PRINT_BYTES * (1 << STEP_BITS) // (_DIGEST_AND_MS_BYTES + 7)

Listed = dict[int, dict[int, int]]
"""Rows as they are listed: at each hash the salted digests, each with its milliseconds (0: it has none)."""


class Range(NamedTuple):
    """Hashes whose first ``bits`` bits are ``prefix``."""

    prefix: int
    bits: int

    @property
    def first(self) -> int:
        return self.prefix << (HASH_BITS - self.bits)

    @property
    def last(self) -> int:
        return ((self.prefix + 1) << (HASH_BITS - self.bits)) - 1

    @property
    def child_bits(self) -> int:
        """The next level below; 64 is the last."""
        return FIRST_BITS if self.bits == 0 else min(self.bits + STEP_BITS, HASH_BITS)

    @property
    def child_count(self) -> int:
        return 1 << (self.child_bits - self.bits)

    def child(self, index: int) -> "Range":
        return Range((self.prefix << (self.child_bits - self.bits)) + index, self.child_bits)


WHOLE = Range(0, 0)


def pack_ranges(ranges: list[Range]) -> bytes:
    return b"".join(_RANGE.pack(*r) for r in ranges)


def unpack_ranges(packed: bytes) -> list[Range]:
    """Raises ``RemoteError``."""
    return [checked_range(prefix, bits) for prefix, bits in _RANGE.iter_unpack(packed)]


def pack_pairs(pairs: list[tuple[int, int]]) -> bytes:
    """Bounds of hashes, as a ``Fetch`` names them."""
    return b"".join(bound.to_bytes(8, "big") for pair in pairs for bound in pair)


def unpack_pairs(packed: bytes) -> list[tuple[int, int]]:
    hashes = unpack_hashes(packed)
    return list(zip(hashes[::2], hashes[1::2], strict=True))


def unpack_hashes(packed: bytes) -> list[int]:
    return [int.from_bytes(packed[at : at + 8], "big") for at in range(0, len(packed), 8)]


def checked_range(prefix: int, bits: int) -> Range:
    """A range that a peer named: one of the levels, and within them. Raises ``RemoteError``."""
    if bits > HASH_BITS or bits % STEP_BITS or bits == STEP_BITS or prefix >> bits:
        raise RemoteError(f"no range of the tree: prefix {prefix} of {bits} bits")
    return Range(prefix, bits)


def pack_rows(r: Range, rows: Iterable[tuple[int, int, int]]) -> bytes:
    """Rows of a range: the hash, the salted digest and the milliseconds of each."""
    length, first = _row_bytes(r), r.first
    return b"".join(
        ((hashed - first) << (DIGEST_BITS + _MS_BITS) | digest << _MS_BITS | ms).to_bytes(length, "big")
        for hashed, digest, ms in rows
    )


def unpack_rows(r: Range, packed: bytes) -> Listed:
    """The rows that a peer listed. Raises ``RemoteError``."""
    length, first = _row_bytes(r), r.first
    if len(packed) % length:
        raise RemoteError(f"a list of {len(packed)} bytes is no list of rows of {length} bytes")
    rows: Listed = {}
    for at in range(0, len(packed), length):
        row = int.from_bytes(packed[at : at + length], "big")
        hashed = first + (row >> (DIGEST_BITS + _MS_BITS))
        if hashed > r.last:
            raise RemoteError("a listed row lies outside its range")
        rows.setdefault(hashed, {})[row >> _MS_BITS & (1 << DIGEST_BITS) - 1] = row & (1 << _MS_BITS) - 1
    return rows


def _row_bytes(r: Range) -> int:
    """Of a listed row: of its hash, only the bytes that the range leaves open."""
    return (HASH_BITS - r.bits + 7) // 8 + _DIGEST_AND_MS_BYTES


def is_later(these: dict[int, int], those: dict[int, int]) -> bool:
    """True if the one row of ``these`` at a hash supersedes the one of ``those``, by the milliseconds.

    Of two keys with one hash they tell nothing: then one side has the other's row too by the next
    exchange, and more than one row is never judged here.
    """
    if len(these) != 1 or len(those) != 1:
        return False
    [this], [that] = these.values(), those.values()
    return this > that > 0
