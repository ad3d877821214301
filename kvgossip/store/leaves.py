"""The leaves of the Merkle tree, in flat arrays and as records at rest.

A leaf is a sum of digests (128 bits, as two arrays of 64) and a number of rows (32 bits). At rest eight
neighbours of one depth make a *page*, one record of 160 bytes: few enough records that a start reads those of
ten million rows in a fraction of a second, small enough that a write to one key costs little.

    record 0                     header = version seed-check depth split-count sum row-count
    record depth << 32 | page    page   = 8 high halves, 8 low halves, 8 row counts

All numbers are little-endian. A page of nothing but zeros may be missing. In a page that is split in part,
the values of the split leaves are void; a page that is split as a whole is removed.
"""

import struct
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from kvgossip.model.digest import DIGEST_MASK

HEADER = 0
"""The number of the header's record."""
PAGE_LEAVES = 8
TREE_FORMAT = 1

_PAGE = struct.Struct(f"<{2 * PAGE_LEAVES}Q{PAGE_LEAVES}I")
_HEADER = struct.Struct("<B16sBI16sQ")
_LOW = (1 << 64) - 1


def page_record(depth: int, page: int) -> int:
    """The number of a page's record."""
    return depth << 32 | page


def seed_check(digest_seed: int) -> bytes:
    """Tells whether a tree at rest was made with ``digest_seed``, and reveals nothing of it."""
    return blake2b(digest_seed.to_bytes(8, "little"), digest_size=16, person=b"kvgossip tree").digest()


@dataclass(frozen=True, slots=True)
class TreeHeader:
    """The shape of a tree, and its root."""

    seed_check: bytes
    depth: int
    split_count: int
    sum: int
    row_count: int

    @property
    def leaf_count(self) -> int:
        return (1 << self.depth) + self.split_count

    def grown(self, total: int, row_count: int, leaf_count: int) -> "TreeHeader":
        """The header after ``leaf_count`` more leaves, and with a new root."""
        depth, split_count = self.depth, self.split_count + leaf_count
        if split_count == 1 << depth:
            depth, split_count = depth + 1, 0
        return TreeHeader(self.seed_check, depth, split_count, total & DIGEST_MASK, row_count)

    def encode(self) -> bytes:
        total = self.sum.to_bytes(16, "little")
        return _HEADER.pack(TREE_FORMAT, self.seed_check, self.depth, self.split_count, total, self.row_count)

    @staticmethod
    def decode(data: bytes) -> "TreeHeader | None":
        """None if ``data`` is no header of this format."""
        if len(data) != _HEADER.size or data[0] != TREE_FORMAT:
            return None
        _, check, depth, split_count, total, row_count = _HEADER.unpack(data)
        if depth > 40 or split_count >= 1 << depth:
            return None
        return TreeHeader(check, depth, split_count, int.from_bytes(total, "little"), row_count)


class Leaves:
    """Leaves of one depth, in order of prefix, in whole pages. ``leaves[i]`` is (sum, row count)."""

    __slots__ = ("_counts", "_high", "_low")

    def __init__(self, leaf_count: int) -> None:
        self._high = array("Q")
        self._low = array("Q")
        self._counts = array("I")
        self.grow(leaf_count)

    def grow(self, leaf_count: int) -> None:
        """Make room for ``leaf_count`` leaves; new ones are zero."""
        missing = -(-leaf_count // PAGE_LEAVES) * PAGE_LEAVES - len(self._high)
        if missing > 0:
            self._high.extend(array("Q", bytes(8)) * missing)
            self._low.extend(array("Q", bytes(8)) * missing)
            self._counts.extend(array("I", bytes(4)) * missing)

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self._high[index] << 64 | self._low[index], self._counts[index]

    def total(self, first: int, end: int) -> tuple[int, int]:
        """Sum (not reduced) and row count of the leaves ``first`` to ``end``, excluded."""
        if first >= end:
            return 0, 0
        digests = (sum(self._high[first:end]) << 64) + sum(self._low[first:end])
        return digests, sum(self._counts[first:end])

    def add(self, index: int, digest: int) -> None:
        """Count one more row."""
        digests, rows = self[index]
        digests = (digests + digest) & DIGEST_MASK
        self._high[index], self._low[index], self._counts[index] = digests >> 64, digests & _LOW, rows + 1

    def equals(self, other: "Leaves", first: int) -> bool:
        """True if all leaves from ``first`` on are equal."""
        return (
            self._high[first:] == other._high[first:]
            and self._low[first:] == other._low[first:]
            and self._counts[first:] == other._counts[first:]
        )

    def pages_with(self, changed: Mapping[int, tuple[int, int]]) -> Iterable[tuple[int, bytes]]:
        """The pages in which ``changed`` leaves lie, with these as they will be."""
        pages: dict[int, list[int]] = {}
        for leaf, (digests, rows) in changed.items():
            number, slot = divmod(leaf, PAGE_LEAVES)
            page = pages.get(number)
            if page is None:
                page = pages[number] = self._page(number)
            page[slot] = digests >> 64
            page[PAGE_LEAVES + slot] = digests & _LOW
            page[2 * PAGE_LEAVES + slot] = rows
        return [(number, _PAGE.pack(*page)) for number, page in pages.items()]

    def put_page(self, number: int, data: bytes) -> bool:
        """Take the leaves of one page. False if the page is garbled or there is no room for it."""
        first = number * PAGE_LEAVES
        if first >= len(self._high) or len(data) != _PAGE.size:
            return False
        page = _PAGE.unpack(data)
        end = first + PAGE_LEAVES
        self._high[first:end] = array("Q", page[:PAGE_LEAVES])
        self._low[first:end] = array("Q", page[PAGE_LEAVES : 2 * PAGE_LEAVES])
        self._counts[first:end] = array("I", page[2 * PAGE_LEAVES :])
        return True

    @staticmethod
    def whole_pages(first: int, end: int) -> range:
        """The pages that end in leaves ``first`` to ``end``, excluded."""
        return range(first // PAGE_LEAVES, end // PAGE_LEAVES)

    def _page(self, number: int) -> list[int]:
        first = number * PAGE_LEAVES
        end = first + PAGE_LEAVES
        if first >= len(self._high):
            return [0] * (3 * PAGE_LEAVES)
        return [*self._high[first:end], *self._low[first:end], *self._counts[first:end]]
