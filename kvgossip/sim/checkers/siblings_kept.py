"""P4, no silent loss: concurrent ``mv`` writes are all kept until a client resolves them; in ``kv`` the loser
is chosen by one total order.

At each change of a row: what it held, or newly claims to have seen, is still there or was superseded by a
write that may do so. A ``kv`` row only ever moves up in the order (a local write
that does not is for ``WritesSupersede``). At the end: every write that nothing
superseded is there. A copied directory that issues its writes again replaces their dots by new ones.
"""

from kvgossip.model.ids import Key
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.history import Outcome
from kvgossip.sim.ledger import Durable, RowChange
from kvgossip.sim.order import is_reissue, went_down


class SiblingsKept(Checker):
    def on_durable(self, durable: Durable) -> None:
        for change in durable.changes:
            if isinstance(change.new, MvEntry):
                self._check_mv(durable, change, change.new)
            elif (
                went_down(change.old, change.new)
                and not self._ledger.is_local(durable, change.new.dot)
                and not is_reissue(self._ledger, change.old, change.new)
            ):
                raise self.fail(
                    f"{durable.node} merged {change.old} of {change.key!r} to a lesser {change.new}"
                )

    def on_settled(self, states: list[NodeState]) -> None:
        for state in states:
            for key, entry in state.rows.items():
                if isinstance(entry, MvEntry):
                    self._check_known(state.node, key, entry)

    def _check_mv(self, durable: Durable, change: RowChange, new: MvEntry) -> None:
        node = durable.node
        if isinstance(change.old, MvEntry):
            is_deleted = self._is_deleted_here(durable, change.key, change.old, new)
            disk = self._ledger.disks[node]
            if not new.vector.covers_all(disk.lowered(change.old.vector)):
                raise self.fail(
                    f"the vector of {change.key!r} at {node} went back: {change.old} and then {new}"
                )
            for sibling in change.old.siblings:
                if disk.has_given_up(sibling.dot) and (is_deleted or _is_issued_again(sibling, new)):
                    continue
                if self._causality.is_lost(change.key, sibling.dot, new):
                    raise self.fail(f"{node} dropped {sibling} of {change.key!r}: nothing superseded it")
        self._check_known(node, change.key, new)

    def _is_deleted_here(self, durable: Durable, key: Key, old: MvEntry, new: MvEntry) -> bool:
        """True if this batch has a delete of all that its node held: also of what it has just issued again,
        whose new dot nobody can name.
        """
        held = {(sibling.stamp, sibling.value) for sibling in old.siblings}
        return any(
            s.value is None and (s.stamp, None) not in held and self._ledger.is_local(durable, s.dot)
            for s in new.siblings
        ) and any(
            operation.is_delete and operation.context is None and operation.node == durable.node
            for operation in self._history.of_key(key)
            if operation.outcome is Outcome.PENDING
        )

    def _check_known(self, node: str, key: Key, entry: MvEntry) -> None:
        """Every acknowledged write that the vector covers is there, or was superseded."""
        for operation in self._history.of_key(key):
            if operation.outcome is not Outcome.ACKED:
                continue
            dot = self._ledger.last_name(operation)
            if entry.vector.covers(dot) and self._causality.is_lost(key, dot, entry):
                raise self.fail(f"{node} has seen {operation}, does not hold it, and nothing superseded it")


def _is_issued_again(sibling: Sibling, new: MvEntry) -> bool:
    """True if ``new`` holds the same write under another dot."""
    return any((s.stamp, s.value) == (sibling.stamp, sibling.value) for s in new.siblings)
