"""A flipped bit costs the rows of its block, which are named; all others are there after a repair."""

from contextlib import suppress
from pathlib import Path

import pytest

from kvgossip.errors import CorruptRowError, DamagedError, StoreError
from kvgossip.model.digest import entry_digest, key_hash
from kvgossip.model.ids import Key
from kvgossip.store.base import HASH_MAX, Batch, Change
from kvgossip.store.rocks import RocksStore
from kvgossip.store.rocks_records import Family
from kvgossip.store.rocks_repair import repair_directory

SEED = 7
KEYS = [Key(b"\1k%04d" % number) for number in range(1_000)]


def data_of(key: Key) -> bytes:
    return key_hash(SEED, key).to_bytes(8, "big") * 12


def fill(path: Path) -> None:
    store = RocksStore(path, SEED)
    batch = Batch(meta={"clock": b"the clock"})
    for key in KEYS:
        data = data_of(key)
        batch.changes.append(Change(key, key_hash(SEED, key), entry_digest(SEED, key, data), data, None))
    store.prepare(batch)
    store.write(batch)
    store.publish(batch)
    store.close()


def flip_bit(path: Path, family: Family, at: float) -> None:
    """In the one table file of a family, ``at`` of its length from the start."""
    store = RocksStore(path, SEED)
    store._database._families[family].flush(True)
    files = store._database._families[family].live_files()
    store.close()
    starts = {Family.ENTRIES: b"\1k", Family.META: b"m", Family.HASHES: b""}
    (name,) = [
        file["name"]
        for file in files
        if file["start_key"].startswith(starts[family])
        and (family is not Family.HASHES or not file["start_key"])
    ]
    file = path / name.lstrip("/")
    data = bytearray(file.read_bytes())
    data[int(len(data) * at)] ^= 1
    file.write_bytes(data)


def unreadable(store: RocksStore) -> list[Key]:
    found = []
    for key in KEYS:
        try:
            data = store.get(key)
        except CorruptRowError as error:
            found.append(key)
            named = str(error)
        else:
            assert data == data_of(key)
    assert not found or repr(found[-1]) in named
    return found


@pytest.mark.parametrize("at", [0.05, 0.3, 0.55])
def test_rows_of_a_damaged_block_are_named_and_dropped_and_all_others_kept(tmp_path: Path, at: float) -> None:
    fill(tmp_path)
    flip_bit(tmp_path, Family.ENTRIES, at)
    store = RocksStore(tmp_path, SEED)
    lost = unreadable(store)
    store.close()
    assert 0 < len(lost) < len(KEYS) / 2
    repaired = repair_directory(tmp_path)
    assert sorted(repaired.lost) == lost
    assert repaired.kept_count == len(KEYS) - len(lost)
    store = RocksStore(tmp_path, SEED)
    assert [key for key in KEYS if store.get(key) is None] == lost
    assert len(store.scan(Key(b""), None, rows_max=2_000, bytes_max=1 << 30)) == repaired.kept_count
    assert store.get_meta("clock") == b"the clock"
    store.check_invariants()
    store.close()


def test_damage_in_what_is_computed_from_the_rows_costs_none(tmp_path: Path) -> None:
    fill(tmp_path)
    flip_bit(tmp_path, Family.HASHES, 0.4)
    repaired = repair_directory(tmp_path)
    assert (repaired.kept_count, repaired.lost_count) == (len(KEYS), 0)
    store = RocksStore(tmp_path, SEED)
    assert not unreadable(store)
    store.check_invariants()
    store.close()


def test_a_mark_that_cannot_be_read_is_named_and_nothing_is_asked_of_no_ranges(tmp_path: Path) -> None:
    fill(tmp_path)
    flip_bit(tmp_path, Family.HASHES, 0.4)
    store = RocksStore(tmp_path, SEED)
    place = key_hash(SEED, KEYS[0]), KEYS[0]
    batch = Batch([Change(KEYS[0], place[0], 1, b"later", entry_digest(SEED, KEYS[0], data_of(KEYS[0])))])
    store.prepare(batch)
    store.write(batch)  # from here on the reads share one iterator
    unread = []
    for key in KEYS:
        with suppress(CorruptRowError):
            store.get_marks([(key_hash(SEED, key), key)])
            continue
        unread.append(key)
        with pytest.raises(CorruptRowError, match=key.decode("latin-1")[1:]):
            store.get_marks([(key_hash(SEED, key), key)])
    assert 0 < len(unread) < len(KEYS)
    with pytest.raises(CorruptRowError, match="checksum"):
        store.scan_ranges([(0, HASH_MAX)], rows_max=len(KEYS))
    assert store.scan_ranges([], rows_max=1) == []
    store.publish(batch)
    store.close()


def test_with_damage_in_the_records_of_the_node_all_files_are_set_aside(tmp_path: Path) -> None:
    fill(tmp_path)
    flip_bit(tmp_path, Family.META, 0.0)
    before = sorted(file.name for file in tmp_path.glob("*.sst"))
    repaired = repair_directory(tmp_path)
    assert "records of the node itself" in str(repaired.set_aside)
    assert set(before) <= {file.name for file in (tmp_path / "DAMAGED").glob("*.sst")}
    check_is_empty(tmp_path)


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-*"])
def test_without_a_way_in_all_files_are_set_aside(tmp_path: Path, name: str) -> None:
    fill(tmp_path)
    (file,) = tmp_path.glob(name)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedError, match="kvgossip repair --data-dir"):
        RocksStore(tmp_path, SEED)
    assert repair_directory(tmp_path).set_aside is not None
    assert (tmp_path / "DAMAGED" / file.name).read_bytes() == data
    check_is_empty(tmp_path)


def check_is_empty(path: Path) -> None:
    store = RocksStore(path, SEED)
    assert store.get_meta("clock") is None
    assert store.tree.root.row_count == 0
    store.close()


@pytest.mark.parametrize("family", [Family.ENTRIES, Family.HASHES])
def test_a_file_that_cannot_be_opened_is_opened_past(tmp_path: Path, family: Family) -> None:
    """A bit at the end of a file is one of its index or footer."""
    fill(tmp_path)
    flip_bit(tmp_path, family, 0.995)
    with pytest.raises(DamagedError, match="kvgossip repair --data-dir"):
        RocksStore(tmp_path, SEED)
    repaired = repair_directory(tmp_path)
    assert repaired.set_aside is None
    assert repaired.kept_count + repaired.lost_count == len(KEYS)
    if family is Family.HASHES:
        assert repaired.lost_count == 0
    store = RocksStore(tmp_path, SEED)
    assert store.lost_log, "records of the log may have been skipped: a new replica id"
    assert store.get_meta("clock") == b"the clock"
    assert sorted(
        set(KEYS) - {row.key for row in store.scan(Key(b""), None, rows_max=9_999, bytes_max=1 << 30)}
    ) == (sorted(repaired.lost))
    store.check_invariants()
    store.close()


@pytest.mark.parametrize("step", range(1, 30))
def test_a_swap_that_was_cut_short_is_finished_by_the_next_opening(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    steps = 0
    rename = Path.rename

    def counted(file: Path, target: Path) -> Path:
        nonlocal steps
        steps += 1
        if steps == step:
            raise KeyboardInterrupt
        return rename(file, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted)
        with suppress(KeyboardInterrupt):
            repair_directory(tmp_path)
    store = RocksStore(tmp_path, SEED)
    assert all(store.get(key) == data_of(key) for key in KEYS)
    store.close()
    assert not (tmp_path / "REPAIRED").exists()


def test_a_directory_without_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database"):
        repair_directory(tmp_path)
