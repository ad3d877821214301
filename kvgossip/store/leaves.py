"""The leaves of the Merkle tree, in flat arrays and as records at rest.

A leaf is a sum of digests (128 bits) and a number of rows (32 bits). Eight neighbours of one depth make a
*page* of 160 bytes, in memory twenty words of one array, at rest one record of the same bytes: few enough
records that a start reads those of ten million rows in a fraction of a second, small enough that a write to
one key costs little. A commit handles a page a row, so pages are copied as they are and never unpacked.

    record 0                     header = version seed-check depth split-count sum row-count
    record depth << 32 | page    page   = 8 high halves, 8 low halves, 8 row counts

All numbers are little-endian; two row counts share a word. A page of nothing but zeros may be missing. In a
page that is split in part, the values of the split leaves are void; one that is split as a whole is removed.
"""

import struct
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain

from kvgossip.model.digest import DIGEST_MASK

HEADER = 0
"""The number of the header's record."""
PAGE_LEAVES = 8
PAGE_WORDS = 20
PAGE_BYTES = 8 * PAGE_WORDS
TREE_FORMAT = 1

_LOW_AT = PAGE_LEAVES
_COUNTS_AT = 2 * PAGE_LEAVES
_HALF = (1 << 32) - 1
_IS_BIG_ENDIAN = array("H", b"\1\0")[0] != 1

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

    __slots__ = ("_words",)

    def __init__(self, leaf_count: int) -> None:
        self._words = array("Q")
        self.grow(leaf_count)

    def grow(self, leaf_count: int) -> None:
        """Make room for ``leaf_count`` leaves; new ones are zero."""
        missing = -(-leaf_count // PAGE_LEAVES) * PAGE_WORDS - len(self._words)
        if missing > 0:
            self._words.extend(array("Q", bytes(8)) * missing)

    def __getitem__(self, index: int) -> tuple[int, int]:
        number, slot = divmod(index, PAGE_LEAVES)
        return _leaf(self._words, number * PAGE_WORDS, slot)

    def total(self, first: int, end: int) -> tuple[int, int]:
        """Sum (not reduced) and row count (below 2 ** 32) of the leaves ``first`` to ``end``, excluded."""
        first_page, end_page = -(-first // PAGE_LEAVES), end // PAGE_LEAVES
        if first_page >= end_page:
            return self._total_one_by_one(range(first, end))
        digests, rows = self._total_one_by_one(
            chain(range(first, first_page * PAGE_LEAVES), range(end_page * PAGE_LEAVES, end))
        )
        words = self._words[first_page * PAGE_WORDS : end_page * PAGE_WORDS]
        sums = [sum(words[column::PAGE_WORDS]) for column in range(PAGE_WORDS)]
        high, low, pairs = (sum(sums[at : at + PAGE_LEAVES]) for at in (0, _LOW_AT, _COUNTS_AT))
        return digests + (high << 64) + low, rows + (pairs & _HALF) + (pairs >> 32)

    def add(self, index: int, digest: int) -> None:
        """Count one more row."""
        number, slot = divmod(index, PAGE_LEAVES)
        digests, rows = self[index]
        _set_leaf(self._words, number * PAGE_WORDS, slot, (digests + digest) & DIGEST_MASK, rows + 1)

    def equals(self, other: "Leaves", first: int) -> bool:
        """True if all leaves from ``first`` on are equal."""
        count = len(self._words) // PAGE_WORDS * PAGE_LEAVES
        return len(self._words) == len(other._words) and all(
            self[index] == other[index] for index in range(first, count)
        )

    def pages_with(self, changed: Mapping[int, tuple[int, int]]) -> Iterable[tuple[int, bytes]]:
        """The pages in which ``changed`` leaves lie, with these as they will be."""
        pages: dict[int, array[int]] = {}
        for leaf, (digests, rows) in changed.items():
            number, slot = divmod(leaf, PAGE_LEAVES)
            page = pages.get(number)
            if page is None:
                page = pages[number] = self._page(number)
            _set_leaf(page, 0, slot, digests, rows)
        return [(number, _in_order(page).tobytes()) for number, page in pages.items()]

    def put_page(self, number: int, data: bytes) -> bool:
        """Take the leaves of one page. False if the page is garbled or there is no room for it."""
        at = number * PAGE_WORDS
        if at >= len(self._words) or len(data) != PAGE_BYTES:
            return False
        self._words[at : at + PAGE_WORDS] = _in_order(array("Q", data))
        return True

    @staticmethod
    def whole_pages(first: int, end: int) -> range:
        """The pages that end in leaves ``first`` to ``end``, excluded."""
        return range(first // PAGE_LEAVES, end // PAGE_LEAVES)

    def _page(self, number: int) -> "array[int]":
        at = number * PAGE_WORDS
        return self._words[at : at + PAGE_WORDS] or array("Q", bytes(PAGE_BYTES))

    def _total_one_by_one(self, indices: Iterable[int]) -> tuple[int, int]:
        digests = rows = 0
        for index in indices:
            leaf_digests, leaf_rows = self[index]
            digests += leaf_digests
            rows += leaf_rows
        return digests, rows


def _leaf(words: "array[int]", at: int, slot: int) -> tuple[int, int]:
    """A leaf of the page that begins at ``words[at]``."""
    pair = words[at + _COUNTS_AT + (slot >> 1)]
    return words[at + slot] << 64 | words[at + _LOW_AT + slot], pair >> 32 if slot & 1 else pair & _HALF


def _set_leaf(words: "array[int]", at: int, slot: int, digests: int, rows: int) -> None:
    words[at + slot] = digests >> 64
    words[at + _LOW_AT + slot] = digests & _LOW
    pair_at = at + _COUNTS_AT + (slot >> 1)
    pair = words[pair_at]
    words[pair_at] = (pair & _HALF) | rows << 32 if slot & 1 else pair & ~_HALF | rows


def _in_order(words: "array[int]") -> "array[int]":
    """Words of this machine as little-endian ones, and back."""
    if _IS_BIG_ENDIAN:
        words.byteswap()
    return words
