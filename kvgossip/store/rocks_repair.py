"""Repair of a data directory: all rows that can be read move to a new database, the others are named.

A block with a wrong checksum cannot be deleted out of RocksDB: scans stop at it, and a compaction that meets
it ends all writes. So the rows are copied. What is lost is not guessed: the node clock is copied as it is, so
to the peers the node merely lacks these rows, and the first exchange after the start brings them back.

Rows are read in order, past each *gap*: the keys for which reading fails, found by doubling and halving. The
names of lost rows are those that *hashes* still has and the copy has not; whatever of them a single read gets
is copied after all. A row that is newer than a damaged block is never replaced by an older one, because
RocksDB refuses every read that would have to look into the block. Hashes, digests and tree are not copied but
computed at the next start.

A file that cannot even be opened is opened past (``open_past_damage``). If there is no way in, or the node's
own records (replica id, clock) are in a damaged block, nothing is kept: all files are set aside, the node
begins anew as another replica, and its peers bring the data.

The copy is made in ``REPAIRED`` and takes the place of the old files, which go to ``DAMAGED``, in steps that
an interrupted repair or the next opening takes up again (``rocks_swap.py``).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rocksdict import WriteBatch

from kvgossip.errors import CorruptRowError, DamagedError, StoreError
from kvgossip.model.ids import Key
from kvgossip.store.rocks_open import LOST_LOG, Database, open_database, open_past_damage
from kvgossip.store.rocks_records import FORMAT_NAME, HASH_BYTES, TREE_PREFIX, Family
from kvgossip.store.rocks_swap import begin_copy, finish_swap, mark_complete

WRITE_BYTES = 1 << 20
STEP_ROWS = 256
LOST_NAMED_MAX = 1_000


@dataclass(slots=True)
class Repaired:
    """What a repair kept and lost. ``lost`` holds the first ``LOST_NAMED_MAX`` keys of ``lost_count``."""

    kept_count: int = 0
    lost_count: int = 0
    lost: list[Key] = field(default_factory=list)
    gap_count: int = 0
    """Places at which rows, or what is computed from them, could not be read."""
    set_aside: str | None = None
    """Why nothing was kept; then the directory holds no database any more."""


def repair_directory(path: Path) -> Repaired:
    """Copy what can be read of the database in ``path``, which no node may use.

    Raises ``StoreError`` if it is none of ours, in use, or cannot be written; then ``path`` is as it was.
    """
    if not (path / "CURRENT").exists():
        raise StoreError(f"{path} holds no database")
    try:
        return _copy_directory(path, _open_somehow(path))
    except (DamagedError, CorruptRowError) as error:
        begin_copy(path)
        _swap(path)
        return Repaired(set_aside=str(error.reason if isinstance(error, DamagedError) else error))


def _open_somehow(path: Path) -> Database:
    try:
        return open_database(path)
    except DamagedError:
        return open_past_damage(path)


def _copy_directory(path: Path, damaged: Database) -> Repaired:
    """Raises ``CorruptRowError`` if the records of the node itself cannot be read."""
    try:
        target = begin_copy(path)
        copy = open_database(target)
        try:
            repaired = _copy(damaged, copy)
            if damaged.lost_log is not None:
                (target / LOST_LOG).write_text(damaged.lost_log)
        finally:
            copy.close()
    finally:
        damaged.close()
    _swap(path)
    return repaired


def _swap(path: Path) -> None:
    mark_complete(path)
    finish_swap(path)


def _copy(damaged: Database, copy: Database) -> Repaired:
    repaired = Repaired()
    writer = _Writer(copy)
    for name, data in _read_own_records(damaged):
        writer.put(Family.META, name, data)
    for key, data in _read_past_gaps(damaged, Family.ENTRIES, repaired):
        writer.put(Family.ENTRIES, key, data)
        repaired.kept_count += 1
    writer.write()
    for place, _ in _read_past_gaps(damaged, Family.HASHES, repaired):
        _salvage(damaged, copy, writer, Key(place[HASH_BYTES:]), repaired)
    writer.write()
    copy.sync()
    return repaired


def _read_own_records(damaged: Database) -> list[tuple[bytes, bytes]]:
    """Identity, clock and members: all of them, or a ``CorruptRowError``."""
    found = []
    reading = Repaired()
    for name, data in _read_past_gaps(damaged, Family.META, reading):
        if reading.gap_count or name.startswith(TREE_PREFIX):
            break
        found.append((name, data))
        if name == FORMAT_NAME:  # the last of them
            return found
    raise CorruptRowError("the records of the node itself cannot be read")


def _salvage(damaged: Database, copy: Database, writer: "_Writer", key: Key, repaired: Repaired) -> None:
    """A row that the scan may have missed: copy it, or name it as lost."""
    if copy.get(Family.ENTRIES, key) is not None:
        return
    try:
        data = damaged.get(Family.ENTRIES, key)
    except Exception:  # of the library, without a class of its own: the row is in a damaged block
        data = None
    if data is not None:
        writer.put(Family.ENTRIES, key, data)
        repaired.kept_count += 1
    else:
        repaired.lost_count += 1
        if len(repaired.lost) < LOST_NAMED_MAX:
            repaired.lost.append(key)


class _Writer:
    """Collects rows into batches for the copy."""

    def __init__(self, copy: Database) -> None:
        self._copy = copy
        self._records = WriteBatch(raw_mode=True)
        self._bytes = 0

    def put(self, family: Family, key: bytes, data: bytes) -> None:
        self._records.put(key, data, self._copy.handles[family])
        self._bytes += len(key) + len(data)
        if self._bytes >= WRITE_BYTES:
            self.write()

    def write(self) -> None:
        try:
            self._copy.write_patiently(self._records)
        except Exception as error:
            raise StoreError(f"the copy in {self._copy.path} cannot be written: {error}") from None
        self._records, self._bytes = WriteBatch(raw_mode=True), 0


def _read_past_gaps(database: Database, family: Family, repaired: Repaired) -> Iterator[tuple[bytes, bytes]]:
    """The rows of a family in order of key, without those that cannot be read."""
    start = b""
    while True:
        rows, is_whole = _read(database, family, start, STEP_ROWS)
        yield from rows
        if rows:
            start = rows[-1][0] + b"\0"
        if not is_whole:
            repaired.gap_count += 1
            behind = _end_of_gap(database, family, start)
            if behind is None:
                return
            start = behind
        elif not rows:
            return


def _end_of_gap(database: Database, family: Family, start: bytes) -> bytes | None:
    """A place behind ``start`` from which rows can be read again; None if there is none."""
    width = len(start) + 8
    low = int.from_bytes(start.ljust(width, b"\0"), "big")
    end = 1 << 8 * width
    step = 1
    while low + step < end and not _is_readable(database, family, (low + step).to_bytes(width, "big")):
        step *= 2
    if low + step >= end:
        return None
    bad, good = low + step // 2, low + step
    while good - bad > 1:
        middle = (bad + good) // 2
        if _is_readable(database, family, middle.to_bytes(width, "big")):
            good = middle
        else:
            bad = middle
    return good.to_bytes(width, "big")


def _is_readable(database: Database, family: Family, at: bytes) -> bool:
    return _read(database, family, at, 1)[1]


def _read(
    database: Database, family: Family, start: bytes, rows_max: int
) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Up to ``rows_max`` rows from ``start`` on, and whether no row in between was unreadable."""
    found: list[tuple[bytes, bytes]] = []
    rows = database.rows(family)
    try:
        rows.seek(start)
        while rows.valid() and len(found) < rows_max:
            found.append((rows.key(), rows.value()))
            rows.next()
        rows.status()
    except Exception:  # of the library, without a class of its own: a block that cannot be read
        return found, False
    finally:
        del rows
    return found, True
