"""The schedule of faults: which kinds, when, for how long and whom, all drawn from the seed.

Swarm testing (Groce, Zhang, Eide, Chen, Regehr 2012): a run does not mix all kinds, but a few that the seed
draws, because some hide others. Each kind comes in a few windows. A fault that begins returns how it ends; at
the end of the run everything that is still broken is healed at once. Each window has luck of its own, so one
that is left out (``sim/shrink.py``) does not change the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from kvgossip.sim.cluster import Cluster
from kvgossip.sim.fault import Fault
from kvgossip.sim.network_faults import NetworkFaults
from kvgossip.sim.node_faults import NodeFaults
from kvgossip.sim.operator import Operator
from kvgossip.sim.operator_faults import OperatorFaults
from kvgossip.sim.scheduler import MS, SECOND, Action
from kvgossip.sim.storms import Storm

WINDOWS = (2, 5)
"""How often a kind comes."""
OPERATOR_WINDOWS = (1, 3)
"""What people do comes less often."""
WINDOW_US = (300 * MS, 4 * SECOND)
LONG_WINDOW_US = (10 * SECOND, 60 * SECOND)
LONG_SHARE = 0.15

NETWORK_FAULTS = (
    Fault.LOSS,
    Fault.DELAY,
    Fault.DUPLICATION,
    Fault.REORDER,
    Fault.REPLAY,
    Fault.NARROW,
    Fault.PARTITION,
    Fault.ISOLATE,
    Fault.ONE_WAY,
    Fault.BRIDGE,
    Fault.FLAP,
    Fault.STRANGE,
    Fault.POISON,
)
NODE_FAULTS = (
    Fault.CRASH,
    Fault.POWER_LOSS,
    Fault.MASS_RESTART,
    Fault.COMMIT_REFUSED,
    Fault.DISK_FULL,
    Fault.OUTCOME_UNKNOWN,
    Fault.SLOW_DISK,
    Fault.CLOCK_JUMP,
    Fault.CLOCK_FAR,
    Fault.CLOCK_DRIFT,
    Fault.FREEZE,
)
OPERATOR_FAULTS = (Fault.WIPE, Fault.RESTORE, Fault.CLONE, Fault.LEAVE, Fault.JOIN)

Begin = Callable[[Random, int], Action | None]
"""Given luck and a duration: begin a fault, and say how it ends; None if there is nothing to end."""


def draw_kinds(rng: Random) -> list[Fault]:
    """Two to four kinds of each sort, and often something that people do."""
    return [
        *rng.sample(NETWORK_FAULTS, rng.randrange(2, 5)),
        *rng.sample(NODE_FAULTS, rng.randrange(2, 5)),
        *rng.sample(OPERATOR_FAULTS, rng.choice((0, 1, 1, 2))),
    ]


@dataclass(frozen=True, slots=True)
class Window:
    """One fault of a run; ``number`` names it within the seed."""

    number: int
    kind: Fault
    at_us: int
    duration_us: int


def draw_windows(rng: Random, kinds: Sequence[Fault], storms: Sequence[Storm]) -> tuple[Window, ...]:
    """The first of each kind in the first storm, so that every kind happens."""
    windows: list[Window] = []
    for kind in kinds:
        for i in range(rng.randrange(*(OPERATOR_WINDOWS if kind in OPERATOR_FAULTS else WINDOWS))):
            storm = rng.choice(storms) if i else storms[0]
            at_us = rng.randrange(storm.start_us, storm.end_us)
            is_long = rng.random() < LONG_SHARE or kind is Fault.CLOCK_FAR
            duration_us = rng.randrange(*(LONG_WINDOW_US if is_long else WINDOW_US))
            windows.append(Window(len(windows), kind, at_us, duration_us))
    return tuple(windows)


class Faults:
    """The faults of one run."""

    def __init__(
        self,
        cluster: Cluster,
        operator: Operator,
        windows: Sequence[Window],
        make_rng: Callable[[str], Random],
    ) -> None:
        self._cluster = cluster
        self._windows = windows
        self._make_rng = make_rng
        self._ends: dict[int, Action] = {}
        """How to end each window that has begun."""
        self._is_over = False
        network = NetworkFaults(cluster, self.is_over)
        self._begins: dict[Fault, Begin] = {
            **network.begins,
            **NodeFaults(cluster, self.is_over).begins,
            **OperatorFaults(cluster, operator, network, self.is_over).begins,
        }

    def schedule(self) -> None:
        for window in self._windows:
            self._cluster.scheduler.at(window.at_us, partial(self._begin, window))

    def heal(self) -> None:
        """End everything, and begin nothing more."""
        self._is_over = True
        for number in sorted(self._ends):
            self._end(number)
        for node in self._cluster.nodes:
            self._cluster.start(node)

    def is_over(self) -> bool:
        return self._is_over

    def _begin(self, window: Window) -> None:
        if self._is_over:
            return
        now_us, number = self._cluster.scheduler.now_us, window.number
        rng = self._make_rng(f"window {number}")
        self._cluster.trace.note(now_us, "faults", f"begin {number} {window.kind.value}")
        end = self._begins[window.kind](rng, window.duration_us)
        if end is not None:
            self._ends[number] = end
            self._cluster.scheduler.after(window.duration_us, partial(self._end, number))

    def _end(self, number: int) -> None:
        end = self._ends.pop(number, None)
        if end is not None:
            self._cluster.trace.note(self._cluster.scheduler.now_us, "faults", f"end {number}")
            end()
