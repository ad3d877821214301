"""What a checker is told, and how it complains.

Safety is checked at every event that could break it, so a violation is found where it happens; liveness once,
at the end, when all faults are healed and time has run. A checker knows the history (what clients saw), the
ledger (what disks hold) and what it is told here; it asks nothing of a replica.
"""

import re
from dataclasses import dataclass

from kvgossip.model.clock import NodeClock
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.node.effects import Event
from kvgossip.sim.causality import Causality
from kvgossip.sim.frames import Told
from kvgossip.sim.history import History, Operation
from kvgossip.sim.ledger import Durable, Ledger

_PADDING = re.compile(r"\.{3,}")
"""What the workload makes large values of."""


class Violation(Exception):
    """A promise was broken. ``promise`` is the name of the checker."""

    def __init__(self, promise: str, saw: str) -> None:
        super().__init__(promise, saw)
        self.promise = promise
        self.saw = _PADDING.sub("..", saw)

    def __str__(self) -> str:
        return f"{self.promise}: {self.saw}"


@dataclass(frozen=True, slots=True)
class NodeState:
    """What a node answers at the end: its root, its clock, and every entry by a read."""

    node: str
    root: str
    clock: NodeClock
    rows: dict[Key, Entry]
    replica: ReplicaId


@dataclass(frozen=True, slots=True)
class NodeLook:
    """A node's wall clock, held against simulated time; its correction; how many others it thinks alive."""

    node: str
    offset_ms: int
    correction_ms: int
    live_count: int


class Checker:
    """The base of all checkers: looks at nothing. Each overrides what its promise is about."""

    def __init__(self, history: History, ledger: Ledger) -> None:
        self._history = history
        self._ledger = ledger
        self._causality = Causality(history, ledger)

    def on_durable(self, durable: Durable) -> None:
        """A batch became durable; the ledger shows it already."""

    def on_sent(self, node: str, told: Told, to: str) -> None:
        """A node lets a frame go to another node."""

    def on_read(self, node: str, key: Key, entry: Entry | None) -> None:
        """A node showed an entry to a client."""

    def on_acked(self, operation: Operation) -> None:
        """A client was told that its write is done; the history shows it already."""

    def on_refused(self, operation: Operation) -> None:
        """A client was told that its write is not done."""

    def on_restarted(self, node: str, rows: dict[Key, Entry], clock: NodeClock) -> None:
        """A node opened its disk after a crash and found this."""

    def on_replaced(self, node: str) -> None:
        """An operator has put another disk, or an empty one, in the place of this node's."""

    def on_event(self, node: str, event: Event) -> None:
        """A node has told its log something."""

    def on_looked(self, looks: list[NodeLook]) -> None:
        """Now and then: what every node that is up thinks of its wall clock."""

    def on_settled(self, states: list[NodeState]) -> None:
        """All is healed, no client writes, and time has run: this is what the nodes hold."""

    def fail(self, saw: str) -> Violation:
        """The violation to raise."""
        return Violation(type(self).__name__, saw)
