"""P5, writes supersede: a ``kv`` write what its node had seen, whatever any clock says; an ``mv`` write
exactly what its context had seen.

That it supersedes nothing *more* is ``SiblingsKept``.
"""

from kvgossip.model.dot import VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry
from kvgossip.sim.causality import covered_by
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.history import Operation, Outcome
from kvgossip.sim.ledger import Durable
from kvgossip.sim.order import entry_rank, is_reissue, kv_rank, went_down


class WritesSupersede(Checker):
    def on_acked(self, operation: Operation) -> None:
        assert operation.written is not None
        before = operation.before
        if isinstance(before, KvEntry):
            rank = kv_rank(operation.dot, operation.stamp, operation.value)
            if rank <= entry_rank(before):
                raise self.fail(f"{operation} does not supersede what its node showed before: {before}")
        elif operation.written.context is not None:
            self._check_answer(operation, before, operation.written.context)

    def _check_answer(self, operation: Operation, before: Entry | None, answered: VersionVector) -> None:
        """The context in an answer has seen the write itself, what the client had seen, and nothing later."""
        if answered.counter(operation.dot.replica) != operation.dot.counter:
            raise self.fail(f"the answer to {operation} covers other than up to its own dot: {answered}")
        if operation.context is not None and not answered.covers_all(operation.context):
            raise self.fail(f"the answer to {operation} lacks some of the context sent: {answered}")
        deletes_all = operation.is_delete and operation.context is None
        if deletes_all and isinstance(before, MvEntry):
            seen = self._ledger.disks[operation.node].lowered(before.vector)
            if not answered.covers_all(seen):
                raise self.fail(f"{operation} does not cover what its node showed before: {before}")

    def on_durable(self, durable: Durable) -> None:
        for change in durable.changes:
            if isinstance(change.new, MvEntry):
                self._check_superseded(durable.node, change.key, change.new)
            elif (
                went_down(change.old, change.new)
                and self._ledger.is_local(durable, change.new.dot)
                and not is_reissue(self._ledger, change.old, change.new)
            ):
                raise self.fail(f"a write at {durable.node} put {change.new} in place of {change.old}")

    def on_settled(self, states: list[NodeState]) -> None:
        for state in states:
            for key, entry in state.rows.items():
                if isinstance(entry, MvEntry):
                    self._check_superseded(state.node, key, entry)

    def _check_superseded(self, node: str, key: Key, entry: MvEntry) -> None:
        """No sibling stands beside a write whose context had seen it."""
        for operation in self._history.of_key(key):
            if operation.outcome is not Outcome.ACKED or not entry.vector.covers(operation.dot):
                continue
            if self._ledger.is_disputed(operation.dot):
                continue  # of another line, or issued again: then it may stand beside what it had seen
            covered = covered_by(operation)
            for sibling in entry.siblings:
                if self._ledger.is_void(sibling.dot):
                    continue
                if sibling.dot != operation.dot and covered.covers(sibling.dot):
                    raise self.fail(
                        f"{node} holds {sibling} of {key!r} beside {operation}, whose context had seen it"
                    )
