"""A store that holds many entries, made without a node: what takes a minute by PUT takes seconds.

The rows, the tree and the node clock are those that a node would have which got every write of one other
replica; a node that starts on the directory finds nothing missing. Keys have 20 bytes, values 100 random.
"""

import time
from random import Random

from kvgossip.cli.local_cluster import NodeProcess
from kvgossip.model.clock import NodeClock
from kvgossip.model.digest import entry_digest, key_hash
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import encode_clock, encode_entry
from kvgossip.model.ids import Key, Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.stamp import Stamp, stamp_at
from kvgossip.model.value import Value
from kvgossip.node.staging import META_CLOCK
from kvgossip.store.base import Batch, Change
from kvgossip.store.rocks import RocksStore

KEY_BYTES = 20
VALUE_BYTES = 100
WRITER = ReplicaId(0xBE7C)
WALL_MS = 1_700_000_000_000
BATCH_ROWS = 2_048
COMPACTION_S_MAX = 600.0
_AT_WORK = ("num-running-compactions", "compaction-pending", "num-running-flushes", "mem-table-flush-pending")


def name_of(number: int) -> str:
    """What a client calls an entry."""
    return f"k/{number:018d}"


def key_of(number: int) -> Key:
    return make_key(Kind.KV, name_of(number).encode())


def entry_of(counter: int, body: bytes) -> bytes:
    """A write of ``WRITER``, encoded; later ones have later stamps."""
    return encode_entry(KvEntry(Dot(WRITER, counter), Stamp(stamp_at(WALL_MS) + counter), Value(body)))


def fill(store: RocksStore, digest_seed: int, entries: int) -> None:
    """Put ``entries`` into an empty store, in random order."""
    rng = Random(1)
    numbers = list(range(entries))
    rng.shuffle(numbers)
    for start in range(0, entries, BATCH_ROWS):
        batch = Batch()
        for counter, number in enumerate(numbers[start : start + BATCH_ROWS], start=start + 1):
            key, data = key_of(number), entry_of(counter, rng.randbytes(VALUE_BYTES))
            digest = entry_digest(digest_seed, key, data)
            batch.changes.append(Change(key, key_hash(digest_seed, key), digest, data, None))
        last = min(start + BATCH_ROWS, entries)
        batch.meta[META_CLOCK] = encode_clock(NodeClock({WRITER: ((1, last),)}))
        store.prepare(batch)
        store.write(batch)
        store.publish(batch)
    _wait_until_compacted(store)


def _wait_until_compacted(store: RocksStore) -> None:
    """What the filling left to be done is not the cost of what is measured after it."""
    deadline_s = time.monotonic() + COMPACTION_S_MAX
    while any(
        family.property_int_value(f"rocksdb.{name}")
        for family in store._database._families.values()
        for name in _AT_WORK
    ):
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"RocksDB still compacts after {COMPACTION_S_MAX:.0f} s")
        time.sleep(0.05)


def fill_directory(node: NodeProcess, entries: int) -> None:
    """Make the directory of a node that was not started yet."""
    flags = dict(zip(node.command, node.command[1:], strict=False))
    with open(flags["--secret-file"], "rb") as file:
        seed = ClusterSecret.derive(flags["--cluster"], file.read()).digest_seed
    store = RocksStore(node.data_dir, seed)
    try:
        fill(store, seed, entries)
    finally:
        store.close()
