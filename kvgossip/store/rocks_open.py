"""Opening the directory of a ``RocksStore``: its files, the limits of RocksDB, and what a crash may leave.

The families are flushed atomically, so they never part.

**The log after a crash.** A torn tail is what a power loss leaves, and no acknowledged batch is in it: the
log is opened in the mode that tolerates it. If RocksDB refuses (a wrong checksum), or there are zeros
(``rocks_log.py``), the directory is opened point-in-time, which drops everything behind the damage, maybe
acknowledged batches too. ``lost_log`` then says why, and the node must take a new replica id. A file
``LOST-LOG`` remembers that until the first batch of the new id is durable, should the node crash before. A
power loss may leave a torn tail that looks like damage; then the new id was not needed, and does no harm.

**A full disk at the start.** RocksDB cannot open for writing without space. It is opened read-only, after a
sync of the log: what a crash left unsynced would be shown, and might be gone after a power loss.

**Space.** ``RESERVE_BYTES`` must be free before a batch is handed to RocksDB, because after an ENOSPC it
takes nothing more until it is opened again. It is what RocksDB may still write without being asked again:

    the log until it is cut      LOG_BYTES_MAX
    what is in memory, flushed   MEMTABLE_BYTES_MAX filling + as much being flushed

and twice the batch (log and flush). A compaction may want more; if it fails, its inputs stay, writes stall,
and the database is opened again once there is space.

**Memory** is the memtables (at most twice ``MEMTABLE_BYTES_MAX``), one block cache for all families, in which
indexes and filters count, and nothing that grows with the rows. ``python -m bench memory`` measures it at
1,000,000 rows of 20-byte keys and 100-byte values.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    RdictIter,
    Snapshot,
    WriteBatch,
    WriteOptions,
)

from kvgossip.errors import DamagedError, StoreError, StoreFullError
from kvgossip.store.base import Place
from kvgossip.store.rocks_log import find_zeros
from kvgossip.store.rocks_records import Family, Handles, place_name
from kvgossip.store.rocks_swap import COPY, DAMAGED, finish_swap, sync_directory

CACHE_BYTES = 128 << 20
MEMTABLE_BYTES_MAX = 16 << 20
"""Of all families together; then they are flushed."""
LOG_BYTES_MAX = 32 << 20
RESERVE_BYTES = LOG_BYTES_MAX + 2 * MEMTABLE_BYTES_MAX

LOST_LOG = "LOST-LOG"
_OWN_FILES = (
    "LOCK",
    "LOG",
    "IDENTITY",
    "CURRENT",
    "MANIFEST-",
    "OPTIONS-",
    "rocksdict-config.json",
    LOST_LOG,
    COPY,
    DAMAGED,
)
_TOLERANT = DBRecoveryMode.tolerate_corrupted_tail_records()
_OWN_SUFFIXES = (".log", ".sst", ".dbtmp")


class Database:
    """An open directory: its rows as they are now, committed or not, and the way to write.

    Who drops it calls ``close`` and drops every iterator, snapshot and handle: RocksDB keeps the directory
    locked as long as one of them is referenced, if only by a traceback.
    """

    def __init__(self, path: Path, rdict: Rdict, *, is_read_only: bool, lost_log: str | None) -> None:
        self.path = path
        self.is_read_only = is_read_only
        self.lost_log = lost_log
        self.is_closed = False
        self._rdict = rdict
        self._families = {family: rdict.get_column_family(family.value) for family in Family}
        self._without_slowdown = WriteOptions()
        self._without_slowdown.no_slowdown = True

    @property
    def handles(self) -> Handles:
        return {family: self._rdict.get_column_family_handle(family.value) for family in Family}

    def get(self, family: Family, key: bytes) -> bytes | None:
        value: bytes | None = self._families[family].get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Of *entries*."""
        values: list[bytes | None] = self._families[Family.ENTRIES].get(list(keys))  # type: ignore[assignment]
        return values

    def get_places(self, places: Sequence[Place]) -> list[bytes | None]:
        """Of *hashes*."""
        names = [place_name(place) for place in places]
        values: list[bytes | None] = self._families[Family.HASHES].get(names)  # type: ignore[arg-type,assignment]
        return values

    def rows(self, family: Family) -> RdictIter:
        return self._families[family].iter()

    def snapshot(self, family: Family) -> Snapshot:
        return self._families[family].snapshot()

    def write(self, batch: WriteBatch) -> None:
        """To the log, not synced. Raises at once in a write stall, so the interpreter lock is not held."""
        self._rdict.write(batch, self._without_slowdown)

    def write_patiently(self, batch: WriteBatch) -> None:
        """The same, but wait while RocksDB stalls: for nobody else's time."""
        self._rdict.write(batch)

    def sync(self) -> None:
        """Until the log is on the disk. Does not hold the interpreter lock."""
        self._rdict.flush_wal(True)

    def background_error_count(self) -> int:
        """Failed flushes and compactions since the opening."""
        return self._rdict.property_int_value("rocksdb.background-errors") or 0

    def forget_lost_log(self) -> None:
        """The loss was answered for: the next start need not."""
        if self.lost_log is not None:
            self.lost_log = None
            with suppress(OSError):  # then the next start answers for it again, which does no harm
                (self.path / LOST_LOG).unlink(missing_ok=True)

    def close(self) -> None:
        self.is_closed = True
        for rdict in (*self._families.values(), self._rdict):
            with suppress(Exception):  # after an ENOSPC it complains once more, and closes
                rdict.close()


def open_database(path: Path) -> Database:
    """Open, or make, the database in ``path``.

    Raises ``StoreError`` (``StoreFullError`` if there is no space even to make it) in one clear line.
    """
    _check_directory(path)
    try:
        return _open(path)
    except StoreError:
        raise
    except Exception as error:
        raise _explained(path, str(error)) from None


def open_past_damage(path: Path) -> Database:
    """For a repair: open although files are damaged; what they held fails when it is read.

    Records of the log may be skipped without a word, so the node must take a new replica id. Raises
    ``StoreError`` if the damage is in what names the files.
    """
    try:
        damage = "files were damaged, and records of the log may have been skipped"
        _note_lost_log(path, damage)
        rdict = _rdict(path, DBRecoveryMode.point_in_time(), is_checked=False)
        return Database(path, rdict, is_read_only=False, lost_log=damage)
    except Exception as error:
        raise _explained(path, str(error)) from None


def free_bytes(path: Path) -> int:
    """What this process may still write to the file system of ``path``."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def is_no_space(message: str) -> bool:
    return "No space left on device" in message or "Disk quota exceeded" in message


def _open(path: Path) -> Database:
    marker = path / LOST_LOG
    lost_log = (marker.read_text() or "unknown damage") if marker.exists() else None
    damage = find_zeros(path)
    if damage is None:
        try:
            return Database(path, _rdict(path, _TOLERANT), is_read_only=False, lost_log=lost_log)
        except Exception as error:
            reason = str(error)
        if is_no_space(reason):
            return _open_read_only(path, lost_log)
        if not _is_damage(reason):
            raise _explained(path, reason)
        damage = reason
    try:
        _note_lost_log(path, damage)
    except OSError:
        return _open_read_only(path, damage)
    rdict = _rdict(path, DBRecoveryMode.point_in_time())
    return Database(path, rdict, is_read_only=False, lost_log=damage)


def _note_lost_log(path: Path, damage: str) -> None:
    (path / LOST_LOG).write_text(damage)
    sync_directory(path)


def _open_read_only(path: Path, lost_log: str | None) -> Database:
    if not (path / "CURRENT").exists():
        raise StoreFullError(f"no space left to make a database in {path}: free some and start again")
    for log in path.glob("*.log"):
        _sync_file(log)
    # Point-in-time, because it opens whatever the log looks like; the next opening for writing judges it.
    rdict = _rdict(path, DBRecoveryMode.point_in_time(), AccessType.read_only(False))
    return Database(path, rdict, is_read_only=True, lost_log=lost_log)


def _sync_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"{path} cannot be synced, so its rows are not shown: {error.strerror}") from None


def _rdict(
    path: Path, recovery: DBRecoveryMode, access: AccessType | None = None, *, is_checked: bool = True
) -> Rdict:
    cache = Cache(CACHE_BYTES)
    # Hashes and digests are random: trying to compress them costs time and gains nothing.
    families = {
        family.value: _options(cache, recovery, is_compressed=family is not Family.HASHES)
        for family in Family
    }
    options = _options(cache, recovery, is_compressed=True)
    options.set_paranoid_checks(is_checked)
    families["default"] = options
    return Rdict(str(path), options, families, access or AccessType.read_write())


def _options(cache: Cache, recovery: DBRecoveryMode, *, is_compressed: bool) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_block_size(4 << 10)  # a read of a random key costs a block
    table.set_bloom_filter(10, False)  # a merge asks for keys that are not there
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_format_version(5)

    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_atomic_flush(True)
    options.set_wal_recovery_mode(recovery)
    options.set_db_write_buffer_size(MEMTABLE_BYTES_MAX)
    options.set_write_buffer_size(MEMTABLE_BYTES_MAX)
    options.set_max_total_wal_size(LOG_BYTES_MAX)
    options.set_memtable_whole_key_filtering(True)  # most reads are of what is on the disk
    options.set_memtable_prefix_bloom_ratio(0.05)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.lz4() if is_compressed else DBCompressionType.none())
    options.set_target_file_size_base(8 << 20)
    options.set_max_bytes_for_level_base(16 << 20)
    options.set_max_background_jobs(2)
    options.set_max_open_files(512)
    options.set_keep_log_file_num(2)  # of its own diary, not of the write-ahead log
    options.set_max_log_file_size(1 << 20)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


def _check_directory(path: Path) -> None:
    """Make ``path`` if it is missing. Raises ``StoreError`` if it is no directory for us."""
    try:
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
            sync_directory(path.parent)
        finish_swap(path)
        names = sorted(os.listdir(path))
    except OSError as error:
        raise _explained(path, f"{error.strerror}") from None
    foreign = [name for name in names if not name.startswith(_OWN_FILES) and not name.endswith(_OWN_SUFFIXES)]
    if foreign:
        raise StoreError(
            f"{path} is no data directory of kvgossip: it holds {foreign[0]!r}; name an empty one"
        )
    if "CURRENT" in names:
        try:
            families = Rdict.list_cf(str(path))
        except Exception as error:
            raise _explained(path, str(error)) from None
        strange = sorted(set(families) - {"default", *(family.value for family in Family)})
        if strange or (families == ["default"] and _has_rows(path)):
            raise StoreError(f"{path} holds another program's database: name an empty directory")


def _has_rows(path: Path) -> bool:
    """True if the default family, which we do not use, holds something."""
    rdict = Rdict(str(path), Options(raw_mode=True), access_type=AccessType.read_only(False))
    rows = rdict.iter()
    rows.seek_to_first()
    found: bool = rows.valid()
    del rows
    rdict.close()
    return found


def _is_damage(reason: str) -> bool:
    """True for files that are not what they were, or that ``CURRENT`` names and nobody made."""
    return reason.startswith("Corruption") or ("No such file" in reason and "MANIFEST-" in reason)


def _explained(path: Path, reason: str) -> StoreError:
    if "lock hold by current process" in reason or "While lock file" in reason:
        return StoreError(f"{path} is in use by another process: one node a directory")
    if is_no_space(reason):
        return StoreFullError(f"no space left for the database in {path}: free some and start again")
    if _is_damage(reason):
        return DamagedError(str(path), reason)
    return StoreError(f"the data directory {path} cannot be used: {reason}")
