"""What people do to nodes, as faults: directories wiped, restored and cloned, nodes that leave and join.

Half the time the node in question is cut off from all others when it starts on its new directory, so that it
takes writes before anybody can tell it what it is.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from kvgossip.sim.cluster import Cluster
from kvgossip.sim.fault import Fault
from kvgossip.sim.network_faults import NetworkFaults
from kvgossip.sim.node import SimNode
from kvgossip.sim.node_faults import GRACE_US
from kvgossip.sim.operator import Operator
from kvgossip.sim.scheduler import Action

NODES_MAX = 15


class OperatorFaults:
    """Each beginning takes luck and a duration, and returns how it ends."""

    def __init__(
        self, cluster: Cluster, operator: Operator, network: NetworkFaults, is_over: Callable[[], bool]
    ) -> None:
        self._cluster = cluster
        self._operator = operator
        self._network = network
        self._is_over = is_over
        self.begins: dict[Fault, Callable[[Random, int], Action | None]] = {
            Fault.WIPE: self._wipe,
            Fault.RESTORE: self._restore,
            Fault.CLONE: self._clone,
            Fault.LEAVE: self._leave,
            Fault.JOIN: self._join,
        }

    def _wipe(self, rng: Random, duration_us: int) -> Action | None:
        node = self._choose(rng)
        if node is None:
            return None
        self._excuse(node, duration_us)
        self._cluster.injected[Fault.WIPE] += 1
        mend = self._network.isolate(node, Fault.ISOLATE) if rng.random() < 0.5 else None
        self._operator.wipe(node)
        if mend is None:
            return partial(self._cluster.start, node)
        self._cluster.start(node)
        return mend

    def _restore(self, rng: Random, duration_us: int) -> Action | None:
        """A backup now; put back half way, as old as that."""
        node = self._choose(rng)
        if node is None:
            return None
        backup = self._operator.back_up(node)
        ends: list[Action] = []
        is_cut_off = rng.random() < 0.5

        def put_back() -> None:
            if self._is_over() or not self._may_restart(node):
                return
            self._excuse(node, duration_us)
            self._cluster.injected[Fault.RESTORE] += 1
            if is_cut_off:
                ends.append(self._network.isolate(node, Fault.ISOLATE))
            self._operator.restore(backup)
            self._cluster.start(node)

        self._cluster.scheduler.after(duration_us // 2, put_back)
        return partial(_end_all, ends)

    def _clone(self, rng: Random, duration_us: int) -> Action | None:
        node = self._choose(rng)
        if node is None or len(self._cluster.nodes) >= NODES_MAX:
            return None
        self._cluster.injected[Fault.CLONE] += 1
        twin = self._operator.clone(node)
        self._excuse(twin, duration_us)
        return self._network.isolate(twin, Fault.ISOLATE) if rng.random() < 0.5 else None

    def _leave(self, rng: Random, duration_us: int) -> Action | None:
        """A node leaves, and comes back: as it was, or on an empty directory."""
        node = self._choose(rng)
        if node is None:
            return None
        self._excuse(node, duration_us)
        self._operator.leave(node, partial(self._note_left, node))
        return partial(self._come_back, node, rng.random() < 0.5)

    def _note_left(self, node: SimNode) -> None:
        self._cluster.injected[Fault.LEAVE] += 1
        if self._is_over():  # it took until after the heal: then it is back at once
            self._cluster.start(node)

    def _come_back(self, node: SimNode, is_new: bool) -> None:
        if is_new and not node.is_up:
            self._operator.wipe(node)
        self._cluster.start(node)

    def _join(self, rng: Random, duration_us: int) -> None:
        """One more, now and then several at once."""
        for _ in range(rng.choice((1, 1, 1, 4))):
            if len(self._cluster.nodes) < NODES_MAX:
                self._cluster.injected[Fault.JOIN] += 1
                self._operator.join()

    def _choose(self, rng: Random) -> SimNode | None:
        up = self._cluster.up_nodes()
        started = [node for node in up if node.is_started and not node.is_frozen and self._may_restart(node)]
        return rng.choice(started) if started else None

    def _may_restart(self, node: SimNode) -> bool:
        """False for a copy that has not found out (ADR 18), and on a disk that soon needs a restart."""
        is_harmed = node.disk.fails_next_sync or node.disk.is_doubtful
        return not is_harmed and not self._cluster.ledger.is_unaware_copy(node.name)

    def _excuse(self, node: SimNode, duration_us: int) -> None:
        self._cluster.excuse(node, self._cluster.scheduler.now_us + duration_us + GRACE_US)


def _end_all(ends: list[Action]) -> None:
    for end in ends:
        end()
