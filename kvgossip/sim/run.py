"""One run of one seed: a cluster, clients and faults; then everything is healed and must come right.

The seed draws all of it: how many nodes, their clocks and their tuning, the keys, the clients and the faults.
Small limits are as likely as real ones, because at thirty keys only they reach the deep parts of the tree and
the chunked transfers.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address
from kvgossip.model.kv import KvEntry
from kvgossip.model.secret import ClusterSecret
from kvgossip.node.status import Checked
from kvgossip.sim.causality import covered_by
from kvgossip.sim.checkers.acked_writes_survive import AckedWritesSurvive
from kvgossip.sim.checkers.available_alone import AvailableAlone
from kvgossip.sim.checkers.base import Checker, Violation
from kvgossip.sim.checkers.convergence import Convergence
from kvgossip.sim.checkers.durable_before_seen import DurableBeforeSeen
from kvgossip.sim.checkers.no_resurrection import NoResurrection
from kvgossip.sim.checkers.node_clock_is_honest import NodeClockIsHonest
from kvgossip.sim.checkers.siblings_kept import SiblingsKept
from kvgossip.sim.checkers.writes_supersede import WritesSupersede
from kvgossip.sim.clock import SimClock
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.disk import SimDisk
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.faults import Faults, draw_kinds
from kvgossip.sim.history import Operation
from kvgossip.sim.network import SimNetwork
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import MS, SECOND, Scheduler
from kvgossip.sim.trace import Trace
from kvgossip.sim.workload import Workload, make_keys
from kvgossip.store.memory import MemoryStore

CHECKERS: tuple[type[Checker], ...] = (
    Convergence,
    DurableBeforeSeen,
    AckedWritesSurvive,
    NoResurrection,
    SiblingsKept,
    WritesSupersede,
    NodeClockIsHonest,
    AvailableAlone,
)

FAULT_KINDS_MIN = 3
WORK_US_MAX = 300 * SECOND
SETTLE_US_MAX = 90 * SECOND
"""Nine default exchange periods."""
QUIET_US = 2 * SECOND
"""How long the state must stay as it is once it has converged."""
CHECK_US_MAX = 3 * SECOND
STEP_US = 250 * MS
INVARIANTS_US = 2 * SECOND
"""How often every node and its tree are recounted."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run was, and how it ended. ``violation`` is None if every promise held."""

    seed: int
    node_count: int
    key_count: int
    operation_count: int
    read_count: int
    concurrent_count: int
    covering_delete_count: int
    """Acknowledged deletes that covered a live value."""
    alone_count: int
    """Writes acknowledged by nodes that could reach nobody."""
    injected: dict[Fault, int]
    event_count: int
    simulated_s: float
    settled_s: float
    """From the heal to convergence."""
    trace: str
    violation: Violation | None


def run_seed(seed: int, write_trace: Callable[[str], None] | None = None) -> Report:
    """Run a seed to its end or to the first broken promise."""
    return Simulation(seed, write_trace).run()


class Simulation:
    """A seed, drawn and ready to run."""

    def __init__(self, seed: int, write_trace: Callable[[str], None] | None) -> None:
        self._seed = seed
        self._scheduler = Scheduler()
        self._trace = Trace(write_trace)
        self._injected: Injected = Injected()
        rng = self._rng("shape")
        self._cluster = Cluster(self._scheduler, self._trace, self._injected)
        network = SimNetwork(self._scheduler, self._rng("network"), self._cluster.deliver, self._injected)
        checkers = [checker(self._cluster.history, self._cluster.ledger) for checker in CHECKERS]
        self._cluster.build(network, self._make_nodes(rng, rng.randrange(3, 8)), checkers)
        self._workload = Workload(
            self._cluster,
            self._rng("workload"),
            keys=make_keys(rng.choice((4, 8, 16, 30))),
            client_count=rng.randrange(4, 9),
            operation_count=rng.randrange(300, 400),
            pause_ms=rng.choice((100, 200, 400)),
        )
        self._faults = Faults(self._cluster, self._rng("faults"), draw_kinds(self._rng("kinds")))
        self._healed_us = 0
        self._settled_us = 0

    def run(self) -> Report:
        violation = None
        try:
            self._work()
            self._settle()
        except Violation as found:
            violation = found
        except Exception as error:  # the replica broke an invariant of its own, or fell over
            violation = Violation("Invariants", f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        return self._report(violation)

    def _rng(self, purpose: str) -> Random:
        """A source of luck of its own for each purpose: more draws of one do not change another."""
        return Random(f"{self._seed} {purpose}")

    def _make_nodes(self, rng: Random, count: int) -> list[SimNode]:
        addresses = [Address(f"node{i}:7701") for i in range(count)]
        secret = ClusterSecret.derive("simulated", b"a secret of the simulator")
        tuning = _draw_tuning(rng)
        wall_tick_ms = rng.choice((1, 16, 1_000))
        nodes = []
        for i, address in enumerate(addresses):
            name = f"n{i}"
            self._cluster.ledger.add_node(name)
            disk = SimDisk(
                MemoryStore(secret.digest_seed),
                self._scheduler,
                self._rng(f"disk {i}"),
                self._injected,
                partial(self._cluster.note_durable, name),
            )
            clock = SimClock(rng.randrange(-200, 201), rng.randrange(-20, 21), wall_tick_ms)
            seeds = tuple(other for other in addresses[:2] if other != address)
            nodes.append(SimNode(name, address, seeds, tuning, secret, clock, disk, self._rng(f"node {i}")))
        return nodes

    def _work(self) -> None:
        """Start the nodes; let the clients and the faults have their way."""
        rng = self._rng("start")
        for node in self._cluster.nodes:
            self._scheduler.at(rng.randrange(500 * MS), partial(self._cluster.start, node))
        self._scheduler.at(600 * MS, self._workload.start)
        self._faults.schedule(1 * SECOND, 10 * SECOND)
        while not self._workload.is_done:
            self._step()
            if self._scheduler.now_us > WORK_US_MAX:
                raise Violation("AvailableAlone", "the clients did not come to an end")

    def _settle(self) -> None:
        """Heal; wait until all nodes agree, and a little longer; then judge."""
        self._faults.heal()
        self._healed_us = self._scheduler.now_us
        while not self._has_converged() and self._scheduler.now_us < self._healed_us + SETTLE_US_MAX:
            self._step()
        self._settled_us = self._scheduler.now_us
        self._trace.note(self._settled_us, "world", "settled")
        self._scheduler.run_until(self._settled_us + QUIET_US)
        self._judge()
        kinds = [fault for fault, count in self._injected.items() if count]
        if len(kinds) < FAULT_KINDS_MIN:
            raise Violation("Faults", f"only {len(kinds)} kinds of fault took effect: {kinds}")

    def _judge(self) -> None:
        """Every checker's last word, and what an operator is told."""
        states = self._cluster.states()
        for checker in self._cluster.checkers:
            checker.on_settled(states)
        self._cluster.check_invariants()
        answers: list[Checked] = []
        self._cluster.requests.check(self._cluster.nodes[0], answers.append)
        self._scheduler.run_until(self._scheduler.now_us + CHECK_US_MAX)
        if not answers or not answers[0].converged:
            raise Violation("Convergence", f"all nodes hold the same, but a check says: {answers}")

    def _step(self) -> None:
        before_us = self._scheduler.now_us
        self._scheduler.run_until(before_us + STEP_US)
        if before_us // INVARIANTS_US != self._scheduler.now_us // INVARIANTS_US:
            self._cluster.check_invariants()

    def _has_converged(self) -> bool:
        statuses = [node.replica.status() for node in self._cluster.nodes if node.replica is not None]
        first = statuses[0]
        return first.clock.hole_count() == 0 and all(
            status.root == first.root and status.clock == first.clock and status.is_started
            for status in statuses
        )

    def _report(self, violation: Violation | None) -> Report:
        acked = self._cluster.history.acked()
        return Report(
            seed=self._seed,
            node_count=len(self._cluster.nodes),
            key_count=len(self._cluster.history.all_keys()),
            operation_count=len(self._cluster.history.operations),
            read_count=self._cluster.history.read_count,
            concurrent_count=self._cluster.requests.concurrent_count,
            covering_delete_count=sum(_covers_a_value(operation) for operation in acked),
            alone_count=sum(operation.is_alone for operation in acked),
            injected={fault: self._injected[fault] for fault in Fault if self._injected[fault]},
            event_count=self._scheduler.event_count,
            simulated_s=self._scheduler.now_us / SECOND,
            settled_s=(self._settled_us - self._healed_us) / SECOND,
            trace=self._trace.digest(),
            violation=violation,
        )


def _draw_tuning(rng: Random) -> Tuning:
    """The same for all nodes of a run."""
    return Tuning(
        batch_bytes_max=rng.choice((256 << 10, 1 << 10)),
        batch_rows_max=rng.choice((512, 4)),
        inline_bytes_max=rng.choice((64 << 10, 100)),
        fanout=rng.choice((1, 2, 3)),
        exchange_interval_ms=rng.choice((1_000, 5_000, 10_000)),
        exchange_timeout_ms=rng.choice((300, 1_000)),
        exchange_tries_max=rng.choice((2, 8)),
        exchange_requests_max=rng.choice((1, 4)),
        exchange_sessions_max=rng.choice((1, 32)),
        rows_listed_max=rng.choice((1, 4, 16)),
        rumors_hot_max=rng.choice((4, 50_000)),
        hot_after_exchange_max=rng.choice((2, 32)),
    )


def _covers_a_value(operation: Operation) -> bool:
    if not operation.is_delete or operation.before is None:
        return False
    return _is_covered(operation.before, operation)


def _is_covered(before: Entry, delete: Operation) -> bool:
    if isinstance(before, KvEntry):
        return before.value is not None
    covered = covered_by(delete)
    return any(s.value is not None and covered.covers(s.dot) for s in before.siblings)
