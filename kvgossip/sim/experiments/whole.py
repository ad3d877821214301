"""The same rumor among whole replicas: what ``sim/epidemic.py`` leaves out is here, and changes nothing.

Each node is a ``Replica`` with a store, a commit for every write, a member table of its own with everybody in
it, and a Hello at each first contact. Cycles are as there: contacts, commits and answers take no time. One
cluster is asked again and again, a key for each seed. Anti-entropy would bring what the rumor missed, so its
frames are lost here, and so are comparisons of member tables, which differ until all have been told of all.
Probes and news of members are put off: they carry no data.
"""

from collections import deque
from dataclasses import dataclass, replace
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Kind, StartNumber, make_key
from kvgossip.model.member import Standing
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.value import Value
from kvgossip.node.effects import Commit, Now, Send
from kvgossip.node.profile import NodeProfile
from kvgossip.node.replica import Replica
from kvgossip.sim.epidemic import CYCLE_MS, CYCLES_MAX, in_cycles
from kvgossip.sim.experiments.result import Row
from kvgossip.sim.experiments.sweep import Outcome, Task, make_row
from kvgossip.store.memory import MemoryStore
from kvgossip.wire import codec
from kvgossip.wire import messages as m

NEVER_MS = 1_000_000_000
RECORDS_AT_ONCE = 24
"""So that a frame of them is no larger than members make it."""
WALL_MS = 1_700_000_000_000
SECRET = ClusterSecret.derive("whole", None)
ENTRY_MESSAGES = (m.RumorPush, m.RumorAnswer)


def quiet(tuning: Tuning) -> Tuning:
    """Nothing but rumors."""
    return replace(
        in_cycles(tuning),
        probe_interval_ms=NEVER_MS,
        news_interval_ms=NEVER_MS,
        news_bytes_max=0,
        news_mult=0,
        seed_interval_ms=NEVER_MS,
        exchange_interval_ms=NEVER_MS,
        exchange_timeout_ms=NEVER_MS,
        recount_interval_ms=NEVER_MS,
        aggregate_interval_ms=NEVER_MS,
        vitals_interval_ms=NEVER_MS,
    )


@dataclass(slots=True)
class _Node:
    address: Address
    store: MemoryStore
    replica: Replica


class WholeCluster:
    """``node_count`` replicas that all know each other."""

    def __init__(self, node_count: int, tuning: Tuning, seed: int) -> None:
        self._now_ms = 0
        self._rng = Random(f"whole {seed}")
        self._frames: deque[tuple[Address, Address, bytes]] = deque()
        self._connected: set[tuple[Address, Address]] = set()
        self._push_count = 0
        self._entry_bytes = 0
        self._lost_count = 0
        tuning = quiet(tuning)
        self._nodes = [self._start(number, tuning) for number in range(node_count)]
        self._at = {node.address: node for node in self._nodes}
        for node in self._nodes:
            self._perform(node)
        self._introduce()

    def run(self, name: str) -> Outcome:
        """Write one key at a random node, and follow it until no node is hot."""
        key, began_ms = make_key(Kind.KV, name.encode()), self._now_ms
        count, push_count, entry_bytes = len(self._nodes), self._push_count, self._entry_bytes
        first = self._rng.choice(self._nodes)
        first.replica.put(key, Value(b"an update"), self._now)
        self._perform(first)
        lacking = [node for node in self._nodes if node is not first]
        reached_at, reached = [0], [1]
        for cycle in range(1, CYCLES_MAX):
            self._now_ms, pushed_before = began_ms + cycle * CYCLE_MS, self._push_count
            self._cycle()
            still = [node for node in lacking if node.replica.get(key) is None]
            reached_at += [cycle] * (len(lacking) - len(still))
            lacking = still
            reached.append(count - len(lacking))
            if self._push_count == pushed_before:
                break  # a hot rumor is told somebody in every cycle
        assert self._lost_count, "anti-entropy was never about to help"
        return Outcome(
            {
                "residue": len(lacking) / count,
                "traffic": (self._push_count - push_count) / count,
                "t_avg": sum(reached_at) / len(reached_at),
                "t_last": float(max(reached_at)),
                "bytes a node": (self._entry_bytes - entry_bytes) / count,
            },
            {"share that lacks it": [1 - number / count for number in reached]},
        )

    # -- details

    @property
    def _now(self) -> Now:
        return Now(self._now_ms, WALL_MS + self._now_ms)

    def _start(self, number: int, tuning: Tuning) -> _Node:
        address = Address(f"n{number}:1")
        store = MemoryStore(SECRET.digest_seed)
        replica = Replica(
            NodeProfile(f"n{number}", address, f"n{number}:2", (), tuning),
            store=store,
            secret=SECRET,
            rng=Random(self._rng.getrandbits(64)),
            start_number=StartNumber(self._rng.getrandbits(64)),
            now=self._now,
        )
        return _Node(address, store, replica)

    def _introduce(self) -> None:
        """Everybody is told of all others by its neighbour, as a node that joins is by a seed."""
        members = [node.replica.members(self._now)[0].member for node in self._nodes]
        records = [m.Record(member, Standing(member.generation)) for member in members]
        frames = [
            codec.encode(m.MemberNews(tuple(records[start : start + RECORDS_AT_ONCE]), ()))
            for start in range(0, len(records), RECORDS_AT_ONCE)
        ]
        for number, node in enumerate(self._nodes):
            neighbour = self._nodes[number - 1]
            self._connect(neighbour, node)
            self._drain()
            for frame in frames:
                node.replica.receive(neighbour.address, frame, self._now)
                self._perform(node)
        self._drain()

    def _cycle(self) -> None:
        for node in self._nodes:
            deadline_ms = node.replica.next_deadline_ms()
            if deadline_ms is not None and deadline_ms <= self._now_ms:
                node.replica.handle_timer(self._now)
                self._perform(node)
        self._drain()

    def _drain(self) -> None:
        while self._frames:
            source, to, frame = self._frames.popleft()
            sender, node = self._at[source], self._at[to]
            message = codec.decode(frame)
            if isinstance(message, m.MemberSyn | m.ExchangeMessage):
                self._lost_count += 1
                continue
            if isinstance(message, ENTRY_MESSAGES):
                self._entry_bytes += len(frame)
                self._push_count += isinstance(message, m.RumorPush)
            if (source, to) not in self._connected:
                self._connect(sender, node)
            node.replica.receive(source, frame, self._now)
            self._perform(node)

    def _connect(self, one: _Node, other: _Node) -> None:
        for node, peer in ((one, other), (other, one)):
            self._connected.add((node.address, peer.address))
            node.replica.handle_connected(peer.address, self._now)
            self._perform(node)

    def _perform(self, node: _Node) -> None:
        """Its effects, until it wants no more; a commit is done at once."""
        while effects := node.replica.take_effects():
            for effect in effects:
                match effect:
                    case Send(to, data):
                        self._frames.append((node.address, to, data))
                    case Commit(batch):
                        node.store.write(batch)
                        node.replica.handle_committed(batch, self._now)


def run_task(task: Task) -> Row:
    """One cluster, and a rumor for each seed."""
    setting, seeds = task.setting, task.seeds
    fanout, interest = int(setting["fanout"]), int(setting["loses interest after"])
    tuning = Tuning(fanout=fanout, own_fanout=0, rumor_k=interest)
    cluster = WholeCluster(int(setting["nodes"]), tuning, seeds.start)
    outcomes = [cluster.run(f"r{seed:04}") for seed in seeds]  # as long as the key of the other simulator
    return make_row(setting, outcomes)
