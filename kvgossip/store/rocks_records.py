"""What lies where in RocksDB: the names of records at rest, and a batch as RocksDB takes it.

entries  key                       -> bytes of the entry
hashes   hash (8, big-endian) key  -> digest (16, big-endian) stamp (8, big-endian)
meta     "m" name                  -> record of the replica
         "t" number (8)            -> record of the tree (``leaves.py``)
         "s" name                  -> record of the store itself: its format
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from struct import Struct

from rocksdict import ColumnFamily, WriteBatch

from kvgossip.model.encoding import peek_stamp
from kvgossip.store.base import Batch, Change, Mark, Place
from kvgossip.store.leaves import HEADER

STORE_FORMAT = b"2"
FORMAT_NAME = b"sformat"

HASH_BYTES = 8
DIGEST_BYTES = 16
_STAMP_BYTES = 8
_MARK = Struct(">QQQ")
TREE_PREFIX = b"t"
_TREE_END = b"u"
_META_PREFIX = b"m"
_PLACES_END = b"\xff" * (HASH_BYTES + 1)  # no kind of key starts with 255

ROW_BYTES_MAX = 2_600
"""What a row takes besides its data: its key twice, hash, mark, page of the tree, framing."""


class Family(Enum):
    """The column families, by their names at rest."""

    ENTRIES = "entries"
    HASHES = "hashes"
    META = "meta"


Handles = Mapping[Family, ColumnFamily]


def place_name(place: Place) -> bytes:
    hash_, key = place
    return hash_.to_bytes(HASH_BYTES, "big") + key


def meta_name(name: str) -> bytes:
    return _META_PREFIX + name.encode()


def encode_mark(change: Change) -> bytes:
    stamp = peek_stamp(change.key, change.data)
    return change.digest.to_bytes(DIGEST_BYTES, "big") + stamp.to_bytes(_STAMP_BYTES, "big")


def decode_mark(data: bytes) -> Mark:
    high, low, stamp = _MARK.unpack(data)
    return Mark(high << 64 | low, stamp)


def batch_bytes_max(batch: Batch) -> int:
    """At least what the log will grow by."""
    meta_bytes = sum(len(data) for data in batch.meta.values() if data is not None)
    return meta_bytes + sum(len(change.data) + ROW_BYTES_MAX for change in batch.changes)


def encode_batch(batch: Batch, handles: Handles) -> WriteBatch:
    entries, meta = handles[Family.ENTRIES], handles[Family.META]
    records = encode_places(batch.changes, batch.leaves, handles)
    for change in batch.changes:
        records.put(change.key, change.data, entries)
    for name, data in batch.meta.items():
        if data is None:
            records.delete(meta_name(name), meta)
        else:
            records.put(meta_name(name), data, meta)
    return records


def encode_places(changes: Iterable[Change], leaves: Mapping[int, bytes], handles: Handles) -> WriteBatch:
    """Only what is computed from the rows: *hashes* and the tree."""
    hashes, meta = handles[Family.HASHES], handles[Family.META]
    records = WriteBatch(raw_mode=True)
    for change in changes:
        records.put(place_name((change.hash, change.key)), encode_mark(change), hashes)
    for number, data in leaves.items():
        if data:
            records.put(_tree_name(number), data, meta)
        else:
            records.delete(_tree_name(number), meta)
    return records


def encode_clearing(handles: Handles) -> WriteBatch:
    """Remove all that is computed from the rows."""
    hashes, meta = handles[Family.HASHES], handles[Family.META]
    records = WriteBatch(raw_mode=True)
    records.delete_range(b"", _PLACES_END, hashes)
    records.delete_range(TREE_PREFIX, _TREE_END, meta)
    return records


def encode_header(leaves: Mapping[int, bytes], handles: Handles) -> WriteBatch:
    """What makes the computed records valid."""
    records = encode_places((), {HEADER: leaves[HEADER]}, handles)
    records.put(FORMAT_NAME, STORE_FORMAT, handles[Family.META])
    return records


def _tree_name(number: int) -> bytes:
    return TREE_PREFIX + number.to_bytes(8, "big")
