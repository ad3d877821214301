"""A node clock covers a dot only if the node holds its effect: the write itself, or what superseded it.

Everything that forgets or skips data by a clock (rumors that are no news, clock take-over, later the
retirement of tombstones) rests on this. Checked at each batch for the dots that it newly covers; a row never
gives anything up (``SiblingsKept``), so what held once holds on. Only a copied directory may go back, behind
dots of its own replica id beyond the copy; and of a dot that two lines have issued nobody can say what it is.
"""

from kvgossip.model.clock import NodeClock
from kvgossip.model.dot import Dot
from kvgossip.model.ids import Key
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.disk_view import writes_in
from kvgossip.sim.ledger import Durable, dots_covered
from kvgossip.sim.order import holds_or_supersedes


class NodeClockIsHonest(Checker):
    def on_durable(self, durable: Durable) -> None:
        if not durable.new_clock.includes(durable.old_clock):
            for lost in dots_covered(durable.new_clock, durable.old_clock):
                if not self._ledger.disks[durable.node].has_given_up(lost):
                    raise self.fail(f"the clock of {durable.node} covered {lost} and no longer does")
        for change in durable.changes:
            for write in writes_in(change.key, change.new):
                if not durable.new_clock.covers(write.dot):
                    raise self.fail(
                        f"{durable.node} holds {write.dot} of {change.key!r}, but its clock does not"
                    )
        self._check_held(durable.node, dots_covered(durable.old_clock, durable.new_clock))

    def on_settled(self, states: list[NodeState]) -> None:
        for state in states:
            self._check_held(state.node, dots_covered(NodeClock(), state.clock))

    def _check_held(self, node: str, dots: list[Dot]) -> None:
        rows = self._ledger.disks[node].rows
        for dot in dots:
            named = None if self._ledger.is_ambiguous(dot) else self._named(dot)
            if named is None:
                continue  # superseded in the batch that would have shown it, and nobody was answered
            key, stamp, value = named
            row = rows.get(key)
            if not holds_or_supersedes(row, dot, stamp, value):
                raise self.fail(
                    f"the clock of {node} covers {dot}, a write of {key!r}, but {node} holds {row}"
                )
            if row is not None and self._causality.is_lost(key, dot, row):
                raise self.fail(f"the clock of {node} covers {dot} of {key!r}, but {node} lost it: {row}")

    def _named(self, dot: Dot) -> tuple[Key, Stamp, Value | None] | None:
        """The write that ``dot`` names, from its answer or from a disk."""
        answered = self._history.of_dot(dot)
        if answered:
            return answered[0].key, answered[0].stamp, answered[0].value
        writes = self._ledger.writes.get(dot)
        return None if not writes else (writes[0].key, writes[0].stamp, writes[0].value)
