"""The contract of a store: committed rows, ordered by key and by hash, and the Merkle tree over them.

A *row* is an entry at rest: key, hash of the key, digest, stamp, bytes. A commit has three steps, because it
is performed by a thread (or a simulated disk) while the replica goes on:

    prepare(batch)   by the replica: adds the tree's changed leaves to the batch; reads, changes nothing
    write(batch)     by the writer thread: durable when it returns; reads do not see it yet
    publish(batch)   by the replica: from now on reads and the tree show it

One batch at a time goes through them, so a store has at most one batch that is written and not published.
A store that is opened after a crash shows every batch whose ``write`` had returned, whole.

Reads are synchronous and bounded in rows and bytes a call; a long scan is many calls, resumed by position.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from kvgossip.model.ids import Key
from kvgossip.model.stamp import Stamp
from kvgossip.store.merkle import Fingerprint, Mend, MerkleTree

HASH_MAX = (1 << 64) - 1


Place = tuple[int, Key]
"""Hash and key of a row: where it lies in the tree."""


class Mark(NamedTuple):
    """What tells whether another version of an entry is later, without the entry.

    ``stamp``: that of a ``kv`` entry, which alone decides nearly always; 0 for kinds that have none such.
    """

    digest: int
    stamp: Stamp


class HashRow(NamedTuple):
    """What the exchange compares: a key's place in the tree, and the mark of its entry."""

    hash: int
    key: Key
    digest: int
    stamp: Stamp


class Row(NamedTuple):
    key: Key
    data: bytes


class Change(NamedTuple):
    """A row as it will be. ``old_digest`` is None if the key is new."""

    key: Key
    hash: int
    digest: int
    data: bytes
    old_digest: int | None


@dataclass(slots=True)
class Batch:
    """Rows and records that become durable together, or not at all. A key occurs once at most."""

    changes: list[Change] = field(default_factory=list)
    meta: dict[str, bytes | None] = field(default_factory=dict)
    """Small records by name (identity, node clock, stamp, members); None removes one."""
    mends: list[Mend] = field(default_factory=list)
    """Corrections of the tree alone, where a recount found that it differs from the rows."""
    leaves: dict[int, bytes] = field(default_factory=dict)
    """What ``prepare`` adds: the tree's records to be written with the rows."""


class Store(Protocol):
    """See the module. Every read raises ``CorruptRowError`` for a row that cannot be read."""

    @property
    def tree(self) -> MerkleTree:
        """The tree over the published rows."""
        ...

    def get(self, key: Key) -> bytes | None:
        """The bytes of an entry."""
        ...

    def get_many(self, keys: Sequence[Key]) -> list[bytes | None]:
        """The same for each of ``keys``: a third cheaper than one by one. One corrupt row fails all."""
        ...

    def get_marks(self, places: Sequence[Place]) -> list[Mark | None]:
        """Of each of ``places``: together, and without the entries. One corrupt row fails all."""
        ...

    def scan(
        self, start: Key, end: Key | None, *, rows_max: int, bytes_max: int, reverse: bool = False
    ) -> list[Row]:
        """Rows with ``start <= key < end`` in order of key, from ``start`` (from ``end`` if ``reverse``).

        At least one row if there is any; at most ``rows_max``, and no further row once ``bytes_max`` bytes
        of data are reached.
        """
        ...

    def scan_hashes(self, first: int, last: int, *, rows_max: int, after: Key | None = None) -> list[HashRow]:
        """Rows with ``first <= hash <= last`` in order of (hash, key).

        With ``after``, only those behind (``first``, ``after``): the position of the last row read.
        """
        ...

    def scan_ranges(self, bounds: Sequence[tuple[int, int]], *, rows_max: int) -> list[list[HashRow]]:
        """What ``scan_hashes`` answers for each (first, last) of ``bounds``, cheaper than one by one."""
        ...

    def get_meta(self, name: str) -> bytes | None: ...

    def scan_meta(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """All records whose name starts with ``prefix``, in order of name."""
        ...

    def prepare(self, batch: Batch) -> None:
        """Fill ``batch.leaves``. Called on the replica's thread, with no other batch in between."""
        ...

    def write(self, batch: Batch) -> None:
        """Make ``batch`` durable. Called on the writer thread; blocks.

        Raises ``CommitRefusedError`` (``StoreFullError`` if space is what lacks): nothing was stored;
        ``OutcomeUnknownError``: it may or may not survive.
        """
        ...

    def publish(self, batch: Batch) -> None:
        """Let reads and the tree show ``batch``, whose ``write`` returned. Called on the replica's thread."""
        ...

    def fingerprint(self, prefix: int, bits: int) -> Fingerprint:
        """Sum and row count of all published rows whose hash starts with the ``bits`` bits of ``prefix``."""
        ...

    def children(self, prefix: int, bits: int, child_bits: int) -> list[Fingerprint]:
        """The fingerprints of the ``2 ** (child_bits - bits)`` ranges below (``prefix``, ``bits``), in order.

        At any depth: below the tree's leaves it reads the rows of the range. So ask for few children of
        a small range: a step a child, and one a leaf or row in the range.
        """
        ...

    def check_invariants(self) -> None:
        """Assert that the tree equals a recount over all rows. Slow: for tests and the simulator."""
        ...

    def close(self) -> None:
        """Give up the directory. A batch written and not published is shown at the next opening."""
        ...
