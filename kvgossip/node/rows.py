"""Committed rows as the rest of a node sees them: entries, versions, and what of them travels."""

from collections.abc import Sequence

from kvgossip.errors import CorruptRowError, EncodingError
from kvgossip.model.digest import entry_digest, entry_version
from kvgossip.model.encoding import decode_entry
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.store.base import Store
from kvgossip.wire.messages import Carried, Offer

RowError = CorruptRowError | EncodingError
"""A row that the disk cannot give back, or that is no entry."""


class Rows:
    """Reads of one store. Each raises ``CorruptRowError`` for a row that cannot be read."""

    def __init__(self, store: Store, *, digest_seed: int) -> None:
        self._store = store
        self._seed = digest_seed

    def get(self, key: Key) -> Entry | None:
        data = self._store.get(key)
        return None if data is None else decode_entry(key, data)

    def read(self, key: Key) -> tuple[Entry, str] | None:
        """An entry and its version, which is the same on every node that holds the same."""
        data = self._store.get(key)
        return None if data is None else (decode_entry(key, data), entry_version(self._seed, key, data))

    def read_many(self, keys: Sequence[Key]) -> list[tuple[Entry, str] | RowError | None]:
        """The same for each of ``keys``, read together; or why that one cannot be read."""
        seed = self._seed
        try:
            return [
                None if data is None else (decode_entry(key, data), entry_version(seed, key, data))
                for key, data in zip(keys, self._store.get_many(keys), strict=True)
            ]
        except (CorruptRowError, EncodingError):
            return [self._read_isolated(key) for key in keys]

    def _read_isolated(self, key: Key) -> tuple[Entry, str] | RowError | None:
        try:
            return self.read(key)
        except (CorruptRowError, EncodingError) as error:
            return error

    def scan(
        self, start: Key, end: Key | None, *, rows_max: int, bytes_max: int, reverse: bool
    ) -> list[tuple[Key, Entry, str]]:
        """Keys in order with their entries and versions, as ``Store.scan`` finds them."""
        rows = self._store.scan(start, end, rows_max=rows_max, bytes_max=bytes_max, reverse=reverse)
        return [(key, decode_entry(key, data), entry_version(self._seed, key, data)) for key, data in rows]

    def load(self, key: Key, inline_bytes_max: int) -> Carried | Offer | None:
        """An entry as it travels: whole, or offered if it is larger than that."""
        return self._pack(key, self._store.get(key), inline_bytes_max)

    def load_many(self, keys: Sequence[Key], inline_bytes_max: int) -> list[Carried | Offer | None]:
        """The same for each of ``keys``, read together. One corrupt row fails all."""
        found = zip(keys, self._store.get_many(keys), strict=True)
        return [self._pack(key, data, inline_bytes_max) for key, data in found]

    def _pack(self, key: Key, data: bytes | None, inline_bytes_max: int) -> Carried | Offer | None:
        if data is None:
            return None
        if len(data) <= inline_bytes_max:
            return Carried(key, data)
        digest = entry_digest(self._seed, key, data)
        return Offer(key, digest, len(data), decode_entry(key, data).dots())
