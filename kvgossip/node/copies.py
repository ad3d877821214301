"""Copies: what a node does that turns out to run on a copied or restored data directory.

Another node has seen, or still issues, dots under this replica id that this directory does not hold. A dot
names one write for ever, so the node takes a new replica id and, under it, issues again the writes of this
start: their dots may exist elsewhere with other values, and peers that hold those would take ours for known.

``kv`` entries keep their old stamps, so their place among the writes of others does not change. In an ``mv``
entry the vector is lowered to what it said of the old id at the start, or it would claim to have seen writes
of the twin; a sibling of this start gets a new dot.
"""

import struct
from dataclasses import dataclass, replace

from kvgossip.errors import StoreError
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import decode_entry, encode_entry
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.node.staging import Staging
from kvgossip.store.base import Store

STEP_ROWS = 512
STEP_BYTES = 1 << 20
META_REISSUE = "reissue"
"""Kept from the new identity to the last reissued row, so that a crash in between is made up for."""

_OLD_DOTS = struct.Struct(">QQ")
_END = Key(bytes([max(Kind) + 1]))


@dataclass(frozen=True, slots=True)
class OldDots:
    """Dots of a replica id that was given up: those above ``counter`` were issued in this start."""

    replica: ReplicaId
    counter: int

    def includes(self, dot: Dot) -> bool:
        return dot.replica == self.replica and dot.counter > self.counter

    def encode(self) -> bytes:
        return _OLD_DOTS.pack(self.replica, self.counter)

    @staticmethod
    def decode(data: bytes) -> "OldDots":
        """Raises ``StoreError`` for a record that is not ours."""
        if len(data) != _OLD_DOTS.size:
            raise StoreError("the record of an unfinished reissue in the data directory is garbled")
        replica, counter = _OLD_DOTS.unpack(data)
        return OldDots(ReplicaId(replica), counter)


class Reissue:
    """One walk through all rows, a bounded step at a time. No data is sent until it is over."""

    def __init__(self, store: Store, staging: Staging, old: OldDots) -> None:
        """Begin, or begin anew: rows that were reissued and committed have no old dots any more."""
        self._store = store
        self._staging = staging
        self.old = old
        self._is_recorded = True
        staging.give_up_dots(old.replica, above=old.counter)
        staging.stage_meta(META_REISSUE, old.encode())
        self._position: Key | None = make_key(min(Kind), b"\x00")
        self.reissued_count = 0
        for key in staging.staged_keys():  # the walk sees committed rows only
            self.renew(key)

    @property
    def is_walked(self) -> bool:
        return self._position is None

    def finish(self) -> bool:
        """Called when all is durable: first the record goes, then it is over. True at the second call."""
        was_recorded, self._is_recorded = self._is_recorded, False
        if was_recorded:
            self._staging.stage_meta(META_REISSUE, None)
        return not was_recorded

    def step(self) -> None:
        """Stage what the next rows need.

        Raises ``CorruptRowError``: rows cannot be read, so the walk is over, and writes of this start among
        them and behind them keep their old dots.
        """
        assert self._position is not None
        at, self._position = self._position, None
        rows = self._store.scan(at, _END, rows_max=STEP_ROWS, bytes_max=STEP_BYTES)
        for row in rows:
            self.renew(row.key)
        self._position = Key(rows[-1].key + b"\x00") if rows else None

    def renew(self, key: Key) -> None:
        """Issue the writes of this start to ``key`` again. Raises ``CorruptRowError``."""
        data = self._staging.find(key)
        if data is None:
            return
        entry = decode_entry(key, data)
        if any(self.old.includes(dot) for dot in entry.dots()):
            self._reissue(key, entry, self._staging.digest_of(key, data))

    def _reissue(self, key: Key, entry: Entry, replaced: int) -> None:
        renewed: Entry
        if isinstance(entry, KvEntry):
            renewed = entry._replace(dot=self._staging.next_dot())
        else:
            renewed = self._renewed(entry)
        self._staging.stage_dots(renewed.dots())
        data = encode_entry(renewed)
        self._staging.stage_entry(key, renewed, data, replaced=replaced, source=None, becomes_hot=True)
        self.reissued_count += 1

    def _renewed(self, entry: MvEntry) -> MvEntry:
        siblings: list[Sibling] = []
        for sibling in entry.siblings:
            if self.old.includes(sibling.dot):
                dot = self._staging.next_dot()
                self._staging.stage_dots((dot,))
                siblings.append(replace(sibling, dot=dot))
            else:
                siblings.append(sibling)
        siblings.sort(key=lambda sibling: sibling.dot)
        old = self.old
        seen = [
            Dot(dot.replica, min(dot.counter, old.counter)) if dot.replica == old.replica else dot
            for dot in entry.vector
        ]
        vector = VersionVector.of([dot for dot in seen if dot.counter] + [s.dot for s in siblings])
        return MvEntry(vector, tuple(siblings))
