"""The slow recount: does the tree still say what the rows say? The net against drift between the two.

Each step takes a few leaves, sums the digests of their rows anew and compares. Tree and rows are of one
moment there, because both change only when a batch is published, and a leaf is recounted in one step. A
difference is staged as a correction of that leaf and committed like a write, so the tree at rest follows.
Corrections are differences, so writes between the step and its commit do no harm.

Beside it a walk through the entries counts what the tree does not know (keys, tombstones, siblings), and
meets rows that cannot be read before somebody asks for them.
"""

from dataclasses import dataclass, replace

from kvgossip.config import Tuning
from kvgossip.errors import CorruptRowError
from kvgossip.model.digest import DIGEST_MASK
from kvgossip.model.encoding import decode_entry
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.model.mv import MvEntry
from kvgossip.node.staging import Staging
from kvgossip.node.status import Census
from kvgossip.store.base import HASH_MAX, Store
from kvgossip.store.merkle import Mend, hash_range

STEP_ROWS = 256
STEP_LEAVES = 64
STEP_BYTES = 256 << 10
LEAF_ROWS_MAX = 8_192
"""A leaf holds 64 rows, and more only while a tree grows; one above this is left out."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A leaf that lacked ``row_delta`` rows, or held others. ``range`` names it for people."""

    range: str
    row_delta: int


class Recount:
    """One walk after another, in steps."""

    def __init__(self, store: Store, staging: Staging, tuning: Tuning, now_ms: int) -> None:
        self._store = store
        self._staging = staging
        self._tuning = tuning
        self._next_ms = now_ms + tuning.recount_interval_ms
        self._next_hash: int | None = 0
        self._next_key: Key | None = Key(b"")
        self._counting = Census()
        self.census: Census | None = None
        self.completed_count = 0
        self.difference_count = 0

    def handle_timer(self, now_ms: int) -> list[Difference | CorruptRowError]:
        """Take a step if one is due. What it found is counted, and staged to be mended."""
        if now_ms < self._next_ms:
            return []
        self._next_ms = now_ms + self._tuning.recount_interval_ms
        if self._staging.is_mending:
            return []
        found = [*self._step_tree(), *self._step_census()]
        if self._next_hash is None and self._next_key is None:
            self.completed_count += 1
            self._next_ms = now_ms + self._tuning.recount_pause_ms
            self._next_hash, self._next_key = 0, Key(b"")
        return found

    def next_deadline_ms(self) -> int:
        return self._next_ms

    def _step_tree(self) -> list[Difference | CorruptRowError]:
        found: list[Difference | CorruptRowError] = []
        leaf_count = row_count = 0
        while self._next_hash is not None and leaf_count < STEP_LEAVES and row_count < STEP_ROWS:
            prefix, bits = self._store.tree.leaf_at(self._next_hash)
            leaf_count += 1
            try:
                row_count += self._recount_leaf(prefix, bits, found)
            except CorruptRowError as error:
                found.append(error)
            last = hash_range(prefix, bits)[1]
            self._next_hash = last + 1 if last < HASH_MAX else None
        return found

    def _recount_leaf(self, prefix: int, bits: int, found: list[Difference | CorruptRowError]) -> int:
        """Returns how many rows it read."""
        first, last = hash_range(prefix, bits)
        rows = self._store.scan_hashes(first, last, rows_max=LEAF_ROWS_MAX)
        told = self._store.fingerprint(prefix, bits)
        sum_delta = (sum(row.digest for row in rows) - told.sum) & DIGEST_MASK
        row_delta = len(rows) - told.row_count
        if (sum_delta or row_delta) and len(rows) < LEAF_ROWS_MAX:
            self.difference_count += 1
            self._staging.stage_mend(Mend(last, sum_delta, row_delta))
            found.append(Difference(f"{first:016x}-{last:016x}", row_delta))
        return len(rows)

    def _step_census(self) -> list[CorruptRowError]:
        if self._next_key is None:
            return []
        try:
            rows = self._store.scan(self._next_key, None, rows_max=STEP_ROWS, bytes_max=STEP_BYTES)
            for row in rows:
                self._counting = _with(self._counting, decode_entry(row.key, row.data))
        except CorruptRowError as error:  # what lies behind it is not counted, so nothing is told
            self._next_key, self._counting, self.census = None, Census(), None
            return [error]
        if rows:
            self._next_key = Key(rows[-1].key + b"\0")
        else:
            self._next_key, self.census, self._counting = None, self._counting, Census()
        return []


def _with(census: Census, entry: Entry) -> Census:
    if isinstance(entry, MvEntry):
        value_count = sum(sibling.value is not None for sibling in entry.siblings)
    else:
        value_count = int(entry.value is not None)
    if not value_count:
        return replace(census, tombstone_count=census.tombstone_count + 1)
    siblings = value_count if value_count > 1 else 0
    return Census(census.key_count + 1, census.tombstone_count, census.sibling_count + siblings)
