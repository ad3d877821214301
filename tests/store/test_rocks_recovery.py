"""What a ``RocksStore`` finds after a power loss or bit rot: every earlier batch, or a loud word."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from shutil import copytree, rmtree
from tempfile import TemporaryDirectory

import pytest
from rocksdict import WriteBatch

from kvgossip.errors import CorruptRowError, StoreError
from kvgossip.model.ids import Key
from kvgossip.store.base import HASH_MAX, Batch
from kvgossip.store.rocks import RocksStore
from kvgossip.store.rocks_log import BLOCK_BYTES
from tests.store.images import take_image
from tests.store.rows import SEED, change, commit, key, put

MANY = 1 << 30


def log_of(directory: Path) -> Path:
    return max(directory.glob("*.log"))


@pytest.fixture
def logged(tmp_path: Path) -> tuple[Path, list[int]]:
    """A directory in use, whose log holds five batches; where the log ended after each."""
    directory = tmp_path / "live"
    store = RocksStore(directory, SEED)
    ends = []
    for i in range(5):
        commit(store, Batch([change(store, f"{i}", b"x")], {"clock": b"%d" % i}))
        ends.append(log_of(directory).stat().st_size)
    take_image(directory, tmp_path / "image")
    store.close()
    return tmp_path / "image", ends


def check_holds_exactly(store: RocksStore, batch_count: int) -> None:
    rows = store.scan(Key(b""), None, rows_max=99, bytes_max=MANY)
    assert [row.key[1:] for row in rows] == [b"%d" % i for i in range(batch_count)]
    assert store.get_meta("clock") == b"%d" % (batch_count - 1)
    store.check_invariants()


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: hundreds of openings wait for the disk otherwise."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as directory:
        yield Path(directory)


def test_a_log_cut_at_any_byte_keeps_every_earlier_batch(
    logged: tuple[Path, list[int]], scratch: Path
) -> None:
    """Of the last three records."""
    image, ends = logged
    assert all(100 < ends[n] - ends[n - 1] < 500 for n in (2, 3, 4))
    for cut in range(ends[1], ends[4] + 1):
        directory = scratch / f"{cut}"
        copytree(image, directory)
        with log_of(directory).open("r+b") as log:
            log.truncate(cut)
        store = RocksStore(directory, SEED)
        check_holds_exactly(store, sum(end <= cut for end in ends))
        assert store.lost_log is None
        store.close()
        rmtree(directory)


def damaged(image: Path, damage: Callable[[bytearray], None]) -> Path:
    log = log_of(image)
    content = bytearray(log.read_bytes())
    damage(content)
    log.write_bytes(content)
    return image


def check_loss_is_answered_for(image: Path, batch_count: int) -> None:
    """The loss is told at every start until a batch is durable."""
    for _ in range(2):
        store = RocksStore(image, SEED)
        assert store.lost_log is not None
        check_holds_exactly(store, batch_count)
        store.close()
    store = RocksStore(image, SEED)
    put(store, new=b"id")
    store.close()
    store = RocksStore(image, SEED)
    assert store.lost_log is None
    assert store.get(key("new")) == b"id"
    store.check_invariants()


@pytest.mark.parametrize("first", [0, 7], ids=["whole", "behind its header"])
def test_a_last_record_of_zeros_is_told_as_a_loss(logged: tuple[Path, list[int]], first: int) -> None:
    image, ends = logged

    def zero(log: bytearray) -> None:
        log[ends[3] + first : ends[4]] = bytes(ends[4] - ends[3] - first)

    check_loss_is_answered_for(damaged(image, zero), 4)


@pytest.mark.parametrize("length", [1, 7, 200])
def test_zeros_in_the_middle_of_the_log_are_told_as_a_loss(
    logged: tuple[Path, list[int]], length: int
) -> None:
    image, ends = logged

    def zero(log: bytearray) -> None:
        log[ends[1] : ends[1] + length] = bytes(length)

    check_loss_is_answered_for(damaged(image, zero), 2)


def test_a_flipped_bit_in_the_middle_of_the_log_is_told_as_a_loss(logged: tuple[Path, list[int]]) -> None:
    image, ends = logged

    def flip(log: bytearray) -> None:
        log[(ends[1] + ends[2]) // 2] ^= 1

    check_loss_is_answered_for(damaged(image, flip), 2)


def test_a_long_log_without_damage_is_no_loss(tmp_path: Path) -> None:
    """Blocks end in fewer bytes than a header: these zeros are none."""
    store = RocksStore(tmp_path / "live", SEED)
    rng = Random(1)
    for i in range(300):
        put(store, **{f"{i}": rng.randbytes(rng.randrange(2_000))})
    take_image(tmp_path / "live", tmp_path / "image")
    assert log_of(tmp_path / "image").stat().st_size > 5 * BLOCK_BYTES
    again = RocksStore(tmp_path / "image", SEED)
    assert again.lost_log is None
    assert again.tree.root == store.tree.root


# -- bit rot in the tables


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A closed directory with 2,000 rows in table files."""
    store = RocksStore(tmp_path, SEED)
    rng = Random(2)
    for start in range(0, 2_000, 100):
        names = [f"{i:04}" for i in range(start, start + 100)]
        commit(store, Batch([change(store, name, rng.randbytes(100)) for name in names]))
    store.close()
    RocksStore(tmp_path, SEED).close()  # the log becomes tables
    assert len(list(tmp_path.glob("*.sst"))) == 3
    return tmp_path


def flip_bit(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 4
    path.write_bytes(content)


def test_bit_rot_in_a_row_is_detected_and_named(tables: Path) -> None:
    flip_bit(max(tables.glob("*.sst"), key=lambda path: path.stat().st_size), 40)
    store = RocksStore(tables, SEED)
    with pytest.raises(CorruptRowError, match=r"0000.*checksum"):
        store.get(key("0000"))
    assert store.get(key("1999")) is not None
    with pytest.raises(CorruptRowError, match="checksum"):
        store.scan(Key(b""), None, rows_max=MANY, bytes_max=MANY)
    with pytest.raises(CorruptRowError, match=r"before .*\d{4}.*checksum"):
        store.scan(Key(b""), None, rows_max=MANY, bytes_max=MANY, reverse=True)
    assert len(store.scan(key("1000"), None, rows_max=MANY, bytes_max=MANY)) == 1_000


def test_bit_rot_in_a_hash_row_is_detected(tables: Path) -> None:
    _, path, _ = sorted(tables.glob("*.sst"), key=lambda path: path.stat().st_size)
    flip_bit(path, 40)
    store = RocksStore(tables, SEED)
    with pytest.raises(CorruptRowError, match="checksum"):
        store.scan_hashes(0, HASH_MAX, rows_max=MANY)
    with pytest.raises(CorruptRowError, match="checksum"):
        store.children(0, 0, 12)


def test_bit_rot_in_meta_is_detected_at_the_start(tables: Path) -> None:
    flip_bit(min(tables.glob("*.sst"), key=lambda path: path.stat().st_size), 40)
    with pytest.raises(StoreError, match="checksum"):
        RocksStore(tables, SEED)


def test_a_missing_table_is_named(tables: Path) -> None:
    path = max(tables.glob("*.sst"))
    path.unlink()
    with pytest.raises(StoreError, match=path.name):
        RocksStore(tables, SEED)


def test_a_recomputation_that_was_cut_short_begins_again(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over = RocksStore._hand_over
    writes = 0

    def stop_at_the_fourth(store: RocksStore, encode: Callable[[], WriteBatch]) -> None:
        nonlocal writes
        writes += 1
        if writes > 3:
            raise KeyboardInterrupt
        hand_over(store, encode)

    monkeypatch.setattr(RocksStore, "_hand_over", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        RocksStore(tables, SEED + 1)
    monkeypatch.undo()
    assert writes == 4
    for digest_seed in (SEED, SEED + 1):
        store = RocksStore(tables, digest_seed)
        store.check_invariants()
        assert store.tree.root.row_count == 2_000
        store.close()
