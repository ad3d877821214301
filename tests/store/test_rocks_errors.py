"""What a ``RocksStore`` makes of a disk that is full, slow or broken."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvgossip.errors import CommitRefusedError, OutcomeUnknownError, StoreError, StoreFullError
from kvgossip.model.ids import Key
from kvgossip.store import rocks, rocks_open
from kvgossip.store.base import Batch
from kvgossip.store.rocks import RocksStore
from kvgossip.store.rocks_open import Database
from tests.store.rows import SEED, change, key, put

MANY = 1 << 30


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path, SEED)
    put(store, a=b"1")
    yield store
    store.close()


def prepared(store: RocksStore, **rows: bytes) -> Batch:
    batch = Batch([change(store, name, data) for name, data in rows.items()])
    store.prepare(batch)
    return batch


def fail(monkeypatch: pytest.MonkeyPatch, method: str, message: str, *, times: int = MANY) -> list[int]:
    """Let ``Database.method`` fail; the list counts how often it did."""
    failed: list[int] = []
    works = getattr(Database, method)

    def failing(database: Database, *arguments: object) -> object:
        if len(failed) >= times:
            return works(database, *arguments)
        failed.append(1)
        raise Exception(message)

    monkeypatch.setattr(Database, method, failing)
    return failed


def test_a_write_that_fails_stored_nothing(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "write", "IO error: the cable is out", times=1)
    with pytest.raises(CommitRefusedError, match="the cable is out"):
        store.write(prepared(store, b=b"2"))
    assert store.get(key("b")) is None
    put(store, c=b"3")
    assert (store.get(key("b")), store.get(key("c"))) == (None, b"3")
    store.check_invariants()


def test_after_a_failed_sync_nothing_is_shown_or_written(
    store: RocksStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, "sync", "IO error: input/output error", times=1)
    with pytest.raises(OutcomeUnknownError):
        store.write(prepared(store, a=b"2", b=b"2"))
    with pytest.raises(CommitRefusedError, match="restart"):
        store.write(prepared(store, c=b"3"))
    assert (store.get(key("a")), store.get(key("b")), store.get(key("c"))) == (b"1", None, None)
    assert len(store.scan(Key(b""), None, rows_max=9, bytes_max=MANY)) == 1
    store.check_invariants()
    store.close()
    again = RocksStore(tmp_path, SEED)
    assert (again.get(key("a")), again.get(key("b"))) in ((b"1", None), (b"2", b"2"))
    assert again.get(key("c")) is None
    again.check_invariants()
    put(again, c=b"4")


def test_a_write_stall_is_waited_for(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = fail(monkeypatch, "write", "Result incomplete: Write stall", times=3)
    put(store, b=b"2")
    assert len(failed) == 3
    assert store.get(key("b")) == b"2"


def test_a_write_stall_without_end_is_a_refusal(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rocks, "STALL_MS_MAX", 20)
    failed = fail(monkeypatch, "write", "Result incomplete: Write stall")
    with pytest.raises(CommitRefusedError, match="stall"):
        store.write(prepared(store, b=b"2"))
    assert len(failed) > 1
    monkeypatch.undo()
    put(store, b=b"3")


def test_below_the_reserve_a_batch_is_refused_before_the_database_sees_it(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = rocks_open.RESERVE_BYTES + 1_000
    monkeypatch.setattr(rocks, "free_bytes", lambda path: free)
    failed = fail(monkeypatch, "write", "was asked")
    with pytest.raises(StoreFullError, match=r"67,109,864 bytes free"):
        store.write(prepared(store, b=b"2"))
    assert not failed
    assert store.get(key("a")) == b"1"
    monkeypatch.undo()
    put(store, b=b"3")
    assert store.get(key("b")) == b"3"


def test_a_large_batch_needs_a_larger_reserve(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    free = rocks_open.RESERVE_BYTES + (1 << 20)
    monkeypatch.setattr(rocks, "free_bytes", lambda path: free)
    put(store, b=b"2")
    with pytest.raises(StoreFullError):
        store.write(prepared(store, c=bytes(1 << 20)))


def test_after_no_space_the_database_is_opened_again(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = store._database
    fail(monkeypatch, "write", "IO error: No space left on device: While appending", times=1)
    with pytest.raises(StoreFullError):
        store.write(prepared(store, b=b"2"))
    assert store.get(key("a")) == b"1"
    put(store, b=b"3")
    assert store._database is not database
    assert (store.get(key("a")), store.get(key("b"))) == (b"1", b"3")
    store.check_invariants()


# -- a small disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MiB, in memory."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full disk. Mounting a small file system needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("NOT TESTED: a full disk. This machine does not let root mount a tmpfs")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def fill(disk: Path, *, leave_bytes: int = 0) -> Path:
    """Make a file that leaves ``leave_bytes`` free."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, rocks_open.free_bytes(disk) - leave_bytes - 8_192)
        if leave_bytes == 0:
            file.seek(0, os.SEEK_END)
            try:
                while os.write(file.fileno(), bytes(1)):
                    pass
            except OSError:
                pass
    return filler


def test_a_full_disk_refuses_writes_and_recovers(small_disk: Path) -> None:
    store = RocksStore(small_disk / "data", SEED)
    put(store, a=b"1")
    filler = fill(small_disk, leave_bytes=32 << 20)
    with pytest.raises(StoreFullError, match="reserve"):
        store.write(prepared(store, b=b"2"))
    assert store.get(key("a")) == b"1"
    filler.unlink()
    put(store, b=b"3")
    store.check_invariants()
    store.close()


def test_a_disk_that_fills_up_under_the_database_loses_no_batch(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rocks, "RESERVE_BYTES", -MANY)
    store = RocksStore(small_disk / "data", SEED)
    filler = fill(small_disk, leave_bytes=24 << 20)
    kept: dict[str, bytes] = {}
    refused = 0
    while refused < 3:
        name, data = f"{len(kept)}", os.urandom(100_000)
        try:
            put(store, **{name: data})
            kept[name] = data
        except StoreFullError:
            refused += 1
    assert len(kept) > 50
    assert all(store.get(key(name)) == data for name, data in kept.items())
    filler.unlink()
    put(store, last=b"one")
    kept["last"] = b"one"
    store.check_invariants()
    store.close()
    again = RocksStore(small_disk / "data", SEED)
    assert again.lost_log is None
    rows = again.scan(Key(b""), None, rows_max=MANY, bytes_max=MANY)
    assert {row.key[1:].decode(): row.data for row in rows} == kept
    again.check_invariants()
    again.close()


def test_a_start_on_a_full_disk_reads_and_writes_once_there_is_space(small_disk: Path) -> None:
    store = RocksStore(small_disk / "data", SEED)
    put(store, a=b"1")
    store.close()
    filler = fill(small_disk)
    store = RocksStore(small_disk / "data", SEED)
    assert store.is_read_only
    assert store.get(key("a")) == b"1"
    assert store.tree.root.row_count == 1
    with pytest.raises(StoreFullError):
        store.write(prepared(store, b=b"2"))
    filler.unlink()
    put(store, b=b"3")
    assert not store.is_read_only
    assert (store.get(key("a")), store.get(key("b"))) == (b"1", b"3")
    store.check_invariants()
    store.close()


def test_a_start_on_a_full_disk_shows_no_row_that_it_cannot_sync(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash may have left rows that only the page cache holds."""
    store = RocksStore(small_disk / "data", SEED)
    put(store, a=b"1")
    store.close()
    fill(small_disk)
    synced: list[str] = []

    def fail(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="cannot be synced"):
        RocksStore(small_disk / "data", SEED)
    assert [Path(name).suffix for name in synced] == [".log"]


def test_a_new_directory_on_a_full_disk_is_refused(small_disk: Path) -> None:
    (small_disk / "data").mkdir()
    fill(small_disk)
    with pytest.raises(StoreFullError, match="no space"):
        RocksStore(small_disk / "data", SEED)
