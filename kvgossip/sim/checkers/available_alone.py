"""P7, available alone: a node that can reach nobody takes reads and writes.

No answer may wait for a peer. So every write is answered within a bound that the disk alone explains,
whatever the network does, unless its node was down, frozen or had a bad disk meanwhile (the operation is
*excused*). Reads are plain calls: they cannot wait.
"""

from kvgossip.config import SIBLINGS_MAX
from kvgossip.model.mv import MvEntry
from kvgossip.node.effects import Refusal
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.history import Operation, Outcome
from kvgossip.sim.scheduler import MS

ANSWER_MS_MAX = 50
"""Two commits of the simulated disk, and some."""


class AvailableAlone(Checker):
    def on_acked(self, operation: Operation) -> None:
        assert operation.answered_us is not None
        waited_ms = (operation.answered_us - operation.invoked_us) // MS
        if waited_ms > ANSWER_MS_MAX and not operation.is_excused:
            raise self.fail(f"{operation} waited {waited_ms} ms for its answer, with a good disk")

    def on_refused(self, operation: Operation) -> None:
        if operation.is_excused:
            return
        if operation.refusal is Refusal.PRECONDITION_FAILED and operation.condition is not None:
            return  # whether it had failed is for PreconditionsHold
        siblings = operation.before.siblings if isinstance(operation.before, MvEntry) else ()
        if operation.refusal is Refusal.TOO_MANY_SIBLINGS and len(siblings) >= SIBLINGS_MAX // 2:
            return  # the rest may have been staged
        raise self.fail(
            f"{operation} was refused ({operation.refusal}) by a node that had nothing to complain of"
        )

    def on_settled(self, states: list[NodeState]) -> None:
        for operation in self._history.operations:
            if operation.outcome is Outcome.PENDING:
                raise self.fail(f"{operation} was never answered")
