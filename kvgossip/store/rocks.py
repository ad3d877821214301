"""The store on RocksDB: one directory, three column families, a commit of one write and one sync.

``write`` pins a view of the committed rows, hands the batch to RocksDB, and waits until the log is on the
disk. Reads go through the pinned view until ``publish`` drops it, so nothing is seen before it is durable. An
error of RocksDB's write is certain: nothing was stored. An error of the sync is not: the page cache may have
dropped what it could not write, so a later sync that succeeds proves nothing. Then the view stays pinned, and
the store takes no more batches until the node is restarted.

After an ENOSPC, or a start on a full disk, the directory is opened again by the next ``write`` that finds
``RESERVE_BYTES`` free. Readers wait meanwhile (for ``_lock``; some 10 ms, and 0.3 s with a full log), because
RocksDB locks the directory.

See ``rocks_records.py`` for what lies where, ``rocks_open.py`` for the directory and its recovery.

Invariants: there is exactly one row in *hashes* for each in *entries*; the records of the tree are those of
the rows, or have no header, and then the next start computes hashes, digests and tree anew from *entries*.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Lock

from rocksdict import WriteBatch

from kvgossip.errors import CommitRefusedError, OutcomeUnknownError, StoreError, StoreFullError
from kvgossip.model.digest import entry_digest, key_hash
from kvgossip.model.ids import Key
from kvgossip.store import rocks_reads
from kvgossip.store.base import Batch, Change, HashRow, Mark, Place, Row
from kvgossip.store.leaves import HEADER
from kvgossip.store.merkle import Fingerprint, MerkleTree
from kvgossip.store.rocks_open import RESERVE_BYTES, free_bytes, is_no_space, open_database
from kvgossip.store.rocks_reads import PinnedView, View
from kvgossip.store.rocks_records import (
    FORMAT_NAME,
    STORE_FORMAT,
    TREE_PREFIX,
    Family,
    batch_bytes_max,
    encode_batch,
    encode_clearing,
    encode_header,
    encode_mark,
    encode_places,
    meta_name,
    place_name,
)

STALL_MS_MAX = 10_000
"""A batch that RocksDB would not take for so long is refused."""
STALL_PAUSE_MS = 5
SCAN_ROWS = 512


class RocksStore:
    """See ``Store``. ``write`` is called by one thread, everything else by another."""

    def __init__(self, path: Path, digest_seed: int) -> None:
        """Open ``path``, or make it. Raises ``StoreError`` in one clear line."""
        self._digest_seed = digest_seed
        self._lock = Lock()
        self._database = open_database(path)
        self._must_reopen = self._database.is_read_only
        self.lost_log = self._database.lost_log
        """Why records of the log were dropped at the start: take a new replica id with the first batch."""
        self._failure: str | None = None
        self._pinned: PinnedView | None = None
        self._in_flight: Batch | None = None
        self._tree = MerkleTree(digest_seed, self._read_digests)
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    @property
    def tree(self) -> MerkleTree:
        return self._tree

    @property
    def is_read_only(self) -> bool:
        """True after a start on a full disk, until there is space."""
        return self._database.is_read_only

    # -- reads

    def get(self, key: Key) -> bytes | None:
        with self._lock:
            return rocks_reads.get(self._view(), Family.ENTRIES, key)

    def get_many(self, keys: Sequence[Key]) -> list[bytes | None]:
        with self._lock:
            return rocks_reads.get_many(self._view(), keys)

    def get_marks(self, places: Sequence[Place]) -> list[Mark | None]:
        with self._lock:
            return rocks_reads.get_marks(self._view(), places)

    def scan(
        self, start: Key, end: Key | None, *, rows_max: int, bytes_max: int, reverse: bool = False
    ) -> list[Row]:
        with self._lock:
            return rocks_reads.scan(
                self._view(), start, end, rows_max=rows_max, bytes_max=bytes_max, reverse=reverse
            )

    def scan_hashes(self, first: int, last: int, *, rows_max: int, after: Key | None = None) -> list[HashRow]:
        with self._lock:
            return rocks_reads.scan_hashes(self._view(), first, last, rows_max=rows_max, after=after)

    def scan_ranges(self, bounds: Sequence[tuple[int, int]], *, rows_max: int) -> list[list[HashRow]]:
        with self._lock:
            return rocks_reads.scan_ranges(self._view(), bounds, rows_max=rows_max)

    def get_meta(self, name: str) -> bytes | None:
        with self._lock:
            return rocks_reads.get(self._view(), Family.META, meta_name(name))

    def scan_meta(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        with self._lock:
            records = rocks_reads.scan_meta(self._view(), meta_name(prefix))
        return iter([(prefix + rest.decode(), data) for rest, data in records])

    def fingerprint(self, prefix: int, bits: int) -> Fingerprint:
        return self._tree.fingerprint(prefix, bits)

    def children(self, prefix: int, bits: int, child_bits: int) -> list[Fingerprint]:
        return self._tree.children(prefix, bits, child_bits)

    # -- commits

    def prepare(self, batch: Batch) -> None:
        batch.leaves = self._tree.prepare(batch.changes, batch.mends)

    def write(self, batch: Batch) -> None:
        self._make_ready(batch_bytes_max(batch))
        with self._lock:
            self._pinned = PinnedView(self._database, batch)
        try:
            self._commit(lambda: encode_batch(batch, self._database.handles))
        except CommitRefusedError:
            with self._lock:
                self._pinned = None
            raise
        self._database.forget_lost_log()
        self._in_flight = batch

    def publish(self, batch: Batch) -> None:
        assert self._in_flight is batch, "only a written batch is published"
        self._in_flight = None
        with self._lock:
            self._pinned = None
        self._tree.publish(batch.changes, batch.leaves, batch.mends)

    def close(self) -> None:
        with self._lock:
            self._pinned = None
            self._failure = self._failure or "the store is closed"
            self._database.close()

    # -- checks

    def check_invariants(self) -> None:
        self._tree.check_invariants()
        row_count = 0
        for rows in self._all_rows():
            row_count += len(rows)
            for change in map(self._placed, rows):
                mark = rocks_reads.get(self._view(), Family.HASHES, place_name((change.hash, change.key)))
                assert mark == encode_mark(change), f"{change.key!r} is misplaced"
        assert row_count == self._tree.root.row_count

    # -- private: reads

    def _view(self) -> View:
        """The committed rows. Only for who holds the lock."""
        if self._pinned is not None:
            return self._pinned
        if self._database.is_closed:
            raise StoreError(f"the database in {self._database.path} is closed")
        return self._database

    def _read_digests(self, first: int, last: int) -> list[tuple[int, int]]:
        with self._lock:
            return rocks_reads.read_digests(self._view(), first, last)

    def _all_rows(self) -> Iterator[list[Row]]:
        start = Key(b"")
        while rows := self.scan(start, None, rows_max=SCAN_ROWS, bytes_max=1 << 20):
            yield rows
            start = Key(rows[-1].key + b"\0")

    # -- private: writes

    def _make_ready(self, batch_bytes: int) -> None:
        """Raise ``CommitRefusedError`` unless RocksDB may be given a batch; open it again if it must be."""
        if self._failure is not None:
            raise CommitRefusedError(self._failure)
        path = self._database.path
        needed = RESERVE_BYTES + 2 * batch_bytes
        try:
            free = free_bytes(path)
        except OSError as error:
            raise CommitRefusedError(f"{path} cannot be asked for its free space: {error.strerror}") from None
        if free < needed:
            raise StoreFullError(
                f"the disk of {path} has {free:,} bytes free and a write needs a reserve of {needed:,}: "
                "free some space, and writes go on"
            )
        if self._must_reopen:
            self._reopen()

    def _reopen(self) -> None:
        with self._lock:
            path = self._database.path
            self._database.close()
            try:
                self._database = open_database(path)
            except StoreError as error:
                raise CommitRefusedError(f"{path} could not be opened again: {error}") from None
        if self._database.is_read_only:
            raise StoreFullError(f"the disk of {path} is full: free some space, and writes go on")
        self._must_reopen = False
        if self._database.lost_log is not None:
            self._failure = f"the log of {path} was damaged while it was in use: restart this node"
            raise CommitRefusedError(self._failure)

    def _commit(self, encode: Callable[[], WriteBatch]) -> None:
        """Make records durable. Raises as ``Store.write`` does."""
        self._hand_over(encode)
        try:
            self._database.sync()
        except Exception as error:
            self._failure = f"a sync of the log failed, so this node takes no writes until a restart: {error}"
            raise OutcomeUnknownError(self._failure) from None

    def _hand_over(self, encode: Callable[[], WriteBatch]) -> None:
        """Give records to RocksDB, waiting while it is in a write stall. Each try consumes its records."""
        reason = ""
        for _ in range(STALL_MS_MAX // STALL_PAUSE_MS):
            try:
                self._database.write(encode())
            except Exception as error:
                reason = str(error)
            else:
                return
            if "Write stall" not in reason:
                break
            time.sleep(STALL_PAUSE_MS / 1_000)
        if is_no_space(reason):
            self._must_reopen = True
            raise StoreFullError(f"the disk is full: {reason}")
        if self._database.background_error_count():
            self._must_reopen = True  # a flush failed for want of space: RocksDB does not try again
        raise CommitRefusedError(f"the database refused a batch: {reason}")

    # -- private: the start

    def _load(self) -> None:
        """Load the tree, or compute it anew if it is missing or of another seed."""
        path = self._database.path
        found = rocks_reads.get(self._view(), Family.META, FORMAT_NAME)
        if found is None and self.scan(Key(b""), None, rows_max=1, bytes_max=1):
            raise StoreError(f"{path} holds another program's database")
        if found not in (None, STORE_FORMAT):
            raise StoreError(
                f"{path} is of disk format {found.decode(errors='replace')} and this version reads "
                f"{STORE_FORMAT.decode()} only: run the version that wrote it, or start with an empty "
                "directory, which gets everything from the other nodes"
            )
        records = rocks_reads.scan_meta(self._view(), TREE_PREFIX)
        leaves = {int.from_bytes(number, "big"): data for number, data in records}
        tree = MerkleTree.load(self._digest_seed, self._read_digests, leaves)
        if tree is not None:
            self._tree = tree
        elif self.is_read_only:
            raise StoreFullError(f"no space in {path} to compute its digests anew: free some and start again")
        else:
            self._recompute()

    def _recompute(self) -> None:
        """Compute hashes, digests and tree from the rows.

        The header comes last, so a start that was cut short begins again; and as the log keeps the order of
        writes, one sync at the end makes all durable.
        """
        database = self._database
        self._make_ready(0)
        self._hand_over(lambda: encode_clearing(database.handles))
        leaves = self._tree.prepare([])
        for rows in self._all_rows():
            changes = [self._placed(row) for row in rows]
            leaves = self._tree.prepare(changes)
            pages = {number: page for number, page in leaves.items() if number != HEADER}
            self._make_ready(0)
            self._hand_over(partial(encode_places, changes, pages, database.handles))
            self._tree.publish(changes, leaves)
        self._commit(lambda: encode_header(leaves, database.handles))

    def _placed(self, row: Row) -> Change:
        seed = self._digest_seed
        return Change(row.key, key_hash(seed, row.key), entry_digest(seed, row.key, row.data), row.data, None)
