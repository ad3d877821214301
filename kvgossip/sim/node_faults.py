"""What goes wrong in one machine: crashes, its disk, its clocks, its scheduler; and a power cut for all.

A copy of a directory that has not found out yet is not restarted: see ADR 18.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from kvgossip.sim.cluster import Cluster
from kvgossip.sim.disk import SYNC_US
from kvgossip.sim.fault import Fault
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import MS, SECOND, Action

GRACE_US = 5 * SECOND
"""How long after a fault of its own a node may still answer late: the longest sync, and some."""
HOUR_MS = 3_600_000
TEN_YEARS_MS = 87_600 * HOUR_MS


class NodeFaults:
    """Each beginning takes luck and a duration, and returns how it ends."""

    def __init__(self, cluster: Cluster, is_over: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._is_over = is_over
        self.begins: dict[Fault, Callable[[Random, int], Action | None]] = {
            Fault.CRASH: partial(self._crash, Fault.CRASH),
            Fault.POWER_LOSS: partial(self._crash, Fault.POWER_LOSS),
            Fault.MASS_RESTART: self._restart_all,
            Fault.COMMIT_REFUSED: partial(self._harm_disk, "refusal_rate", 0.3),
            Fault.DISK_FULL: partial(self._harm_disk, "is_full", True),
            Fault.OUTCOME_UNKNOWN: partial(self._harm_disk, "fails_next_sync", True),
            Fault.SLOW_DISK: self._slow_disk,
            Fault.CLOCK_JUMP: self._jump_clock,
            Fault.CLOCK_FAR: self._set_clock_far,
            Fault.CLOCK_DRIFT: self._drift,
            Fault.FREEZE: self._freeze,
        }

    # -- crashes

    def _crash(self, fault: Fault, rng: Random, duration_us: int) -> Action | None:
        """Crash now or, more often, in the next commit; start again after a while."""
        node = self._choose_up(rng)
        if node is None or self._is_unaware_copy(node):
            return None
        self._excuse(node, duration_us)
        if rng.random() < 0.3:
            self._fell(node, fault)
        else:
            node.ambush = partial(self._fell_soon, node, fault, rng)
        return partial(self._recover, node)

    def _fell_soon(self, node: SimNode, fault: Fault, rng: Random) -> None:
        """A commit has begun: crash somewhere in the course of it."""
        self._cluster.scheduler.after(rng.randrange(2 * MS), partial(self._fell, node, fault))

    def _fell(self, node: SimNode, fault: Fault) -> None:
        if node.is_up and not self._is_over() and not self._is_unaware_copy(node):
            self._cluster.injected[fault] += 1
            self._cluster.crash(node, is_power_loss=fault is Fault.POWER_LOSS)

    def _recover(self, node: SimNode) -> None:
        node.ambush = None
        self._cluster.start(node)

    def _restart_all(self, rng: Random, duration_us: int) -> Action:
        """A power cut; all machines come back within two seconds of each other."""
        is_power_loss = rng.random() < 0.5
        for node in self._cluster.nodes:
            if self._is_unaware_copy(node):
                continue
            self._excuse(node, duration_us + 2 * SECOND)
            self._cluster.injected[Fault.MASS_RESTART] += node.is_up
            self._cluster.crash(node, is_power_loss=is_power_loss)
        return partial(self._recover_all, rng)

    def _recover_all(self, rng: Random) -> None:
        for node in self._cluster.nodes:
            self._cluster.scheduler.after(rng.randrange(2 * SECOND), partial(self._cluster.start, node))

    # -- its disk

    def _harm_disk(self, name: str, harm: float | bool, rng: Random, duration_us: int) -> Action | None:
        """Refuse some commits or all, or leave open what became of the next: then an operator restarts it."""
        node = self._choose_up(rng)
        if node is None or not node.is_started or self._is_unaware_copy(node):
            return None
        setattr(node.disk, name, harm)
        self._excuse(node, duration_us)
        return partial(self._repair_disk, node, rng)

    def _repair_disk(self, node: SimNode, rng: Random) -> None:
        node.disk.is_full = False
        node.disk.refusal_rate = 0.0
        node.disk.fails_next_sync = False
        if node.is_up and node.disk.is_doubtful:
            self._cluster.crash(node, is_power_loss=rng.random() < 0.5)
            self._cluster.start(node)

    def _slow_disk(self, rng: Random, duration_us: int) -> Action:
        node = rng.choice(self._cluster.nodes)
        node.disk.sync_us = rng.choice(((20 * MS, 40 * MS), (500 * MS, 2_000 * MS)))
        self._excuse(node, duration_us)
        return partial(setattr, node.disk, "sync_us", SYNC_US)

    # -- its clocks, and its scheduler

    def _jump_clock(self, rng: Random, duration_us: int) -> None:
        """A wall clock is set wrong, by seconds or hours, and stays so."""
        jumps_ms = (-HOUR_MS, -10_000, 3_000, 10_000, 6 * HOUR_MS)
        rng.choice(self._cluster.nodes).clock.wall_offset_ms += rng.choice(jumps_ms)
        self._cluster.injected[Fault.CLOCK_JUMP] += 1

    def _set_clock_far(self, rng: Random, duration_us: int) -> Action:
        """A wall clock is ten years wrong, mostly ahead, until somebody sets it right.

        Half the time the node is cut off with one other, so that neither can know which of them is wrong.
        """
        nodes, network = self._cluster.nodes, self._cluster.network
        node, companion = rng.sample(nodes, 2)
        pair = {node.address, companion.address}
        links = [
            (a.address, b.address) for a in nodes for b in nodes if (a.address in pair) != (b.address in pair)
        ]
        if rng.random() < 0.5:
            links = []
        network.cut(links, Fault.ISOLATE)
        wrong_ms = TEN_YEARS_MS if rng.random() < 0.75 else -TEN_YEARS_MS
        node.clock.wall_offset_ms += wrong_ms
        self._cluster.injected[Fault.CLOCK_FAR] += 1

        def set_right() -> None:
            node.clock.wall_offset_ms -= wrong_ms
            network.mend(links, Fault.ISOLATE)

        return set_right

    def _drift(self, rng: Random, duration_us: int) -> Action:
        """Both clocks of a node run up to a fifth too fast or too slow."""
        node = rng.choice(self._cluster.nodes)
        before = node.clock.skew_ppm
        node.clock.set_rate(self._cluster.scheduler.now_us, rng.choice((-200_000, -20_000, 20_000, 200_000)))
        self._cluster.injected[Fault.CLOCK_DRIFT] += 1
        return lambda: node.clock.set_rate(self._cluster.scheduler.now_us, before)

    def _freeze(self, rng: Random, duration_us: int) -> Action | None:
        node = self._choose_up(rng)
        if node is None or node.is_frozen:
            return None
        self._cluster.injected[Fault.FREEZE] += 1
        self._excuse(node, duration_us)
        self._cluster.freeze(node)
        return partial(self._cluster.thaw, node)

    def _choose_up(self, rng: Random) -> SimNode | None:
        up = self._cluster.up_nodes()
        return rng.choice(up) if up else None

    def _is_unaware_copy(self, node: SimNode) -> bool:
        return self._cluster.ledger.is_unaware_copy(node.name)

    def _excuse(self, node: SimNode, duration_us: int) -> None:
        self._cluster.excuse(node, self._cluster.scheduler.now_us + duration_us + GRACE_US)
