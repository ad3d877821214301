"""Reads of a ``RocksStore``, each of one view of committed rows.

While no batch is in flight the database itself is that view. Before a batch is handed to RocksDB the view is
*pinned*: a snapshot of each family for the rows that the batch changes, and an iterator, made before the
write, for scans. (The iterators of a rocksdict 0.3.29 snapshot ignore the snapshot and show later writes; but
an iterator shows what there was when it was made, wherever it seeks.) All other rows are read from the
database, which can read many at a time. A pinned view keeps files that compaction has replaced, so it lives
only until the batch is published.

A miss and a corrupt block raise the same class in a snapshot; the message tells them apart. An iterator that
meets a corrupt block just ends, so every scan asks for its status. Iterators are dropped before anything is
raised: see ``Database``.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from rocksdict import RdictIter

from kvgossip.errors import CorruptRowError
from kvgossip.model.ids import Key
from kvgossip.store.base import Batch, HashRow, Mark, Place, Row
from kvgossip.store.rocks_open import Database
from kvgossip.store.rocks_records import DIGEST_BYTES, HASH_BYTES, Family, decode_mark, place_name


class View(Protocol):
    """Rows of one moment."""

    def get(self, family: Family, key: bytes) -> bytes | None: ...

    def get_many(self, keys: Sequence[Key]) -> list[bytes | None]:
        """Of *entries*."""
        ...

    def get_places(self, places: Sequence[Place]) -> list[bytes | None]:
        """Of *hashes*."""
        ...

    def rows(self, family: Family) -> RdictIter:
        """An iterator, to be used up before the next is asked for."""
        ...


class PinnedView:
    """The rows as they are now, although ``batch`` is written."""

    def __init__(self, database: Database, batch: Batch) -> None:
        self._database = database
        self._changed = {change.key for change in batch.changes}
        self._snapshots = {family: database.snapshot(family) for family in Family}
        self._iterators = {family: database.rows(family) for family in Family}

    def get(self, family: Family, key: bytes) -> bytes | None:
        if family is Family.ENTRIES and key not in self._changed:
            return self._database.get(family, key)
        try:
            value: bytes = self._snapshots[family][key]
        except Exception as error:
            if str(error) == "key not found":
                return None
            raise
        return value

    def get_many(self, keys: Sequence[Key]) -> list[bytes | None]:
        found = self._database.get_many(keys)
        for index, key in enumerate(keys):
            if key in self._changed:
                found[index] = self.get(Family.ENTRIES, key)
        return found

    def get_places(self, places: Sequence[Place]) -> list[bytes | None]:
        found = self._database.get_places(places)
        for index, place in enumerate(places):
            if place[1] in self._changed:
                found[index] = self.get(Family.HASHES, place_name(place))
        return found

    def rows(self, family: Family) -> RdictIter:
        return self._iterators[family]


def get(view: View, family: Family, key: bytes) -> bytes | None:
    """The value of ``key``; None if there is none."""
    try:
        return view.get(family, key)
    except Exception as error:
        reason = str(error)
    raise CorruptRowError(f"the row {key!r} cannot be read: {reason}")


def get_many(view: View, keys: Sequence[Key]) -> list[bytes | None]:
    """The entries of ``keys``, None where there is none."""
    try:
        return view.get_many(keys)
    except Exception as error:
        reason = str(error)
    raise CorruptRowError(f"one of the rows {keys[0]!r} to {keys[-1]!r} cannot be read: {reason}")


def get_marks(view: View, places: Sequence[Place]) -> list[Mark | None]:
    """The marks at ``places``, None where there is no row."""
    try:
        return [None if data is None else decode_mark(data) for data in view.get_places(places)]
    except Exception as error:
        reason = str(error)
    (_, first), (_, last) = places[0], places[-1]
    raise CorruptRowError(f"the mark of one of the rows {first!r} to {last!r} cannot be read: {reason}")


def scan(
    view: View, start: Key, end: Key | None, *, rows_max: int, bytes_max: int, reverse: bool
) -> list[Row]:
    found: list[Row] = []

    def take(rows: RdictIter) -> None:
        bytes_read = 0
        if not reverse:
            rows.seek(start)
        elif end is None:
            rows.seek_to_last()
        else:
            rows.seek_for_prev(end)
            if rows.valid() and rows.key() == end:
                rows.prev()
        step = rows.prev if reverse else rows.next
        while rows.valid() and len(found) < rows_max and (not found or bytes_read < bytes_max):
            key = rows.key()
            if key < start if reverse else end is not None and key >= end:
                break
            data = rows.value()
            found.append(Row(key, data))
            bytes_read += len(data)
            step()

    def where() -> str:
        return f"{'before' if reverse else 'behind'} {found[-1].key!r}" if found else f"from {start!r} on"

    _walk(view, Family.ENTRIES, take, where)
    return found


def scan_hashes(view: View, first: int, last: int, *, rows_max: int, after: Key | None) -> list[HashRow]:
    found: list[HashRow] = []
    start = first.to_bytes(HASH_BYTES, "big") + (after or b"")

    def take(rows: RdictIter) -> None:
        rows.seek(start)
        if after is not None and rows.valid() and rows.key() == start:
            rows.next()
        _take_hashes(rows, last, rows_max, found)

    _walk(
        view, Family.HASHES, take, lambda: f"with the hash {found[-1].hash if found else first:#x} or above"
    )
    return found


def scan_ranges(view: View, bounds: Sequence[tuple[int, int]], *, rows_max: int) -> list[list[HashRow]]:
    """All with one iterator. Of no ranges nothing is asked: a pinned one may still be at a corrupt row."""
    found: list[list[HashRow]] = []
    if not bounds:
        return found

    def take(rows: RdictIter) -> None:
        for first, last in bounds:
            found.append([])
            rows.seek(first.to_bytes(HASH_BYTES, "big"))
            _take_hashes(rows, last, rows_max, found[-1])
            if not rows.valid():
                rows.status()

    _walk(view, Family.HASHES, take, lambda: f"with the hash {bounds[len(found) - 1][0]:#x} or above")
    return found


def _take_hashes(rows: RdictIter, last: int, rows_max: int, found: list[HashRow]) -> None:
    end = last.to_bytes(HASH_BYTES, "big")
    while len(found) < rows_max and rows.valid():
        place = rows.key()
        hash_ = place[:HASH_BYTES]
        if hash_ > end:
            break
        mark = decode_mark(rows.value())
        found.append(HashRow(int.from_bytes(hash_, "big"), place[HASH_BYTES:], mark.digest, mark.stamp))
        rows.next()


def read_digests(view: View, first: int, last: int) -> list[tuple[int, int]]:
    """(hash, digest) of all rows with first <= hash <= last. Costs 0.3 µs a row."""
    found: list[tuple[int, int]] = []
    end = last.to_bytes(HASH_BYTES, "big")

    def take(rows: RdictIter) -> None:
        rows.seek(first.to_bytes(HASH_BYTES, "big"))
        while rows.valid():
            hash_ = rows.key()[:HASH_BYTES]
            if hash_ > end:
                break
            digest = int.from_bytes(rows.value()[:DIGEST_BYTES], "big")
            found.append((int.from_bytes(hash_, "big"), digest))
            rows.next()

    _walk(view, Family.HASHES, take, lambda: f"with the hash {found[-1][0] if found else first:#x} or above")
    return found


def scan_meta(view: View, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """All records whose name starts with ``prefix``, and what follows it in their names."""
    found: list[tuple[bytes, bytes]] = []

    def take(records: RdictIter) -> None:
        records.seek(prefix)
        while records.valid():
            name = records.key()
            if not name.startswith(prefix):
                break
            found.append((name[len(prefix) :], records.value()))
            records.next()

    _walk(view, Family.META, take, lambda: f"of the record behind {found[-1][0] if found else prefix!r}")
    return found


def _walk(view: View, family: Family, take: Callable[[RdictIter], None], where: Callable[[], str]) -> None:
    """Let ``take`` use an iterator; ``CorruptRowError`` if that ended because a row cannot be read."""
    rows = view.rows(family)
    try:
        take(rows)
        rows.status()
    except Exception as error:
        reason = str(error)
    else:
        return
    finally:
        del rows
    raise CorruptRowError(f"the row {where()} cannot be read: {reason}")
