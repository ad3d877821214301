"""P1, convergence: when writes stop and the network heals, all nodes hold the same state, and the right one.

The same: equal roots, equal entries (a root that left something out would lie), equal clocks without holes
(but for dots that were erased with a disk, or given up by a copy).
The right one: the join of all acknowledged writes and of some whose outcome is unknown, never of a refused
one. For ``kv`` that is a maximum; for ``mv`` see ``SiblingsKept`` (nothing less) and ``WritesSupersede``
(nothing more). No row anywhere, at any time, may show a write that nobody made or that was refused.
"""

from kvgossip.model.kv import KvEntry
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.disk_view import Write, writes_in
from kvgossip.sim.history import Outcome
from kvgossip.sim.ledger import Durable
from kvgossip.sim.order import entry_rank, kv_rank


class Convergence(Checker):
    def on_durable(self, durable: Durable) -> None:
        for change in durable.changes:
            for write in writes_in(change.key, change.new):
                self._check_origin(durable.node, write)

    def on_settled(self, states: list[NodeState]) -> None:
        first = states[0]
        for state in states[1:]:
            self._check_same(first, state)
        holes = self._ledger.holes(first.clock)
        if holes:
            raise self.fail(f"the clocks are equal, with holes {' '.join(map(str, holes))}: {first.clock}")
        for operation in self._history.acked():
            entry = first.rows.get(operation.key)
            if entry is None:
                raise self.fail(f"no node holds {operation.key!r} after {operation}")
            dot = self._ledger.last_name(operation)
            rank = kv_rank(dot, operation.stamp, operation.value)
            if isinstance(entry, KvEntry) and entry_rank(entry) < rank:
                raise self.fail(f"all nodes hold {entry}, which is less than {operation}")
        for key, entry in first.rows.items():
            for write in writes_in(key, entry):
                self._check_origin(first.node, write)

    def _check_same(self, one: NodeState, other: NodeState) -> None:
        for key in sorted({*one.rows, *other.rows}):
            mine, theirs = one.rows.get(key), other.rows.get(key)
            if mine != theirs:
                raise self.fail(f"{one.node} and {other.node} differ in {key!r}: {mine} and {theirs}")
        if one.root != other.root:
            raise self.fail(
                f"{one.node} and {other.node} hold the same and differ in root: {one.root} {other.root}"
            )
        if one.clock != other.clock:
            raise self.fail(f"{one.node} and {other.node} differ in clock: {one.clock} and {other.clock}")

    def _check_origin(self, node: str, write: Write) -> None:
        """Some client asked for this write and was not refused."""
        if write.value is not None:
            operation = self._history.of_body(write.value.body)
            if operation is None or operation.key != write.key or operation.value != write.value:
                raise self.fail(f"{node} holds {write}, which no client asked for")
            if operation.outcome is Outcome.REFUSED:
                raise self.fail(f"{node} holds {write} of {operation}, which was refused")
            return
        if not self._is_delete_of_a_client(write):
            raise self.fail(
                f"{node} holds the delete {write}, which no client asked for or which was refused"
            )

    def _is_delete_of_a_client(self, write: Write) -> bool:
        answered = self._history.of_dot(write.dot)
        if len(answered) == 1 and not self._ledger.is_disputed(write.dot):
            return answered[0].is_delete and answered[0].key == write.key
        return any(
            operation.is_delete
            and (
                (operation.was_answered and operation.stamp == write.stamp)
                or operation.outcome in (Outcome.PENDING, Outcome.UNKNOWN)
            )
            and self._ledger.is_issuer(operation.node, write.dot.replica)
            for operation in self._history.of_key(write.key)
        )
