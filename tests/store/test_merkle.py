"""The tree of every store equals a naive one, however it grew."""

from random import Random

import pytest

from kvgossip.store import leaves, merkle
from kvgossip.store.base import Batch, Change, Store
from kvgossip.store.memory import MemoryStore
from kvgossip.store.merkle import MerkleTree
from tests.store.conftest import Disk
from tests.store.rows import SEED, all_hash_rows, commit, key, naive_fingerprint, random_batch


@pytest.fixture
def small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits begin at 256 rows instead of 8,192."""
    monkeypatch.setattr(merkle, "ROWS_PER_LEAF", 1)


def fill(store: Store, rng: Random, *, row_count: int) -> None:
    """Random batches of all sizes, until ``row_count`` names have been tried."""
    while store.tree.root.row_count < row_count * 0.8:
        commit(store, random_batch(store, rng, row_count=rng.randrange(1, 200), name_count=row_count))


@pytest.mark.parametrize("rng_seed", range(3))
@pytest.mark.usefixtures("small_leaves")
def test_the_tree_equals_a_recount_while_it_grows(store: Store, rng_seed: int) -> None:
    rng = Random(rng_seed)
    for _ in range(30):
        commit(store, random_batch(store, rng, row_count=rng.randrange(1, 150), name_count=2_000))
        store.check_invariants()
        assert store.tree.leaf_count > store.tree.root.row_count - 150, "more than one batch behind"
    assert store.tree.leaf_count > 1_024


@pytest.mark.usefixtures("small_leaves")
def test_fingerprints_equal_a_naive_sum_at_all_depths(store: Store) -> None:
    rng = Random(1)
    fill(store, rng, row_count=700)
    rows = all_hash_rows(store)
    assert 512 < store.tree.leaf_count < 1_024, "some leaves have 9 bits, some 10"
    for bits in range(65):
        prefixes = {0, (1 << bits) - 1, *(row.hash >> 64 - bits for row in rng.sample(rows, 10))}
        for prefix in prefixes:
            assert store.fingerprint(prefix, bits) == naive_fingerprint(rows, prefix, bits), (prefix, bits)


@pytest.mark.usefixtures("small_leaves")
def test_children_are_the_fingerprints_of_the_ranges_below(store: Store) -> None:
    rng = Random(2)
    fill(store, rng, row_count=700)
    rows = all_hash_rows(store)
    for bits in (0, 1, 4, 7, 8, 9, 10, 11, 30, 60, 64):
        for child_bits in {bits, min(bits + 1, 64), min(bits + 4, 64)} | (
            {8, 9, 10, 11} if bits == 0 else set()
        ):
            if child_bits < bits:
                continue
            prefix = rng.choice(rows).hash >> 64 - bits
            first = prefix << child_bits - bits
            assert store.children(prefix, bits, child_bits) == [
                naive_fingerprint(rows, first + i, child_bits) for i in range(1 << child_bits - bits)
            ], (prefix, bits, child_bits)


def test_trees_of_different_depth_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    shallow, deep = MemoryStore(SEED), MemoryStore(SEED)
    fill(shallow, Random(5), row_count=600)
    monkeypatch.setattr(merkle, "ROWS_PER_LEAF", 1)
    fill(deep, Random(5), row_count=600)
    assert shallow.tree.leaf_count == 256 < deep.tree.leaf_count
    for child_bits in range(13):
        assert shallow.children(0, 0, child_bits) == deep.children(0, 0, child_bits)


@pytest.mark.usefixtures("small_leaves")
def test_the_order_of_commits_does_not_matter(store: Store) -> None:
    rng = Random(9)
    changes = [Change(key(f"{i}"), rng.getrandbits(64), rng.getrandbits(128), b"", None) for i in range(900)]
    other = MemoryStore(SEED)
    commit(other, Batch(changes))
    rng.shuffle(changes)
    for start in range(0, 900, 100):
        commit(store, Batch(changes[start : start + 100]))
    assert store.tree.root == other.tree.root
    assert store.children(0, 0, 12) == other.children(0, 0, 12)


def test_rows_of_one_hash_fill_one_leaf(store: Store) -> None:
    for start in range(0, 9_000, 1_000):
        commit(store, Batch([Change(key(f"{i}"), 5, i + 1, b"", None) for i in range(start, start + 1_000)]))
    assert store.fingerprint(5, 64) == store.tree.root == (sum(range(9_001)), 9_000)
    store.tree.check_invariants()


@pytest.mark.usefixtures("small_leaves")
def test_a_start_reads_the_tree_and_no_row(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    store = disk.open()
    fill(store, Random(4), row_count=1_500)
    reads: list[object] = []
    load = MerkleTree.load

    def load_watched(
        digest_seed: int, read: merkle.ReadDigests, records: dict[int, bytes]
    ) -> MerkleTree | None:
        def watched(first: int, last: int) -> object:
            reads.append((first, last))
            return read(first, last)

        return load(digest_seed, watched, records)  # type: ignore[arg-type]

    monkeypatch.setattr(MerkleTree, "load", load_watched)
    after = disk.crash(store)
    assert (after.tree.root, after.tree.leaf_count) == (store.tree.root, store.tree.leaf_count)
    assert after.children(0, 0, 9) == store.children(0, 0, 9)
    assert reads == []
    after.check_invariants()


@pytest.mark.usefixtures("small_leaves")
def test_a_commit_pays_for_its_own_rows_only() -> None:
    store = MemoryStore(SEED)
    fill(store, Random(6), row_count=3_000)
    before = store.tree.leaf_count
    batch = random_batch(store, Random(7), row_count=10, name_count=100_000)
    store.prepare(batch)
    assert len(batch.leaves) <= 10 + 10 + 1 + 2, "ten changed pages, ten splits, the header, removed pages"
    store.write(batch)
    store.publish(batch)
    assert store.tree.leaf_count <= before + 10


def test_a_batch_that_doubles_the_rows_is_made_up_for(store: Store) -> None:
    rng = Random(8)
    commit(store, random_batch(store, rng, row_count=20_000, name_count=20_000))
    assert store.tree.leaf_count == 512
    commit(store, Batch())
    assert store.tree.leaf_count == 20_000 // merkle.ROWS_PER_LEAF
    store.check_invariants()


# -- records


def records_of(store: MemoryStore) -> dict[int, bytes]:
    records: dict[int, bytes] = {}
    for i in range(0, 3_000, 100):
        batch = Batch([Change(key(f"{n}"), n << 52, n + 1, b"", None) for n in range(i, i + 100)])
        store.prepare(batch)
        records.update(batch.leaves)
        store.write(batch)
        store.publish(batch)
    return {number: data for number, data in records.items() if data}


@pytest.mark.usefixtures("small_leaves")
def test_records_that_do_not_fit_are_refused_not_believed() -> None:
    store = MemoryStore(SEED)
    records = records_of(store)

    def load(changed: dict[int, bytes], seed: int = SEED) -> MerkleTree | None:
        return MerkleTree.load(seed, lambda first, last: [], {**records, **changed})

    tree = load({})
    assert tree is not None
    assert tree.root == store.tree.root
    header = records[leaves.HEADER]
    page = max(records)
    assert load({}, seed=SEED + 1) is None
    assert load({leaves.HEADER: b""}) is None
    assert load({leaves.HEADER: b"\x02" + header[1:]}) is None
    assert load({leaves.HEADER: header[:-1] + b"\x01"}) is None
    assert load({page: records[page][:-1]}) is None
    assert load({page: bytes(len(records[page]))}) is None
    assert load({page + 1: records[page]}) is None
    assert load({leaves.page_record(3, 0): records[page]}) is None


def test_the_bytes_at_rest_stay_what_they_are() -> None:
    """Golden: changing them means raising ``TREE_FORMAT``."""
    tree = MerkleTree(SEED, lambda first, last: [])
    records = tree.prepare([Change(key("k"), 0x0A << 56, 0x1122 << 64 | 0x33, b"", None)])
    page = bytearray(leaves.PAGE_LEAVES * 20)
    page[16:18] = b"\x22\x11"
    page[64 + 16] = 0x33
    page[128 + 8] = 1
    check = leaves.seed_check(SEED)
    assert check.hex() == "a3114627ef0b01f4cef30dc7619959bf"
    assert records == {
        leaves.HEADER: b"\x01"
        + check
        + b"\x08"
        + bytes(4)
        + b"\x33"
        + bytes(7)
        + b"\x22\x11"
        + bytes(6)
        + b"\x01"
        + bytes(7),
        8 << 32 | 1: bytes(page),
    }
