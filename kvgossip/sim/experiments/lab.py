"""Whole clusters in virtual milliseconds: replicas, disks and network of ``sim check``, without its faults.

Frames take 0.1 to 2 ms and a sync of the disk 0.1 to 3 ms; the tuning is the one that ships. Nothing is
simplified, so clusters are of some dozens of nodes.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Key, Kind, make_key
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.value import Value
from kvgossip.sim.clock import SimClock
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.disk import SimDisk
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.network import Link, SimNetwork
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import MS, Scheduler
from kvgossip.sim.trace import Trace
from kvgossip.store.memory import MemoryStore

SEED_COUNT = 2
"""The first nodes are the seeds of all."""
MEET_MS_MAX = 60_000
CALM_MS = 12_000
"""Until the exchanges of a start are over."""


class Lab:
    """A cluster that has been up for a while."""

    def __init__(self, node_count: int, seed: int) -> None:
        self._seed = seed
        self.rng = self._luck("experiment")
        self.scheduler = Scheduler()
        self.injected: Injected = Injected()
        self._secret = ClusterSecret.derive("lab", b"a secret of the lab")
        self.cluster = Cluster(self.scheduler, Trace(None), self.injected)
        self.network = SimNetwork(self.scheduler, self._luck("network"), self.cluster.deliver, self.injected)
        self.cluster.build(self.network, (), ())
        for number in range(node_count):
            self.cluster.add(self._make_node(number))
        self.nodes = self.cluster.nodes
        for node in self.nodes:
            self.cluster.start(node)
        assert self.wait(self.all_alive, MEET_MS_MAX) is not None, f"seed {seed}: they did not meet"
        self.run(CALM_MS)

    def run(self, duration_ms: int) -> None:
        self.scheduler.run_until(self.scheduler.now_us + duration_ms * MS)

    def wait(self, is_done: Callable[[], bool], limit_ms: int, step_ms: int = 10) -> int | None:
        """Milliseconds until ``is_done``, or None if it is not within ``limit_ms``."""
        for passed_ms in range(0, limit_ms, step_ms):
            if is_done():
                return passed_ms
            self.run(step_ms)
        return None

    def write(self, node: SimNode, name: str) -> Key:
        """Ask a node to store a value of 100 bytes; it is acknowledged within some milliseconds."""
        key = make_key(Kind.KV, name.encode())
        value = Value(name.encode().ljust(100, b"."))
        self.cluster.requests.write(node, key, value, None, lambda _: None)
        return key

    def holds(self, node: SimNode, key: Key) -> bool:
        assert node.replica is not None
        return node.replica.get(key) is not None

    def all_alive(self) -> bool:
        """True if every node holds every other to be there."""
        now_us = self.scheduler.now_us
        return all(
            sum(member.state == "alive" for member in node.replica.members(node.now(now_us)))
            == len(self.nodes)
            for node in self.nodes
            if node.replica is not None
        )

    def count(self, counter: str) -> int:
        """A counter, of all nodes."""
        statuses = [node.replica.status() for node in self.nodes if node.replica is not None]
        return sum(status.counters.get(counter, 0) for status in statuses)

    def cut(self, some: list[SimNode], others: list[SimNode]) -> Callable[[], None]:
        """No frame passes between them. Returns what mends it."""
        pairs = [(a.address, b.address) for a in some for b in others]
        links: list[Link] = [*pairs, *((b, a) for a, b in pairs)]
        self.network.cut(links, Fault.PARTITION)
        return partial(self.network.mend, links, Fault.PARTITION)

    # -- details

    def _luck(self, purpose: str) -> Random:
        return Random(f"lab {self._seed} {purpose}")

    def _make_node(self, number: int) -> SimNode:
        name = f"n{number}"
        self.cluster.ledger.add_node(name, None)
        disk = SimDisk(
            MemoryStore(self._secret.digest_seed),
            self.scheduler,
            self._luck(f"disk {number}"),
            self.injected,
            partial(self.cluster.note_durable, name),
        )
        address = _address(number)
        seeds = tuple(_address(other) for other in range(SEED_COUNT) if other != number)
        luck = self._luck(f"node {number}")
        return SimNode(name, address, seeds, Tuning(), self._secret, SimClock(), disk, luck)


def _address(number: int) -> Address:
    return Address(f"node{number}:7701")
