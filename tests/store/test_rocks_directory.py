"""What a ``RocksStore`` says of a directory that it cannot use, and what it lets go of."""

import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from rocksdict import Options, Rdict

from kvgossip.errors import CommitRefusedError, StoreError
from kvgossip.store.base import HASH_MAX, Batch
from kvgossip.store.rocks import RocksStore
from kvgossip.store.rocks_records import FORMAT_NAME, Family
from tests.store.rows import SEED, change, commit, key, put


def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        RocksStore(path, SEED)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "a" / "b", SEED)
    put(store, a=b"1")
    store.close()
    assert RocksStore(tmp_path / "a" / "b", SEED).get(key("a")) == b"1"


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, SEED)
    put(store, a=b"1")
    assert "in use" in refusal(tmp_path)
    script = (
        "import sys; from pathlib import Path; from kvgossip.store.rocks import RocksStore\n"
        "try: RocksStore(Path(sys.argv[1]), 7)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    other = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    assert other.stdout.startswith("StoreError"), other
    assert "in use by another process" in other.stdout
    put(store, b=b"2")
    store.check_invariants()


def test_close_frees_the_directory_whatever_was_read(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, SEED)
    put(store, a=b"1")
    batch = Batch([change(store, "b", b"2")])
    store.prepare(batch)
    store.write(batch)
    kept = [store.scan_meta(""), store.scan(key("a"), None, rows_max=1, bytes_max=1), store.tree]
    store.close()
    again = RocksStore(tmp_path, SEED)
    assert again.get(key("b")) == b"2"
    again.close()
    assert kept


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, SEED)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.get(key("a"))
    with pytest.raises(StoreError, match="closed"):
        store.scan_hashes(0, HASH_MAX, rows_max=1)
    with pytest.raises(CommitRefusedError, match="closed"):
        store.write(Batch())


def test_a_directory_with_foreign_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    assert "thesis.tex" in refusal(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.tex"]


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refusal(tmp_path / "file")
    refusal(tmp_path / "file" / "below")


@pytest.mark.parametrize("family", [None, "x"])
def test_the_database_of_another_program_is_refused(tmp_path: Path, family: str | None) -> None:
    foreign = Rdict(str(tmp_path), Options(raw_mode=True))
    foreign[b"a"] = b"b"
    if family:
        foreign.create_column_family(family, Options(raw_mode=True)).close()
    foreign.close()
    assert "another program" in refusal(tmp_path)


def test_a_directory_of_another_format_is_refused_with_a_way_out(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, SEED)
    put(store, a=b"1")
    store._database._families[Family.META][FORMAT_NAME] = b"1"
    store.close()
    assert "disk format 1 and this version reads 2 only: run the version that wrote it" in refusal(tmp_path)


def test_garbage_instead_of_a_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("hello")
    assert "damaged" in refusal(tmp_path)


def test_a_start_that_was_cut_short_begins_again(tmp_path: Path) -> None:
    RocksStore(tmp_path / "new", SEED).close()
    (tmp_path / "new" / "CURRENT").unlink()
    store = RocksStore(tmp_path / "new", SEED)
    put(store, a=b"1")
    store.check_invariants()


def test_a_batch_written_by_another_thread_is_read_by_this_one(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, SEED)
    for i in range(50):
        batch = Batch([change(store, f"{n}", b"%d" % i) for n in range(20)])
        store.prepare(batch)
        writer = Thread(target=store.write, args=(batch,))
        writer.start()
        while writer.is_alive():
            data = {row.data for row in store.scan(key("0"), None, rows_max=99, bytes_max=9_999)}
            assert data == ({b"%d" % (i - 1)} if i else set())
            assert len(store.scan_hashes(0, HASH_MAX, rows_max=99)) == (20 if i else 0)
            assert store.get(key("7")) == (b"%d" % (i - 1) if i else None)
        writer.join()
        store.publish(batch)
        assert store.get(key("7")) == b"%d" % i
    store.check_invariants()


def test_an_empty_batch_is_a_commit(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, SEED)
    commit(store, Batch())
    store.check_invariants()
