"""The Merkle tree over the hashes of keys: which ranges of two stores differ, at the cost of the difference.

The *fingerprint* of a range of hashes is the sum (mod 2**128) of the digests of its entries and their number.
A sum does not depend on the shape of the tree, so trees of different depth compare, an inner node is the sum
of its leaves, and an overwrite costs one subtraction and one addition. (Merkle 1987; the use for anti-entropy
is Dynamo's, DeCandia et al. 2007. Both hash the hashes of the children; a sum is easier to forge, and the
digests are seeded from the cluster secret instead.)

A *range* is (prefix, bits): all hashes whose top ``bits`` bits are ``prefix``.

The tree grows by linear hashing (Litwin 1980), on the top bits: with ``depth`` d and ``split_count`` s, the
first s of the 2**d ranges of d bits have been split into two leaves of d + 1 bits, the others are leaves
still. Each commit splits the leaves that it owes, in order, by reading the rows of those leaves, so no commit
pays for the whole. When s reaches 2**d, d goes up by one. Leaves hold 16 to 64 rows, 32 in the mean; below
8,192 rows there are 256 leaves, which hold less. The tree does not shrink.

Leaves lie in flat arrays (``store/leaves.py``): 20 bytes a leaf, some 6 MB at ten million rows, and no object
an entry. The 256 sums at 8 bits and the root are kept beside them.

``prepare`` computes what a batch does to the tree as records, which are written with its rows, and changes
nothing; ``publish`` applies the records. So the tree at rest is always that of the rows at rest, and is
loaded, not computed, at a start.

Invariants: the root is the sum of the leaves, without those that were split; there are at least
row_count / 32 leaves, unless the last batch came to the end of a depth: then the next one does the rest.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from kvgossip.model.digest import DIGEST_MASK
from kvgossip.store.leaves import HEADER, Leaves, TreeHeader, page_record, seed_check

TOP_BITS = 8
ROWS_PER_LEAF = 32
HASH_BITS = 64


class Fingerprint(NamedTuple):
    """Of a range of hashes: the sum (mod 2**128) of its entry digests, and how many rows there are."""

    sum: int
    row_count: int


EMPTY = Fingerprint(0, 0)


class PlacedChange(Protocol):
    """What the tree needs to know of a changed row; ``old_digest`` is None if the row is new."""

    @property
    def hash(self) -> int: ...
    @property
    def digest(self) -> int: ...
    @property
    def old_digest(self) -> int | None: ...


class Mend(NamedTuple):
    """What a leaf lacks, by a recount. ``hash`` is the last of the leaf, which it may be split from later."""

    hash: int
    sum_delta: int
    row_delta: int


ReadDigests = Callable[[int, int], Iterable[tuple[int, int]]]
"""(hash, digest) of all published rows with first <= hash <= last, in any order."""


class MerkleTree:
    """The tree over the published rows. Below its leaves it asks ``read`` for the rows of a range."""

    def __init__(self, digest_seed: int, read: ReadDigests) -> None:
        """The tree over no rows."""
        self._seed_check = seed_check(digest_seed)
        self._read = read
        self._header = TreeHeader(self._seed_check, TOP_BITS, 0, 0, 0)
        self._shallow = Leaves(1 << TOP_BITS)
        self._deep = Leaves(0)
        self._tops = [EMPTY] * (1 << TOP_BITS)

    @staticmethod
    def load(
        digest_seed: int, read: ReadDigests, records: Mapping[int, bytes] | Iterable[tuple[int, bytes]]
    ) -> "MerkleTree | None":
        """The tree at rest; None if ``records`` are of another seed, incomplete or garbled."""
        found = dict(records)
        header = TreeHeader.decode(found.pop(HEADER, b""))
        tree = MerkleTree(digest_seed, read)
        if header is None or header.seed_check != tree._seed_check:
            return None
        tree._adopt(header)
        if not all(tree._put(record, data) for record, data in found.items()):
            return None
        tree._tops = [tree._leaf_sum(prefix, TOP_BITS) for prefix in range(1 << TOP_BITS)]
        return tree if _total(tree._tops) == tree.root else None

    # -- queries

    @property
    def root(self) -> Fingerprint:
        return Fingerprint(self._header.sum, self._header.row_count)

    @property
    def leaf_count(self) -> int:
        return self._header.leaf_count

    def is_summed(self, prefix: int, bits: int) -> bool:
        """True if the range is a leaf or above the leaves, so that its fingerprint reads no rows."""
        depth = self._header.depth
        return bits <= depth or (bits == depth + 1 and prefix >> 1 < self._header.split_count)

    def fingerprint(self, prefix: int, bits: int) -> Fingerprint:
        """Of one range, at any depth. Sums leaves, or reads rows below them."""
        if self.is_summed(prefix, bits):
            return self._inner(prefix, bits)
        digests = [digest for _, digest in self._read(*hash_range(prefix, bits))]
        return Fingerprint(sum(digests) & DIGEST_MASK, len(digests))

    def children(self, prefix: int, bits: int, child_bits: int) -> list[Fingerprint]:
        """Of the ranges of ``child_bits`` bits in (``prefix``, ``bits``), in order.

        Costs one step a leaf in the range, or one row of the range if a child is below the leaves.
        """
        assert 0 <= bits <= child_bits <= HASH_BITS
        first = prefix << child_bits - bits
        end = prefix + 1 << child_bits - bits
        if child_bits == TOP_BITS:
            return self._tops[first:end]
        if self.is_summed(end - 1, child_bits):  # leaves are split in order: then the others are, too
            return [self._inner(child, child_bits) for child in range(first, end)]
        sums = [0] * (end - first)
        counts = [0] * (end - first)
        for hash_, digest in self._read(*hash_range(prefix, bits)):
            child = (hash_ >> HASH_BITS - child_bits) - first
            sums[child] += digest
            counts[child] += 1
        return [Fingerprint(sums[i] & DIGEST_MASK, counts[i]) for i in range(end - first)]

    def leaf_at(self, hash_: int) -> tuple[int, int]:
        """The range (prefix, bits) of the leaf that holds ``hash_``."""
        bits = self._header.depth
        if hash_ >> HASH_BITS - bits < self._header.split_count:
            bits += 1
        return hash_ >> HASH_BITS - bits, bits

    # -- commits

    def prepare(self, changes: Sequence[PlacedChange], mends: Sequence[Mend] = ()) -> dict[int, bytes]:
        """The records (empty bytes: to be removed) of the tree as it will be with ``changes``."""
        header = self._header
        split_count = header.split_count
        shift = HASH_BITS - header.depth
        shallow: dict[int, tuple[int, int]] = {}
        deep: dict[int, tuple[int, int]] = {}
        total, row_count = header.sum, header.row_count
        for change in changes:
            old_digest = change.old_digest
            delta = change.digest - (old_digest or 0)
            added = old_digest is None
            total += delta
            row_count += added
            index = change.hash >> shift
            if index >= split_count:
                digests, rows = shallow.get(index) or self._shallow[index]
                shallow[index] = ((digests + delta) & DIGEST_MASK, rows + added)
            else:
                index = change.hash >> shift - 1
                digests, rows = deep.get(index) or self._deep[index]
                deep[index] = ((digests + delta) & DIGEST_MASK, rows + added)
        for mend in mends:
            total += mend.sum_delta
            row_count += mend.row_delta
            index, bits = self.leaf_at(mend.hash)
            leaves, arrays = (shallow, self._shallow) if bits == header.depth else (deep, self._deep)
            digests, rows = leaves.get(index) or arrays[index]
            leaves[index] = ((digests + mend.sum_delta) & DIGEST_MASK, rows + mend.row_delta)
        owed_count = min(max(row_count // ROWS_PER_LEAF, header.leaf_count), 2 << header.depth)
        owed_count -= header.leaf_count
        if owed_count:
            self._split(owed_count, changes, shallow, deep)
        return self._records(header.grown(total, row_count, owed_count), shallow, deep)

    def publish(
        self, changes: Iterable[PlacedChange], records: Mapping[int, bytes], mends: Iterable[Mend] = ()
    ) -> None:
        """Apply what ``prepare(changes, mends)`` answered."""
        header = TreeHeader.decode(records[HEADER])
        assert header is not None
        if header.depth == self._header.depth:
            self._deep.grow(2 * header.split_count)
        else:
            self._deep.grow(1 << header.depth)
        for record, data in records.items():
            if record != HEADER and data:
                depth, page = divmod(record, 1 << 32)
                (self._shallow if depth == self._header.depth else self._deep).put_page(page, data)
        if header.depth > self._header.depth:
            self._shallow, self._deep = self._deep, Leaves(0)
        self._header = header
        tops = self._tops
        for change in changes:
            top = change.hash >> HASH_BITS - TOP_BITS
            digests, rows = tops[top]
            old_digest = change.old_digest
            digests += change.digest - (old_digest or 0)
            tops[top] = Fingerprint(digests & DIGEST_MASK, rows + (old_digest is None))
        for mend in mends:
            top = mend.hash >> HASH_BITS - TOP_BITS
            digests, rows = tops[top]
            tops[top] = Fingerprint((digests + mend.sum_delta) & DIGEST_MASK, rows + mend.row_delta)

    # -- checks

    def check_invariants(self) -> None:
        """Assert that the tree equals a recount over all rows."""
        header = self._header
        shallow = Leaves(1 << header.depth)
        deep = Leaves(2 * header.split_count)
        for hash_, digest in self._read(*hash_range(0, 0)):
            index = hash_ >> HASH_BITS - header.depth
            if index >= header.split_count:
                shallow.add(index, digest)
            else:
                deep.add(hash_ >> HASH_BITS - header.depth - 1, digest)
        assert shallow.equals(self._shallow, header.split_count), "a leaf differs from its rows"
        assert deep.equals(self._deep, 0), "a leaf differs from its rows"
        assert self._tops == [self._leaf_sum(prefix, TOP_BITS) for prefix in range(1 << TOP_BITS)]
        assert _total(self._tops) == self.root, "the root is not the sum of the leaves"

    # -- private

    def _adopt(self, header: TreeHeader) -> None:
        self._header = header
        self._shallow = Leaves(1 << header.depth)
        self._deep = Leaves(2 * header.split_count)

    def _put(self, record: int, data: bytes) -> bool:
        """Load one page. False if there is no place for it."""
        depth, page = divmod(record, 1 << 32)
        if depth == self._header.depth:
            return self._shallow.put_page(page, data)
        return depth == self._header.depth + 1 and self._deep.put_page(page, data)

    def _inner(self, prefix: int, bits: int) -> Fingerprint:
        if bits <= TOP_BITS:
            return _total(self._tops[prefix << TOP_BITS - bits : prefix + 1 << TOP_BITS - bits])
        return self._leaf_sum(prefix, bits)

    def _leaf_sum(self, prefix: int, bits: int) -> Fingerprint:
        """Of a range of at least ``TOP_BITS``."""
        depth, split_count = self._header.depth, self._header.split_count
        if bits > depth:
            return Fingerprint(*self._deep[prefix])
        first, end = prefix << depth - bits, prefix + 1 << depth - bits
        middle = min(max(first, split_count), end)
        split_sum, split_rows = self._deep.total(2 * first, 2 * middle)
        whole_sum, whole_rows = self._shallow.total(middle, end)
        return Fingerprint((split_sum + whole_sum) & DIGEST_MASK, split_rows + whole_rows)

    def _split(
        self,
        owed_count: int,
        changes: Sequence[PlacedChange],
        shallow: dict[int, tuple[int, int]],
        deep: dict[int, tuple[int, int]],
    ) -> None:
        """Move the next ``owed_count`` leaves from ``shallow`` to ``deep``, as they will be.

        Only the rows of the lower half are read: the upper half is what remains.
        """
        ordered = sorted(changes, key=lambda change: change.hash)
        hashes = [change.hash for change in ordered]
        sums = [0, *accumulate(change.digest - (change.old_digest or 0) for change in ordered)]
        counts = [0, *accumulate(change.old_digest is None for change in ordered)]
        depth, split_count = self._header.depth, self._header.split_count
        for leaf in range(split_count, split_count + owed_count):
            digests, rows = shallow.pop(leaf) if leaf in shallow else self._shallow[leaf]
            first, last = hash_range(2 * leaf, depth + 1)
            low = [digest for _, digest in self._read(first, last)] if rows else []
            start, end = bisect_left(hashes, first), bisect_left(hashes, last + 1)
            low_sum = (sum(low) + sums[end] - sums[start]) & DIGEST_MASK
            low_rows = len(low) + counts[end] - counts[start]
            deep[2 * leaf] = (low_sum, low_rows)
            deep[2 * leaf + 1] = ((digests - low_sum) & DIGEST_MASK, rows - low_rows)

    def _records(
        self, header: TreeHeader, shallow: dict[int, tuple[int, int]], deep: dict[int, tuple[int, int]]
    ) -> dict[int, bytes]:
        depth, split_count = self._header.depth, self._header.split_count
        records = {HEADER: header.encode()}
        for page, data in self._shallow.pages_with(shallow):
            records[page_record(depth, page)] = data
        for page, data in self._deep.pages_with(deep):
            records[page_record(depth + 1, page)] = data
        split_end = split_count + header.leaf_count - self._header.leaf_count
        for page in Leaves.whole_pages(split_count, split_end):
            records[page_record(depth, page)] = b""
        return records


def hash_range(prefix: int, bits: int) -> tuple[int, int]:
    """The first and the last hash of a range."""
    first = prefix << HASH_BITS - bits
    return first, first + (1 << HASH_BITS - bits) - 1


def _total(fingerprints: Iterable[Fingerprint]) -> Fingerprint:
    digests = rows = 0
    for fingerprint in fingerprints:
        digests += fingerprint.sum
        rows += fingerprint.row_count
    return Fingerprint(digests & DIGEST_MASK, rows)
