"""The store that keeps nothing: the whole contract, on sorted containers.

For tests, for the simulator (``reopen`` is the crash of a node, ``copy`` the backup of its directory) and for
a node without a data directory. What was written is kept as the published rows and at most one batch that is
written and not published: exactly what a disk would hold.
"""

from collections.abc import Iterator, Sequence

from sortedcontainers import SortedDict

from kvgossip.model.digest import entry_digest, key_hash
from kvgossip.model.encoding import peek_stamp
from kvgossip.model.ids import Key
from kvgossip.store.base import Batch, Change, HashRow, Mark, Place, Row
from kvgossip.store.merkle import Fingerprint, MerkleTree


class MemoryStore:
    """See ``Store``. Its writes cannot fail."""

    def __init__(self, digest_seed: int) -> None:
        self._digest_seed = digest_seed
        self._rows: SortedDict[Key, bytes] = SortedDict()
        self._digests: SortedDict[tuple[int, Key], int] = SortedDict()
        self._meta: dict[str, bytes] = {}
        self._leaves: dict[int, bytes] = {}
        self._written: Batch | None = None
        self._tree = MerkleTree(digest_seed, self._read_digests)

    @property
    def tree(self) -> MerkleTree:
        return self._tree

    # -- reads

    def get(self, key: Key) -> bytes | None:
        data: bytes | None = self._rows.get(key)
        return data

    def get_many(self, keys: Sequence[Key]) -> list[bytes | None]:
        return [self._rows.get(key) for key in keys]

    def get_marks(self, places: Sequence[Place]) -> list[Mark | None]:
        return [self._mark(place) if place in self._digests else None for place in places]

    def scan(
        self, start: Key, end: Key | None, *, rows_max: int, bytes_max: int, reverse: bool = False
    ) -> list[Row]:
        found: list[Row] = []
        bytes_read = 0
        if end is not None and end <= start:
            return found
        for key in self._rows.irange(start, end, (True, False), reverse):
            if len(found) >= rows_max or (found and bytes_read >= bytes_max):
                break
            data = self._rows[key]
            found.append(Row(key, data))
            bytes_read += len(data)
        return found

    def scan_hashes(self, first: int, last: int, *, rows_max: int, after: Key | None = None) -> list[HashRow]:
        found: list[HashRow] = []
        start = (first, after or b"")
        for place in self._digests.irange(start, (last + 1, b""), (after is None, False)):
            if len(found) >= rows_max:
                break
            mark = self._mark(place)
            found.append(HashRow(place[0], place[1], mark.digest, mark.stamp))
        return found

    def scan_ranges(self, bounds: Sequence[tuple[int, int]], *, rows_max: int) -> list[list[HashRow]]:
        return [self.scan_hashes(first, last, rows_max=rows_max) for first, last in bounds]

    def get_meta(self, name: str) -> bytes | None:
        return self._meta.get(name)

    def scan_meta(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        return iter([(name, self._meta[name]) for name in sorted(self._meta) if name.startswith(prefix)])

    def fingerprint(self, prefix: int, bits: int) -> Fingerprint:
        return self._tree.fingerprint(prefix, bits)

    def children(self, prefix: int, bits: int, child_bits: int) -> list[Fingerprint]:
        return self._tree.children(prefix, bits, child_bits)

    # -- commits

    def prepare(self, batch: Batch) -> None:
        batch.leaves = self._tree.prepare(batch.changes, batch.mends)

    def write(self, batch: Batch) -> None:
        assert self._written is None, "one batch at a time"
        self._written = batch

    def publish(self, batch: Batch) -> None:
        assert self._written is batch, "only a written batch is published"
        self._written = None
        self._apply(batch)
        self._tree.publish(batch.changes, batch.leaves, batch.mends)

    def close(self) -> None:
        """Nothing to give up."""

    # -- faults

    def copy(self) -> "MemoryStore":
        """A store of its own that holds what is written here, as from a copy of the directory."""
        return self.reopen()

    def reopen(self, digest_seed: int | None = None) -> "MemoryStore":
        """A store of its own that holds what is written here, as after a crash; maybe with another seed."""
        store = MemoryStore(self._digest_seed if digest_seed is None else digest_seed)
        store._rows = self._rows.copy()
        store._digests = self._digests.copy()
        store._meta = self._meta.copy()
        store._leaves = self._leaves.copy()
        if self._written is not None:
            store._apply(self._written)
        tree = MerkleTree.load(store._digest_seed, store._read_digests, store._leaves)
        if tree is not None:
            store._tree = tree
        else:
            store._recompute()
        return store

    def check_invariants(self) -> None:
        self._tree.check_invariants()
        if self._leaves:
            at_rest = MerkleTree.load(self._digest_seed, self._read_digests, self._leaves)
            assert at_rest is not None, "the records of the tree do not fit each other"
            assert at_rest.root == self._tree.root, "the tree at rest is another one"
        assert len(self._rows) == len(self._digests) == self._tree.root.row_count
        for (hash_, key), digest in self._digests.items():
            assert hash_ == key_hash(self._digest_seed, key)
            assert digest == entry_digest(self._digest_seed, key, self._rows[key])

    # -- private

    def _apply(self, batch: Batch) -> None:
        for change in batch.changes:
            self._rows[change.key] = change.data
            self._digests[change.hash, change.key] = change.digest
        for name, data in batch.meta.items():
            if data is None:
                self._meta.pop(name, None)
            else:
                self._meta[name] = data
        for record, page in batch.leaves.items():
            if page:
                self._leaves[record] = page
            else:
                self._leaves.pop(record, None)

    def _mark(self, place: Place) -> Mark:
        return Mark(self._digests[place], peek_stamp(place[1], self._rows[place[1]]))

    def _read_digests(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        digests = self._digests
        for place in digests.irange((first, b""), (last + 1, b""), (True, False)):
            yield place[0], digests[place]

    def _recompute(self) -> None:
        """Place all rows anew: the seed is another one."""
        self._digests.clear()
        self._leaves.clear()
        seed = self._digest_seed
        batch = Batch(
            [
                Change(key, key_hash(seed, key), entry_digest(seed, key, data), data, None)
                for key, data in self._rows.items()
            ]
        )
        self.prepare(batch)
        self.write(batch)
        self.publish(batch)
