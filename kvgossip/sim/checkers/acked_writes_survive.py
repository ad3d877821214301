"""P2, durability: a write that was acknowledged survives the crash or power loss of the node that took it.

Held against what the disk shows at each restart (all that was acknowledged on it, or on the one that it is a
copy of), and against what all nodes hold at the end. A disk that an operator replaces is no fault of its
node: what no other disk held at that moment is *erased* and no longer looked for. What another one held is.
A copy lowers its vectors when it gives its dots up: then what superseded such a write must be there.
"""

from kvgossip.model.clock import NodeClock
from kvgossip.model.dot import Dot
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.model.mv import MvEntry
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.history import Operation
from kvgossip.sim.order import holds_or_supersedes


class AckedWritesSurvive(Checker):
    def on_restarted(self, node: str, rows: dict[Key, Entry], clock: NodeClock) -> None:
        disk = self._ledger.disks[node]
        for number in sorted(disk.acked):
            operation = self._history.operations[number]
            names = self._ledger.names(operation)
            if disk.line == operation.line:
                names = names[-1:]  # else it was issued again elsewhere, and this disk may not know
            complaints = []
            for dot in names:
                is_given_up = disk.has_given_up(dot)
                complaint = self._complaint(operation, dot, rows, is_given_up=is_given_up)
                if complaint is None and not clock.covers(dot) and not is_given_up:
                    complaint = f"has a clock that does not cover {operation}"
                complaints.append(complaint)
            if all(complaints):
                raise self.fail(f"{node} restarted and {complaints[-1]}")

    def on_settled(self, states: list[NodeState]) -> None:
        for state in states:
            for operation in self._history.acked():
                dot = self._ledger.last_name(operation)
                is_given_up = self._ledger.is_void(dot)
                complaint = self._complaint(operation, dot, state.rows, is_given_up=is_given_up)
                if complaint is not None:
                    raise self.fail(f"at the end {state.node} {complaint}")

    def _complaint(
        self, operation: Operation, dot: Dot, rows: dict[Key, Entry], *, is_given_up: bool
    ) -> str | None:
        """What is wrong with ``rows`` if ``operation`` is to be found there under ``dot``."""
        row = rows.get(operation.key)
        is_lowered = is_given_up and isinstance(row, MvEntry)
        if not is_lowered and not holds_or_supersedes(row, dot, operation.stamp, operation.value):
            return f"holds {row} instead of {operation}, known as {dot}"
        if row is not None and self._causality.is_lost(operation.key, dot, row):
            return f"holds {row}: neither {operation} as {dot} nor what superseded it"
        return None
