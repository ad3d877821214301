"""P2, durability: a write that was acknowledged survives the crash or power loss of the node that took it.

Held against what the disk shows at each restart, and against what all nodes hold at the end.
"""

from kvgossip.model.clock import NodeClock
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.history import Operation
from kvgossip.sim.order import holds_or_supersedes


class AckedWritesSurvive(Checker):
    def on_restarted(self, node: str, rows: dict[Key, Entry], clock: NodeClock) -> None:
        for operation in self._history.acked():
            if operation.node == node:
                self._check(operation, rows, f"{node} restarted and")
                if not clock.covers(operation.dot):
                    raise self.fail(f"{node} restarted and its clock does not cover {operation}")

    def on_settled(self, states: list[NodeState]) -> None:
        for state in states:
            for operation in self._history.acked():
                self._check(operation, state.rows, f"at the end {state.node}")

    def _check(self, operation: Operation, rows: dict[Key, Entry], who: str) -> None:
        row = rows.get(operation.key)
        if not holds_or_supersedes(row, operation.dot, operation.stamp, operation.value):
            raise self.fail(f"{who} holds {row} instead of {operation}")
        if row is not None and self._causality.is_lost(operation.key, operation.dot, row):
            raise self.fail(f"{who} holds {row}: neither {operation} nor what superseded it")
