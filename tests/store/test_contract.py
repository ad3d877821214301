"""What every store promises. One suite for all of them."""

from random import Random

import pytest

from kvgossip.model.digest import entry_digest, key_hash
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import encode_entry, peek_stamp
from kvgossip.model.ids import Key, Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.stamp import STAMP_ZERO, Stamp
from kvgossip.store.base import HASH_MAX, Batch, Change, HashRow, Mark, Store
from tests.store.conftest import Disk
from tests.store.rows import SEED, all_hash_rows, change, commit, key, put

MANY = 1 << 30


def names(store: Store, start: str = "", end: str | None = None, **options: bool) -> list[bytes]:
    rows = store.scan(
        key(start) if start else Key(b""),
        None if end is None else key(end),
        rows_max=MANY,
        bytes_max=MANY,
        **options,
    )
    return [row.key[1:] for row in rows]


# -- rows


def test_a_row_reads_back_as_written(store: Store) -> None:
    put(store, a=b"one", b=b"")
    assert store.get(key("a")) == b"one"
    assert store.get(key("b")) == b""
    assert store.get(key("c")) is None


def test_an_overwrite_replaces_the_row(store: Store) -> None:
    put(store, a=b"one")
    put(store, a=b"two")
    assert store.get(key("a")) == b"two"
    assert names(store) == [b"a"]
    assert len(all_hash_rows(store)) == 1


def mark(name: str, data: bytes) -> Mark:
    return Mark(entry_digest(SEED, key(name), data), peek_stamp(key(name), data))


def marks(store: Store, names: str) -> list[Mark | None]:
    return store.get_marks([(key_hash(SEED, key(name)), key(name)) for name in names])


def test_many_rows_are_read_at_once_in_the_order_asked_for(store: Store) -> None:
    put(store, a=b"1", b=b"2")
    assert store.get_many([key("b"), key("x"), key("a"), key("b")]) == [b"2", None, b"1", b"2"]
    assert store.get_many([]) == []


def test_marks_are_read_together_in_the_order_asked_for(store: Store) -> None:
    stamped = encode_entry(KvEntry(Dot(ReplicaId(1), 1), Stamp(77), None))
    put(store, a=b"1", b=stamped)
    assert marks(store, "bxab") == [mark("b", stamped), None, mark("a", b"1"), mark("b", stamped)]
    assert marks(store, "b")[0] == Mark(entry_digest(SEED, key("b"), stamped), Stamp(77))
    assert store.get_marks([]) == []


def test_an_entry_of_a_kind_without_a_deciding_stamp_has_none_in_its_mark(store: Store) -> None:
    mv, data = make_key(Kind.MV, b"k"), bytes(range(20))
    commit(store, Batch([Change(mv, 9, 10, data, None)]))
    assert store.get_marks([(9, mv)]) == [Mark(10, Stamp(0))]


def test_rows_and_marks_read_together_are_committed_ones(store: Store) -> None:
    put(store, a=b"1", b=b"2")
    batch = Batch([change(store, "a", b"later"), change(store, "c", b"new")])
    store.prepare(batch)
    store.write(batch)
    assert store.get_many([key("b"), key("a"), key("c")]) == [b"2", b"1", None]
    assert marks(store, "bac") == [mark("b", b"2"), mark("a", b"1"), None]
    assert (store.get(key("a")), store.get(key("b")), store.get(key("c"))) == (b"1", b"2", None)
    store.publish(batch)
    assert store.get_many([key("a"), key("c")]) == [b"later", b"new"]
    assert marks(store, "ac") == [mark("a", b"later"), mark("c", b"new")]


def test_keys_are_any_bytes(store: Store) -> None:
    keys = [Key(b"\x01"), Key(b"\x01\x00"), Key(b"\x01\xff\xff"), Key(b"\x02" + b"k" * 1_024)]
    commit(store, Batch([Change(k, i, i, k, None) for i, k in enumerate(keys)]))
    assert [store.get(k) for k in keys] == keys
    assert [row.key for row in store.scan(Key(b""), None, rows_max=9, bytes_max=MANY)] == sorted(keys)


# -- scans


def test_a_scan_includes_its_start_and_excludes_its_end(store: Store) -> None:
    put(store, a=b"1", b=b"2", c=b"3", d=b"4")
    assert names(store, "b", "d") == [b"b", b"c"]
    assert names(store, "b") == [b"b", b"c", b"d"]
    assert names(store, "bb", "cc") == [b"c"]
    assert names(store, "c", "c") == names(store, "d", "a") == names(store, "e") == []


def test_a_reverse_scan_is_the_same_rows_the_other_way(store: Store) -> None:
    put(store, a=b"1", b=b"2", c=b"3", d=b"4")
    for start in ("", "a", "b", "bb", "d", "e"):
        for end in (None, "a", "b", "cc", "d", "e"):
            assert names(store, start, end, reverse=True) == names(store, start, end)[::-1], (start, end)


def test_a_scan_of_an_empty_store_is_empty(store: Store) -> None:
    assert names(store) == names(store, reverse=True) == []
    assert all_hash_rows(store) == []


def test_a_scan_stops_at_its_bounds_but_brings_one_row(store: Store) -> None:
    put(store, a=b"12345", b=b"12345", c=b"12345")

    def count(*, rows_max: int, bytes_max: int) -> int:
        return len(store.scan(key("a"), None, rows_max=rows_max, bytes_max=bytes_max))

    assert [count(rows_max=n, bytes_max=MANY) for n in (1, 2, 3, 4)] == [1, 2, 3, 3]
    assert [count(rows_max=MANY, bytes_max=n) for n in (0, 5, 6, 10, 11)] == [1, 1, 2, 2, 3]


def test_a_scan_resumes_by_position(store: Store) -> None:
    put(store, **{f"k{i:03}": b"v" * i for i in range(50)})
    found, start = [], Key(b"")
    while rows := store.scan(start, None, rows_max=7, bytes_max=100):
        found += rows
        start = Key(rows[-1].key + b"\0")
    assert found == store.scan(Key(b""), None, rows_max=MANY, bytes_max=MANY)


# -- hash scans


def tied(store: Store) -> list[HashRow]:
    """Rows with ties of hash, at the ends of the range too."""
    rows = [
        HashRow(hash_, key(f"{hash_ % 97}-{i}"), hash_ ^ i, STAMP_ZERO)
        for hash_ in (0, 1, 5, 1 << 63, HASH_MAX - 1, HASH_MAX)
        for i in range(4)
    ]
    commit(store, Batch([Change(row.key, row.hash, row.digest, b"", None) for row in reversed(rows)]))
    return sorted(rows)


def test_hash_rows_come_in_order_of_hash_and_key(store: Store) -> None:
    assert tied(store) == all_hash_rows(store)


def test_a_hash_scan_includes_both_ends(store: Store) -> None:
    rows = tied(store)
    for first, last in ((0, 0), (1, 5), (2, 4), (5, HASH_MAX), (HASH_MAX, HASH_MAX), (6, 1 << 63)):
        expected = [row for row in rows if first <= row.hash <= last]
        assert store.scan_hashes(first, last, rows_max=MANY) == expected


@pytest.mark.parametrize("rows_max", [1, 2, 3, 5, 24])
def test_a_hash_scan_resumes_inside_a_tie(store: Store, rows_max: int) -> None:
    rows = tied(store)
    found = store.scan_hashes(0, HASH_MAX, rows_max=rows_max)
    while more := store.scan_hashes(found[-1].hash, HASH_MAX, rows_max=rows_max, after=found[-1].key):
        assert len(more) <= rows_max
        found += more
    assert found == rows


@pytest.mark.parametrize("rows_max", [1, 3, MANY])
def test_a_scan_of_many_ranges_answers_what_scans_of_each_do(store: Store, rows_max: int) -> None:
    tied(store)
    bounds = [(6, 1 << 63), (0, 0), (2, 4), (HASH_MAX, HASH_MAX), (0, HASH_MAX), (5, 5), (0, 0)]
    each = [store.scan_hashes(first, last, rows_max=rows_max) for first, last in bounds]
    assert store.scan_ranges(bounds, rows_max=rows_max) == each
    assert store.scan_ranges([], rows_max=rows_max) == []


def test_a_hash_scan_resumes_behind_a_row_that_is_not_there(store: Store) -> None:
    rows = tied(store)
    middle = Key(rows[4].key + b"\0")
    assert store.scan_hashes(rows[4].hash, HASH_MAX, rows_max=1, after=middle) == [rows[5]]


# -- meta


def test_meta_records_are_kept_replaced_and_removed(store: Store) -> None:
    commit(store, Batch(meta={"clock": b"1", "member/a": b"2", "member/b": b"", "z": b"3"}))
    commit(store, Batch(meta={"clock": b"4", "z": None, "never": None}))
    assert store.get_meta("clock") == b"4"
    assert store.get_meta("z") is None
    assert store.get_meta("never") is None
    assert list(store.scan_meta("member/")) == [("member/a", b"2"), ("member/b", b"")]
    assert [name for name, _ in store.scan_meta("")] == ["clock", "member/a", "member/b"]


def test_meta_is_no_row(store: Store) -> None:
    commit(store, Batch(meta={"clock": b"1"}))
    assert names(store) == []
    assert all_hash_rows(store) == []
    assert store.tree.root == (0, 0)


# -- commits


def test_nothing_is_seen_before_it_is_published(store: Store) -> None:
    put(store, a=b"old")
    root = store.tree.root
    batch = Batch([change(store, "a", b"new"), change(store, "b", b"new")], {"clock": b"1"})

    def check_unseen() -> None:
        assert store.get(key("a")) == b"old"
        assert names(store) == [b"a"]
        assert len(all_hash_rows(store)) == 1
        assert store.get_meta("clock") is None
        assert store.tree.root == root == store.fingerprint(0, 0)
        store.check_invariants()

    store.prepare(batch)
    check_unseen()
    store.write(batch)
    check_unseen()
    store.publish(batch)
    assert store.get(key("a")) == store.get(key("b")) == b"new"
    assert store.get_meta("clock") == b"1"
    store.check_invariants()


def test_a_batch_that_was_prepared_and_dropped_leaves_nothing(store: Store) -> None:
    put(store, a=b"1")
    store.prepare(Batch([change(store, "a", b"2"), change(store, "b", b"2")]))
    put(store, b=b"3")
    assert (store.get(key("a")), store.get(key("b"))) == (b"1", b"3")
    store.check_invariants()


def test_a_batch_that_was_written_is_there_after_a_crash(disk: Disk) -> None:
    store = disk.open()
    put(store, a=b"1")
    batch = Batch([change(store, "a", b"2"), change(store, "b", b"2")], {"clock": b"9"})
    store.prepare(batch)
    store.write(batch)
    after = disk.crash(store)
    assert (after.get(key("a")), after.get(key("b")), after.get_meta("clock")) == (b"2", b"2", b"9")
    after.check_invariants()
    put(after, c=b"3")
    after.check_invariants()


def test_a_batch_that_was_only_prepared_is_gone_after_a_crash(disk: Disk) -> None:
    store = disk.open()
    put(store, a=b"1")
    store.prepare(Batch([change(store, "b", b"2")], {"clock": b"9"}))
    after = disk.crash(store)
    assert names(after) == [b"a"]
    assert after.get_meta("clock") is None
    assert after.tree.root == store.tree.root


def test_a_crash_after_every_commit_loses_nothing(disk: Disk) -> None:
    rng = Random(3)
    store, expected = disk.open(), {}
    for _ in range(10):
        rows = {f"{rng.randrange(30)}": rng.randbytes(rng.randrange(50)) for _ in range(8)}
        put(store, **rows)
        expected.update(rows)
        store = disk.crash(store)
        assert {
            row.key[1:].decode(): row.data
            for row in store.scan(Key(b""), None, rows_max=MANY, bytes_max=MANY)
        } == expected
        store.check_invariants()


def test_another_seed_places_every_row_anew(disk: Disk) -> None:
    store = disk.open()
    for start in range(0, 700, 100):
        put(store, **{f"{i}": b"v" for i in range(start, start + 100)})
    before = disk.crash(store)
    after = disk.crash(before, digest_seed=8)
    after.check_invariants()
    assert after.tree.root.row_count == 700
    assert after.tree.root != before.tree.root
    places = {(row.hash, row.key) for row in all_hash_rows(before)}
    assert not places & {(row.hash, row.key) for row in all_hash_rows(after)}
    back = disk.crash(after)
    assert back.tree.root == before.tree.root
    assert all_hash_rows(back) == all_hash_rows(before)
