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
                self._check_mv(durable.node, change, change.new)
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

    def _check_mv(self, node: str, change: RowChange, new: MvEntry) -> None:
        if isinstance(change.old, MvEntry):
            disk = self._ledger.disks[node]
            if not new.vector.covers_all(disk.lowered(change.old.vector)):
                raise self.fail(
                    f"the vector of {change.key!r} at {node} went back: {change.old} and then {new}"
                )
            for sibling in change.old.siblings:
                if disk.has_given_up(sibling.dot) and _is_issued_again(sibling, new):
                    continue
                if self._causality.is_lost(change.key, sibling.dot, new):
                    raise self.fail(f"{node} dropped {sibling} of {change.key!r}: nothing superseded it")
        self._check_known(node, change.key, new)

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
