"""Gossip Glomers, challenge 3: 25 nodes broadcast over slow links, counted and timed as Maelstrom does it.

The published rules (fly.io/dist-sys/3d, 3e; github.com/jepsen-io/maelstrom): 25 nodes, every message between
servers takes 100 ms, 100 operations a second for 20 s, each a broadcast or a read with even chances at a
random node, then ten quiet seconds and a last read at every node. The nodes are the shipped ``Replica``
through the real codec, each with a simulated disk; a broadcast is the put of a ``kv`` key of its own.

What is counted: every frame that a node sends to another one, from the first start to the last read (answers,
membership and exchanges among them, and those that a partition drops), by broadcasts and reads. The last
reads are no operations here.

What is timed, from the moment at which a broadcast is acknowledged: *visible*, until a read at any node would
show it; and *stable*, as Maelstrom's set checker finds it: until the last read that did not show it. The
second is never longer, because it knows only the reads that were made.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from random import Random

from kvgossip.config import Profile, RumorTargets, Tuning
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address, Key, Kind, make_key
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.value import Value
from kvgossip.sim.checkers.base import Checker
from kvgossip.sim.clock import SimClock
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.disk import SimDisk
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.frames import Told
from kvgossip.sim.history import Operation
from kvgossip.sim.network import Link, SimNetwork
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import MS, SECOND, Scheduler
from kvgossip.sim.trace import Trace
from kvgossip.store.base import Batch
from kvgossip.store.memory import MemoryStore

LINK_US = 100 * MS
FORM_US_MAX = 60 * SECOND
SETTLE_US = 5 * SECOND
"""From then until the first operation."""
RECOVERY_US = 10 * SECOND
"""Between the last operation and the last reads, as in Maelstrom."""
NEMESIS_US = 10 * SECOND
"""A partition lasts so long, and the time until the next one."""
ROWS_MAX = 1 << 20

_FAR = replace(Tuning.of(Profile.WAN), rumor_timeout_ms=1_000, exchange_timeout_ms=1_000)
"""Members are asked as seldom as between sites; but links are known to take no longer than 100 ms."""
SETTINGS = {
    "default": Tuning(),
    "batched": replace(_FAR, rumor_coalesce_ms=60, fanout=3, own_fanout=0),
    "mail": replace(_FAR, rumor_targets=RumorTargets.MAIL, rumor_coalesce_ms=280),
}
"""``default`` and ``batched`` pass rumors on; ``mail`` is the one that meets the bars."""


@dataclass(frozen=True, slots=True)
class Game:
    """What is played."""

    setting: str
    seed: int = 0
    node_count: int = 25
    rate_per_s: int = 100
    duration_s: int = 20
    has_partitions: bool = False


@dataclass(frozen=True, slots=True)
class Latency:
    """Of all acknowledged broadcasts, in milliseconds."""

    median_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Score:
    """How it went. ``messages``: frames between servers, by name."""

    game: Game
    broadcast_count: int
    read_count: int
    formed_s: float
    """From the first start until every node knew all others."""
    forming_count: int
    """Messages before the first operation; they are among ``messages``."""
    messages: dict[str, int]
    byte_count: int
    visible: Latency
    stable: Latency
    unacknowledged_count: int
    lost_count: int
    """Acknowledged broadcasts that some node's last read did not show."""
    partition_count: int
    dropped_count: int
    """Frames that ran into a partition."""

    @property
    def message_count(self) -> int:
        return sum(self.messages.values())

    @property
    def messages_per_operation(self) -> float:
        return self.message_count / (self.broadcast_count + self.read_count)


def play(game: Game) -> Score:
    """Play one game to its end. The same game is the same score."""
    return _Round(game).run()


@dataclass(slots=True)
class _Broadcast:
    """``known_us``: acknowledged, or seen by a read before that."""

    acked_us: int | None = None
    visible_at: dict[str, int] = field(default_factory=dict)
    known_us: int | None = None
    absent_us: int = 0
    """The last read that did not show it, once it was known."""


class _Observer(Checker):
    """Sees every frame go and every row become visible."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.history, cluster.ledger)
        self._scheduler = cluster.scheduler
        self.messages: Counter[str] = Counter()
        self.broadcasts: dict[Key, _Broadcast] = {}

    def on_sent(self, node: str, told: Told, to: str) -> None:
        self.messages[told.name] += 1

    def on_read(self, node: str, key: Key, entry: Entry | None) -> None:
        self.broadcasts[key].visible_at.setdefault(node, self._scheduler.now_us)

    def on_acked(self, operation: Operation) -> None:
        broadcast, now_us = self.broadcasts[operation.key], self._scheduler.now_us
        broadcast.acked_us = now_us
        if broadcast.known_us is None:
            broadcast.known_us = now_us


class _Round:
    """One game on its table."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._scheduler = Scheduler()
        self._injected: Injected = Injected()
        self._rng = Random(f"{game.seed} glomers")
        self._secret = ClusterSecret.derive("glomers", b"a secret of the simulator")
        self._cluster = Cluster(self._scheduler, Trace(), self._injected)
        self._network = SimNetwork(
            self._scheduler, Random(f"{game.seed} network"), self._cluster.deliver, self._injected
        )
        self._network.quality.delay_us = (LINK_US, LINK_US + 1)
        self._observer = _Observer(self._cluster)
        nodes = [self._make_node(number) for number in range(game.node_count)]
        self._cluster.build(self._network, nodes, [self._observer])
        self._read_count = 0
        self._partition_count = 0

    def run(self) -> Score:
        formed_us = self._form()
        self._scheduler.run_until(formed_us + SETTLE_US)
        forming_count = self._observer.messages.total()
        end_us = self._scheduler.now_us + self._game.duration_s * SECOND
        if self._game.has_partitions:
            self._scheduler.after(NEMESIS_US, partial(self._partition, end_us))
        self._operate(end_us)
        self._scheduler.run_until(end_us + RECOVERY_US)
        return self._score(formed_us, forming_count)

    # -- the table

    def _make_node(self, number: int) -> SimNode:
        name, seed = f"n{number}", self._game.seed
        self._cluster.ledger.add_node(name)

        def note(batch: Batch) -> None:
            self._cluster.note_durable(name, batch)

        store = MemoryStore(self._secret.digest_seed)
        disk = SimDisk(store, self._scheduler, Random(f"{seed} disk {number}"), self._injected, note)
        tuning, rng = SETTINGS[self._game.setting], Random(f"{seed} node {number}")
        return SimNode(name, _address(number), (), tuning, self._secret, SimClock(), disk, rng)

    def _form(self) -> int:
        """Start all nodes, tell each of all others, as ``init`` does, and wait until they have met."""
        nodes = self._cluster.nodes
        for node in nodes:
            self._cluster.start(node)
        self._scheduler.run_until(LINK_US)
        for one, other in combinations(nodes, 2):
            self._cluster.connect(one, other)
        while not self._is_formed():
            assert self._scheduler.now_us < FORM_US_MAX, "the nodes did not find each other"
            self._scheduler.run_until(self._scheduler.now_us + LINK_US)
        return self._scheduler.now_us

    def _is_formed(self) -> bool:
        return all(look.live_count == self._game.node_count - 1 for look in self._cluster.looks())

    # -- clients

    def _operate(self, end_us: int) -> None:
        """Open loop: operations come when they come, whatever became of the last one."""
        interval_us = SECOND // self._game.rate_per_s
        while True:
            self._scheduler.run_until(self._scheduler.now_us + self._rng.randrange(2 * interval_us))
            if self._scheduler.now_us >= end_us:
                return
            node = self._rng.choice(self._cluster.nodes)
            if self._rng.random() < 0.5:
                self._broadcast(node)
            else:
                self._read(node)

    def _broadcast(self, node: SimNode) -> None:
        number = len(self._observer.broadcasts)
        key = make_key(Kind.KV, b"%d" % number)
        self._observer.broadcasts[key] = _Broadcast()
        self._cluster.requests.write(node, key, Value(b"%d" % number), None, lambda operation: None)

    def _read(self, node: SimNode) -> None:
        """Of all broadcasts only those are looked up that some node may not show yet."""
        assert node.replica is not None
        self._read_count += 1
        now_us = self._scheduler.now_us
        for key, broadcast in self._observer.broadcasts.items():
            if len(broadcast.visible_at) == self._game.node_count:
                continue
            if node.replica.get(key) is None:
                if broadcast.known_us is not None:
                    broadcast.absent_us = now_us
            elif broadcast.known_us is None:
                broadcast.known_us = now_us

    # -- the nemesis

    def _partition(self, end_us: int) -> None:
        """Cut for a while: halves, one node, or a ring in which each node sees most others."""
        if self._scheduler.now_us >= end_us:
            return
        links = self._rng.choice((self._halves, self._one, self._ring))()
        self._network.cut(links, Fault.PARTITION)
        self._partition_count += 1
        healed_us = min(self._scheduler.now_us + NEMESIS_US, end_us)
        self._scheduler.at(healed_us, partial(self._network.mend, links, Fault.PARTITION))
        self._scheduler.at(healed_us + NEMESIS_US, partial(self._partition, end_us))

    def _halves(self) -> list[Link]:
        order = self._in_any_order()
        half = len(order) // 2
        return [link for a in order[:half] for b in order[half:] for link in ((a, b), (b, a))]

    def _one(self) -> list[Link]:
        one, *others = self._in_any_order()
        return [link for other in others for link in ((one, other), (other, one))]

    def _ring(self) -> list[Link]:
        order = self._in_any_order()
        count = len(order)
        reach = (count + 2) // 4
        return [
            (order[i], order[(i + step) % count])
            for i in range(count)
            for step in range(reach + 1, count - reach)
        ]

    def _in_any_order(self) -> list[Address]:
        return self._rng.sample([node.address for node in self._cluster.nodes], len(self._cluster.nodes))

    # -- the score

    def _score(self, formed_us: int, forming_count: int) -> Score:
        broadcasts = self._observer.broadcasts
        shown = [self._read_all(node) for node in self._cluster.nodes]
        acked = [key for key, broadcast in broadcasts.items() if broadcast.acked_us is not None]
        everywhere = [key for key in acked if all(key in keys for keys in shown)]
        return Score(
            game=self._game,
            broadcast_count=len(broadcasts),
            read_count=self._read_count,
            formed_s=formed_us / SECOND,
            forming_count=forming_count,
            messages=dict(sorted(self._observer.messages.items())),
            byte_count=self._network.byte_count,
            visible=_latency([_visible_us(broadcasts[key]) for key in everywhere]),
            stable=_latency([_stable_us(broadcasts[key]) for key in everywhere]),
            unacknowledged_count=len(broadcasts) - len(acked),
            lost_count=len(acked) - len(everywhere),
            partition_count=self._partition_count,
            dropped_count=self._injected[Fault.PARTITION],
        )

    def _read_all(self, node: SimNode) -> set[Key]:
        assert node.replica is not None
        rows = node.replica.scan(Key(b""), None, rows_max=ROWS_MAX, bytes_max=1 << 30)
        return {key for key, _, _ in rows}


def _address(number: int) -> Address:
    return Address(f"n{number}:1")


def _visible_us(broadcast: _Broadcast) -> int:
    assert broadcast.acked_us is not None
    return max(0, max(broadcast.visible_at.values()) - broadcast.acked_us)


def _stable_us(broadcast: _Broadcast) -> int:
    assert broadcast.known_us is not None
    return max(0, broadcast.absent_us - broadcast.known_us)


def _latency(latencies_us: list[int]) -> Latency:
    ordered = sorted(latencies_us)

    def at(share: float) -> float:
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] / MS

    return Latency(at(0.5), at(0.95), at(0.99), at(1.0))
