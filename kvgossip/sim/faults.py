"""The schedule of faults: which kinds, when, for how long and whom, all drawn from the seed.

Each kind comes in a few windows. A fault that begins returns how it ends; at the end of the run everything
that is still broken is healed at once.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from kvgossip.sim.cluster import Cluster
from kvgossip.sim.disk import SYNC_US
from kvgossip.sim.fault import Fault
from kvgossip.sim.network import Link
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import MS, SECOND, Action

WINDOWS = (2, 5)
"""How often a kind comes."""
WINDOW_US = (300 * MS, 4 * SECOND)
GRACE_US = 5 * SECOND
"""How long after a fault of its own a node may still answer late: the longest sync, and some."""

NETWORK_FAULTS = (
    Fault.LOSS,
    Fault.DELAY,
    Fault.DUPLICATION,
    Fault.REORDER,
    Fault.PARTITION,
    Fault.ONE_WAY,
    Fault.BRIDGE,
    Fault.FLAP,
)
NODE_FAULTS = (
    Fault.CRASH,
    Fault.POWER_LOSS,
    Fault.COMMIT_REFUSED,
    Fault.DISK_FULL,
    Fault.OUTCOME_UNKNOWN,
    Fault.SLOW_DISK,
    Fault.CLOCK_JUMP,
    Fault.FREEZE,
)


def draw_kinds(rng: Random) -> list[Fault]:
    """Two to four kinds of each sort."""
    return [
        *rng.sample(NETWORK_FAULTS, rng.randrange(2, 5)),
        *rng.sample(NODE_FAULTS, rng.randrange(2, 5)),
    ]


class Faults:
    """The faults of one run."""

    def __init__(self, cluster: Cluster, rng: Random, kinds: Sequence[Fault]) -> None:
        self._cluster = cluster
        self._rng = rng
        self._kinds = kinds
        self._ends: dict[int, Action] = {}
        """How to end each window that has begun."""
        self._is_over = False
        self._begins: dict[Fault, Callable[[int], Action | None]] = {
            Fault.LOSS: self._lose,
            Fault.DELAY: self._delay,
            Fault.DUPLICATION: self._duplicate,
            Fault.REORDER: self._reorder,
            Fault.PARTITION: partial(self._partition, Fault.PARTITION),
            Fault.ONE_WAY: partial(self._partition, Fault.ONE_WAY),
            Fault.BRIDGE: self._bridge,
            Fault.FLAP: self._flap,
            Fault.CRASH: partial(self._crash, Fault.CRASH),
            Fault.POWER_LOSS: partial(self._crash, Fault.POWER_LOSS),
            Fault.COMMIT_REFUSED: self._refuse_commits,
            Fault.DISK_FULL: self._fill_disk,
            Fault.OUTCOME_UNKNOWN: self._fail_sync,
            Fault.SLOW_DISK: self._slow_disk,
            Fault.CLOCK_JUMP: self._jump_clock,
            Fault.FREEZE: self._freeze,
        }

    def schedule(self, start_us: int, end_us: int) -> None:
        """Draw the windows: the first of each kind early, so that every kind happens."""
        number = 0
        for kind in self._kinds:
            for i in range(self._rng.randrange(*WINDOWS)):
                last_us = end_us if i else (start_us + end_us) // 2
                at_us = self._rng.randrange(start_us, last_us)
                self._cluster.scheduler.at(at_us, partial(self._begin, kind, number))
                number += 1

    def heal(self) -> None:
        """End everything, and begin nothing more."""
        self._is_over = True
        for number in sorted(self._ends):
            self._end(number)
        for node in self._cluster.nodes:
            self._cluster.start(node)

    def _begin(self, kind: Fault, number: int) -> None:
        if self._is_over:
            return
        duration_us = self._rng.randrange(*WINDOW_US)
        end = self._begins[kind](duration_us)
        if end is None:
            return
        self._cluster.trace.note(self._cluster.scheduler.now_us, "faults", f"begin {number} {kind.value}")
        self._ends[number] = end
        self._cluster.scheduler.after(duration_us, partial(self._end, number))

    def _end(self, number: int) -> None:
        end = self._ends.pop(number, None)
        if end is not None:
            self._cluster.trace.note(self._cluster.scheduler.now_us, "faults", f"end {number}")
            end()

    # -- the network: each returns how it ends

    def _lose(self, duration_us: int) -> Action:
        self._cluster.network.quality.loss = self._rng.choice((0.01, 0.1, 0.3, 0.5))
        return partial(setattr, self._cluster.network.quality, "loss", 0.0)

    def _delay(self, duration_us: int) -> Action:
        self._cluster.network.quality.tail = self._rng.choice((0.05, 0.3))
        return partial(setattr, self._cluster.network.quality, "tail", 0.0)

    def _duplicate(self, duration_us: int) -> Action:
        self._cluster.network.quality.duplication = self._rng.choice((0.1, 0.5))
        return partial(setattr, self._cluster.network.quality, "duplication", 0.0)

    def _reorder(self, duration_us: int) -> Action:
        self._cluster.network.quality.reorder = self._rng.choice((0.1, 0.5))
        return partial(setattr, self._cluster.network.quality, "reorder", 0.0)

    def _partition(self, fault: Fault, duration_us: int) -> Action:
        """Cut k nodes from the others: both ways, or one way only. Often a node that is quite alone."""
        nodes = self._cluster.nodes
        count = 1 if self._rng.random() < 0.4 else self._rng.randrange(1, len(nodes))
        side = self._rng.sample(nodes, count)
        others = [node for node in nodes if node not in side]
        links = [(a.address, b.address) for a in side for b in others]
        if fault is Fault.PARTITION:
            links += [(b, a) for a, b in links]
        return self._cut(links, fault)

    def _bridge(self, duration_us: int) -> Action:
        a, b = self._rng.sample(self._cluster.nodes, 2)
        return self._cut([(a.address, b.address), (b.address, a.address)], Fault.BRIDGE)

    def _cut(self, links: list[Link], fault: Fault) -> Action:
        self._cluster.network.cut(links, fault)
        return partial(self._cluster.network.mend, links, fault)

    def _flap(self, duration_us: int) -> Action:
        """Cut and mend a node's links in turns of 0.2 to 1 s."""
        node = self._rng.choice(self._cluster.nodes)
        others = [other for other in self._cluster.nodes if other is not node]
        links = [(node.address, other.address) for other in others]
        links += [(b, a) for a, b in links]
        flap = _Flap(self._cluster, links, self._rng)
        flap.turn()
        return flap.end

    # -- one node

    def _crash(self, fault: Fault, duration_us: int) -> Action | None:
        """Crash now or, more often, in the next commit; start again after a while."""
        node = self._choose_up()
        if node is None:
            return None
        self._cluster.excuse(node, self._cluster.scheduler.now_us + duration_us + GRACE_US)
        if self._rng.random() < 0.3:
            self._fell(node, fault)
        else:
            node.ambush = partial(self._fell_soon, node, fault)
        return partial(self._recover, node)

    def _fell_soon(self, node: SimNode, fault: Fault) -> None:
        """A commit has begun: crash somewhere in the course of it."""
        self._cluster.scheduler.after(self._rng.randrange(2 * MS), partial(self._fell, node, fault))

    def _fell(self, node: SimNode, fault: Fault) -> None:
        if node.is_up and not self._is_over:
            self._cluster.injected[fault] += 1
            self._cluster.crash(node, is_power_loss=fault is Fault.POWER_LOSS)

    def _recover(self, node: SimNode) -> None:
        node.ambush = None
        self._cluster.start(node)

    def _refuse_commits(self, duration_us: int) -> Action | None:
        node = self._choose_up()
        if node is None or not node.is_started:
            return None
        node.disk.refusal_rate = 0.3
        self._cluster.excuse(node, self._cluster.scheduler.now_us + duration_us + GRACE_US)
        return partial(self._repair_disk, node)

    def _fail_sync(self, duration_us: int) -> Action | None:
        """The outcome of the next commit is unknown; some time after it an operator restarts the node."""
        node = self._choose_up()
        if node is None or not node.is_started:
            return None
        node.disk.fails_next_sync = True
        self._cluster.excuse(node, self._cluster.scheduler.now_us + duration_us + GRACE_US)
        return partial(self._repair_disk, node)

    def _fill_disk(self, duration_us: int) -> Action | None:
        node = self._choose_up()
        if node is None or not node.is_started:
            return None
        node.disk.is_full = True
        self._cluster.excuse(node, self._cluster.scheduler.now_us + duration_us + GRACE_US)
        return partial(self._repair_disk, node)

    def _repair_disk(self, node: SimNode) -> None:
        node.disk.is_full = False
        node.disk.refusal_rate = 0.0
        node.disk.fails_next_sync = False
        if node.is_up and node.disk.is_doubtful:
            self._cluster.crash(node, is_power_loss=self._rng.random() < 0.5)
            self._cluster.start(node)

    def _slow_disk(self, duration_us: int) -> Action:
        node = self._rng.choice(self._cluster.nodes)
        node.disk.sync_us = self._rng.choice(((20 * MS, 40 * MS), (500 * MS, 2_000 * MS)))
        self._cluster.excuse(node, self._cluster.scheduler.now_us + duration_us + GRACE_US)
        return partial(setattr, node.disk, "sync_us", SYNC_US)

    def _jump_clock(self, duration_us: int) -> None:
        """A wall clock is set wrong, by seconds, hours or ten years, and stays so."""
        hour_ms = 3_600_000
        jumps_ms = (-hour_ms, -10_000, 3_000, 10_000, 6 * hour_ms, 87_600 * hour_ms)
        self._rng.choice(self._cluster.nodes).clock.wall_offset_ms += self._rng.choice(jumps_ms)
        self._cluster.injected[Fault.CLOCK_JUMP] += 1

    def _freeze(self, duration_us: int) -> Action | None:
        node = self._choose_up()
        if node is None or node.is_frozen:
            return None
        self._cluster.injected[Fault.FREEZE] += 1
        self._cluster.excuse(node, self._cluster.scheduler.now_us + duration_us + GRACE_US)
        self._cluster.freeze(node)
        return partial(self._cluster.thaw, node)

    def _choose_up(self) -> SimNode | None:
        up = self._cluster.up_nodes()
        return self._rng.choice(up) if up else None


class _Flap:
    """A link that goes and comes."""

    def __init__(self, cluster: Cluster, links: list[Link], rng: Random) -> None:
        self._cluster = cluster
        self._links = links
        self._rng = rng
        self._is_cut = False
        self._is_over = False

    def turn(self) -> None:
        if self._is_over:
            return
        self._switch()
        self._cluster.scheduler.after(self._rng.randrange(200 * MS, 1_000 * MS), self.turn)

    def end(self) -> None:
        self._is_over = True
        if self._is_cut:
            self._switch()

    def _switch(self) -> None:
        network = self._cluster.network
        (network.mend if self._is_cut else network.cut)(self._links, Fault.FLAP)
        self._is_cut = not self._is_cut
