"""The committed rows of this node, as one exchange describes them and lays them beside a peer's.

Whatever a message needs of the rows is read in one go, with one iterator for all its ranges. No entry is
read: the rows in order of hash carry the stamps.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from xxhash import xxh3_64_digest, xxh3_64_intdigest

from kvgossip.errors import RemoteError
from kvgossip.model.stamp import stamp_ms
from kvgossip.protocol.ranges import (
    DIGEST_BITS,
    HASH_BITS,
    PRINT_BYTES,
    ROWS_AS_CHEAP_AS_CHILDREN,
    Listed,
    Range,
    checked_range,
    pack_rows,
    unpack_rows,
)
from kvgossip.store.base import HashRow, Store
from kvgossip.store.merkle import Fingerprint
from kvgossip.wire.messages import RangeChildren, RangeRows

TIED_ROWS_MAX = 4_096
"""A single hash cannot be split: all keys that share it are listed, up to this many."""

_SUM_AND_COUNT = struct.Struct(">16sQ")


class Beside(NamedTuple):
    """A range that a peer listed, and what is here of it.

    ``others``: the rows here whose digest the peer did not list.
    """

    range: Range
    theirs: Listed
    mine: Listed
    others: list[HashRow]
    row_count: int


class RangeView:
    """Describes ranges of the store under the salt of one exchange."""

    def __init__(self, store: Store, salt: int, *, rows_listed_max: int) -> None:
        self._store = store
        self._salt = salt
        self._rows_listed_max = rows_listed_max
        self.empty = self._blind(Fingerprint(0, 0))

    def row_count(self, r: Range) -> int:
        return self._store.fingerprint(r.prefix, r.bits).row_count

    def children(self, r: Range) -> bytes:
        """The packed fingerprints of the children of a range, 4 bytes each."""
        blind, empty = self._blind, self.empty
        return b"".join(
            blind(f) if f.row_count else empty for f in self._store.children(r.prefix, r.bits, r.child_bits)
        )

    def row_digest(self, row: HashRow) -> int:
        """32 bits for a digest of 128."""
        digest: int = xxh3_64_intdigest(row.digest.to_bytes(16, "big"), self._salt) >> (64 - DIGEST_BITS)
        return digest

    def describe(self, ranges: Sequence[Range]) -> tuple[tuple[RangeChildren, ...], tuple[RangeRows, ...]]:
        """Each range by its children or by its rows.

        Rows settle a range in this round. If another one is too large for that, there will be a further round
        anyway: then a range is listed only where that is no dearer than to split it.
        """
        tree = self._store.tree
        rows_of = self._read(r for r in ranges if r.bits == HASH_BITS or not tree.is_summed(r.prefix, r.bits))
        row_counts = {
            r: len(rows_of[r]) if r in rows_of else self.row_count(r) for r in ranges if r.bits < HASH_BITS
        }
        listed_max = self._rows_listed_max
        if any(row_count > listed_max for row_count in row_counts.values()):
            listed_max = min(listed_max, ROWS_AS_CHEAP_AS_CHILDREN)
        to_list = [r for r in ranges if row_counts.get(r, 0) <= listed_max]
        rows_of |= self._read(r for r in to_list if r not in rows_of)
        rows = tuple(RangeRows(r.prefix, r.bits, self._pack_rows(r, rows_of[r])) for r in to_list)
        to_split = [r for r in ranges if row_counts.get(r, 0) > listed_max]
        return tuple(RangeChildren(r.prefix, r.bits, self.children(r)) for r in to_split), rows

    def differing_children(self, r: Range, theirs: bytes) -> list[tuple[Range, bool]]:
        """Each child that differs from ``theirs``, and whether theirs is empty. Raises ``RemoteError``."""
        if r.bits == HASH_BITS or len(theirs) != PRINT_BYTES * r.child_count:
            raise RemoteError(f"a range of {r.bits} bits has not {len(theirs) // PRINT_BYTES} children")
        mine = self.children(r)
        return [
            (r.child(at // PRINT_BYTES), theirs[at : at + PRINT_BYTES] == self.empty)
            for at in range(0, len(mine), PRINT_BYTES)
            if mine[at : at + PRINT_BYTES] != theirs[at : at + PRINT_BYTES]
        ]

    def lay_beside(self, described: Sequence[RangeRows]) -> list[Beside]:
        """What is here of each range that a peer listed. Raises ``RemoteError``."""
        ranges = [checked_range(listed.prefix, listed.bits) for listed in described]
        listings = [unpack_rows(r, listed.rows) for r, listed in zip(ranges, described, strict=True)]
        rows_of = self._read(ranges)
        beside = []
        for r, theirs in zip(ranges, listings, strict=True):
            mine: Listed = {}
            others = []
            for row in rows_of[r]:
                digest = self.row_digest(row)
                mine.setdefault(row.hash, {})[digest] = stamp_ms(row.stamp)
                if digest not in theirs.get(row.hash, ()):
                    others.append(row)
            beside.append(Beside(r, theirs, mine, others, len(rows_of[r])))
        return beside

    def _pack_rows(self, r: Range, rows: Iterable[HashRow]) -> bytes:
        return pack_rows(r, ((row.hash, self.row_digest(row), stamp_ms(row.stamp)) for row in rows))

    def _read(self, ranges: Iterable[Range]) -> dict[Range, list[HashRow]]:
        """All rows of ranges that are small enough to be listed; one row too many of a larger one."""
        found: dict[Range, list[HashRow]] = {}
        divisible = []
        for r in ranges:
            if r.bits < HASH_BITS:
                divisible.append(r)
            else:
                found[r] = self._store.scan_hashes(r.first, r.last, rows_max=TIED_ROWS_MAX)
        bounds = [(r.first, r.last) for r in divisible]
        rows = self._store.scan_ranges(bounds, rows_max=self._rows_listed_max + 1)
        return found | dict(zip(divisible, rows, strict=True))

    def _blind(self, fingerprint: Fingerprint) -> bytes:
        packed = _SUM_AND_COUNT.pack(fingerprint.sum.to_bytes(16, "big"), fingerprint.row_count)
        blinded: bytes = xxh3_64_digest(packed, self._salt)
        return blinded[:PRINT_BYTES]
