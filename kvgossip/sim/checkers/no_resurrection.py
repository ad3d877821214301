"""P3, no resurrection: a value that an acknowledged delete covered never comes back.

A node that held a delete once never again shows what it covered, whatever happened to its rows since: so the
memory of deletes seen is kept here, not read from the node. At the end no node shows such a value at all.

What a copied directory gives up and issues again is a write anew: a delete that had seen it under its old dot
does not cover the new one, and a delete that is issued again no longer covers what its line had written.
"""

from collections import defaultdict

from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry
from kvgossip.sim.causality import covered_by
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.history import History, Operation, Outcome
from kvgossip.sim.ledger import Durable, Ledger
from kvgossip.sim.order import entry_rank, kv_rank

Seen = defaultdict[tuple[str, Key], dict[int, Operation]]
"""The acknowledged deletes that a node held once, by their number."""


class NoResurrection(Checker):
    def __init__(self, history: History, ledger: Ledger) -> None:
        super().__init__(history, ledger)
        self._on_disk: Seen = defaultdict(dict)
        self._read: Seen = defaultdict(dict)
        """The same for reads: they may lag behind the disk, but not behind themselves."""

    def on_durable(self, durable: Durable) -> None:
        for change in durable.changes:
            self._learn(self._on_disk, durable.node, change.key, change.new)
            self._check(self._on_disk, durable.node, change.key, change.new)

    def on_acked(self, operation: Operation) -> None:
        if operation.is_delete:  # its row was durable before this answer: look again
            for node, disk in self._ledger.disks.items():
                row = disk.rows.get(operation.key)
                if row is not None:
                    self._learn(self._on_disk, node, operation.key, row)

    def on_read(self, node: str, key: Key, entry: Entry | None) -> None:
        if entry is not None:
            self._learn(self._read, node, key, entry)
            self._check(self._read, node, key, entry)

    def on_replaced(self, node: str) -> None:
        for memory in (self._on_disk, self._read):
            for place in [place for place in memory if place[0] == node]:
                del memory[place]

    def on_settled(self, states: list[NodeState]) -> None:
        for operation in self._history.acked():
            if not operation.is_delete:
                continue
            for state in states:
                entry = state.rows.get(operation.key)
                if entry is not None and self._shows_covered(operation, entry):
                    raise self.fail(f"at the end {state.node} shows {entry}, which {operation} had covered")

    def _learn(self, memory: Seen, node: str, key: Key, entry: Entry) -> None:
        seen = memory[node, key]
        for operation in self._history.of_key(key):
            is_acked_delete = operation.is_delete and operation.outcome is Outcome.ACKED
            if is_acked_delete and operation.number not in seen and self._holds(operation, entry):
                seen[operation.number] = operation

    def _check(self, memory: Seen, node: str, key: Key, entry: Entry) -> None:
        for operation in memory[node, key].values():
            if operation.outcome is Outcome.ACKED and self._shows_covered(operation, entry):
                raise self.fail(f"{node} held {operation} and shows {entry} again")

    def _holds(self, delete: Operation, entry: Entry) -> bool:
        """True if ``entry`` is this delete, or came after it."""
        names = self._ledger.names(delete)
        if isinstance(entry, KvEntry):
            return entry_rank(entry) >= min(kv_rank(name, delete.stamp, None) for name in names)
        return any(entry.vector.covers(name) for name in names if not self._ledger.is_disputed(name))

    def _shows_covered(self, delete: Operation, entry: Entry) -> bool:
        """True if a reader sees a value that this delete covered."""
        if isinstance(entry, KvEntry):
            rank = min(kv_rank(name, delete.stamp, None) for name in self._ledger.names(delete))
            return entry.value is not None and entry_rank(entry) < rank
        assert isinstance(entry, MvEntry)
        covered = covered_by(delete)
        return any(
            s.value is not None and covered.covers(s.dot) and not self._ledger.is_void(s.dot)
            for s in entry.siblings
        )
