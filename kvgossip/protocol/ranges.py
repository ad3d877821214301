"""Ranges of key hashes, and how two nodes describe theirs to each other.

A range is all hashes with given first bits. It is described in one of two ways: by the fingerprints of its
children, or, where that is no dearer or saves a round, by its rows. Fingerprints
and digests are truncated to 32 bits and blinded by the salt of the exchange: a false match costs one period,
because the next exchange has another salt. Only equal roots, of 128 bits, end it for good.

The levels are at 0, 8, 12, 16, … bits: with a fan-out of 16 a difference is found in fewer messages than with
one of 4, for about the same bytes (``docs/adr/0005``; figures by ``python -m bench exchange``).
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from xxhash import xxh3_64_digest, xxh3_64_intdigest

from kvgossip.errors import RemoteError
from kvgossip.model.encoding import peek_stamp
from kvgossip.model.stamp import stamp_ms
from kvgossip.store.base import HashRow, Store
from kvgossip.store.merkle import Fingerprint
from kvgossip.wire.messages import RangeChildren, RangeRows

FIRST_BITS = 8
STEP_BITS = 4
HASH_BITS = 64
TIED_ROWS_MAX = 4_096
"""A single hash cannot be split: all keys that share it are listed, up to this many."""

_SUM_AND_COUNT = struct.Struct(">16sQ")
_RANGE = struct.Struct(">QB")
_PRINT_BYTES = 4
_DIGEST_BITS = 32
_MS_BITS = 48
_DIGEST_AND_MS_BYTES = (_DIGEST_BITS + _MS_BITS) // 8

ROWS_AS_CHEAP_AS_CHILDREN = _PRINT_BYTES * (1 << STEP_BITS) // (_DIGEST_AND_MS_BYTES + 7)

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


class RangeView:
    """The committed rows of this node, as one exchange describes them."""

    def __init__(self, store: Store, salt: int, *, rows_listed_max: int) -> None:
        self._store = store
        self._salt = salt
        self._rows_listed_max = rows_listed_max
        self.empty = self._blind(Fingerprint(0, 0))

    def row_count(self, r: Range) -> int:
        return self._store.fingerprint(r.prefix, r.bits).row_count

    def children(self, r: Range) -> bytes:
        """The packed fingerprints of the children of a range, 4 bytes each."""
        return b"".join(self._blind(f) for f in self._store.children(r.prefix, r.bits, r.child_bits))

    def rows(self, r: Range) -> list[HashRow]:
        """All rows of a range that is small enough to be listed; one row too many of a larger one."""
        rows_max = self._rows_listed_max + 1 if r.bits < HASH_BITS else TIED_ROWS_MAX
        return self._store.scan_hashes(r.first, r.last, rows_max=rows_max)

    def row_digest(self, row: HashRow) -> int:
        """32 bits for a digest of 128."""
        digest: int = xxh3_64_intdigest(row.digest.to_bytes(16, "big"), self._salt) >> (64 - _DIGEST_BITS)
        return digest

    def listed(self, rows: list[HashRow]) -> Listed:
        """Rows as the other side would list them."""
        listed: Listed = {}
        for row in rows:
            listed.setdefault(row.hash, {})[self.row_digest(row)] = self._ms_of(row)
        return listed

    def describe(self, ranges: Sequence[Range]) -> tuple[tuple[RangeChildren, ...], tuple[RangeRows, ...]]:
        """Each range by its children or by its rows.

        Rows settle a range in this round. If another one is too large for that, there will be a further round
        anyway: then a range is listed only where that is no dearer than to split it.
        """
        row_counts = [0 if r.bits == HASH_BITS else self.row_count(r) for r in ranges]
        listed_max = self._rows_listed_max
        if any(row_count > listed_max for row_count in row_counts):
            listed_max = min(listed_max, ROWS_AS_CHEAP_AS_CHILDREN)
        children: list[RangeChildren] = []
        rows: list[RangeRows] = []
        for r, row_count in zip(ranges, row_counts, strict=True):
            if row_count > listed_max:
                children.append(RangeChildren(r.prefix, r.bits, self.children(r)))
            else:
                rows.append(RangeRows(r.prefix, r.bits, self._pack_rows(r)))
        return tuple(children), tuple(rows)

    def differing_children(self, r: Range, theirs: bytes) -> list[tuple[Range, bool]]:
        """Each child that differs from ``theirs``, and whether theirs is empty. Raises ``RemoteError``."""
        if r.bits == HASH_BITS or len(theirs) != _PRINT_BYTES * r.child_count:
            raise RemoteError(f"a range of {r.bits} bits has not {len(theirs) // _PRINT_BYTES} children")
        mine = self.children(r)
        return [
            (r.child(at // _PRINT_BYTES), theirs[at : at + _PRINT_BYTES] == self.empty)
            for at in range(0, len(mine), _PRINT_BYTES)
            if mine[at : at + _PRINT_BYTES] != theirs[at : at + _PRINT_BYTES]
        ]

    def _pack_rows(self, r: Range) -> bytes:
        length, first = _row_bytes(r), r.first
        return b"".join(
            (
                (row.hash - first) << (_DIGEST_BITS + _MS_BITS)
                | self.row_digest(row) << _MS_BITS
                | self._ms_of(row)
            ).to_bytes(length, "big")
            for row in self.rows(r)
        )

    def _ms_of(self, row: HashRow) -> int:
        data = self._store.get(row.key)
        return 0 if data is None else stamp_ms(peek_stamp(row.key, data))

    def _blind(self, fingerprint: Fingerprint) -> bytes:
        packed = _SUM_AND_COUNT.pack(fingerprint.sum.to_bytes(16, "big"), fingerprint.row_count)
        blinded: bytes = xxh3_64_digest(packed, self._salt)
        return blinded[:_PRINT_BYTES]


def unpack_rows(r: Range, packed: bytes) -> Listed:
    """The rows that a peer listed. Raises ``RemoteError``."""
    length, first = _row_bytes(r), r.first
    if len(packed) % length:
        raise RemoteError(f"a list of {len(packed)} bytes is no list of rows of {length} bytes")
    rows: Listed = {}
    for at in range(0, len(packed), length):
        row = int.from_bytes(packed[at : at + length], "big")
        hashed = first + (row >> (_DIGEST_BITS + _MS_BITS))
        if hashed > r.last:
            raise RemoteError("a listed row lies outside its range")
        rows.setdefault(hashed, {})[row >> _MS_BITS & (1 << _DIGEST_BITS) - 1] = row & (1 << _MS_BITS) - 1
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
