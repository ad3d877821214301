"""Rows, commits and a naive tree for the tests of the store."""

from random import Random

from kvgossip.model.digest import DIGEST_MASK, entry_digest, key_hash
from kvgossip.model.ids import Key, Kind, make_key
from kvgossip.store.base import HASH_MAX, Batch, Change, HashRow, Store

SEED = 7


def key(name: str) -> Key:
    return make_key(Kind.KV, name.encode())


def change(store: Store, name: str, data: bytes, *, digest_seed: int = SEED) -> Change:
    """A change of the row ``name`` as the replica would make it."""
    row_key = key(name)
    old = store.get(row_key)
    old_digest = None if old is None else entry_digest(digest_seed, row_key, old)
    return Change(
        row_key, key_hash(digest_seed, row_key), entry_digest(digest_seed, row_key, data), data, old_digest
    )


def commit(store: Store, batch: Batch) -> None:
    store.prepare(batch)
    store.write(batch)
    store.publish(batch)


def put(store: Store, **rows: bytes) -> None:
    """Commit one batch."""
    commit(store, Batch([change(store, name, data) for name, data in rows.items()]))


def random_batch(store: Store, rng: Random, *, row_count: int, name_count: int) -> Batch:
    """New rows and overwrites of some of ``name_count`` names."""
    names = rng.sample(range(name_count), row_count)
    return Batch([change(store, f"{name}", rng.randbytes(8)) for name in names])


def all_hash_rows(store: Store) -> list[HashRow]:
    return store.scan_hashes(0, HASH_MAX, rows_max=1 << 30)


def naive_fingerprint(rows: list[HashRow], prefix: int, bits: int) -> tuple[int, int]:
    digests = [row.digest for row in rows if row.hash >> 64 - bits == prefix]
    return sum(digests) & DIGEST_MASK, len(digests)
