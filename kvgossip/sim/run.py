"""One run of one seed: a cluster, clients and faults; then a core is healed, then all, and must come right.

The seed draws all of it: how many nodes, their clocks and their tuning, the keys, the clients and the faults.
Small limits are as likely as real ones, because at fifty keys only they reach the deep parts of the tree and
the chunked transfers. A ``Case`` is a seed, or a part of it: fewer faults, clients or writes, for a failure
that is to be looked at.
"""

import traceback
from collections.abc import Callable, Sequence
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
from kvgossip.sim.checkers.copies_find_out import CopiesFindOut
from kvgossip.sim.checkers.durable_before_seen import DurableBeforeSeen
from kvgossip.sim.checkers.no_resurrection import NoResurrection
from kvgossip.sim.checkers.node_clock_is_honest import NodeClockIsHonest
from kvgossip.sim.checkers.preconditions_hold import PreconditionsHold
from kvgossip.sim.checkers.siblings_kept import SiblingsKept
from kvgossip.sim.checkers.writes_supersede import WritesSupersede
from kvgossip.sim.checkers.wrong_clocks_are_corrected import WrongClocksAreCorrected
from kvgossip.sim.clock import SimClock
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.disk import SimDisk
from kvgossip.sim.disk_view import DiskView
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.faults import Faults, Window, draw_kinds, draw_windows
from kvgossip.sim.history import Operation, Outcome
from kvgossip.sim.network import SimNetwork
from kvgossip.sim.node import SimNode
from kvgossip.sim.operator import Operator
from kvgossip.sim.scheduler import MS, SECOND, Scheduler
from kvgossip.sim.siege import Siege
from kvgossip.sim.storms import RUN_US, WORK_US, draw_storms
from kvgossip.sim.trace import Trace
from kvgossip.sim.workload import Workload, draw_habits, make_keys
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
    PreconditionsHold,
    CopiesFindOut,
    WrongClocksAreCorrected,
)

NODE_COUNTS = (*(3,) * 25, *(4,) * 8, *(5,) * 3, 6, 7, 9, 15)
"""Small clusters find as much as large ones, in a fraction of the time."""
SEEDS = 2
"""How many nodes are seed addresses of the others, the first ones."""
WRITES_MIN = 500
KEYS_MAX = 50
FAULT_KINDS_MIN = 3
WORK_US_MAX = 300 * SECOND
SETTLE_US_MAX = 120 * SECOND
"""Twelve default exchange periods: for the core, and again for all."""
SIEGE_US_MAX = 20 * SECOND
"""How long everything else may stay broken once the core has converged."""
QUIET_US = 2 * SECOND
"""How long the state must stay as it is once it has converged."""
CHECK_US_MAX = 3 * SECOND
STEP_US = 250 * MS
INVARIANTS_US = 10 * SECOND
"""How often every node and its tree are recounted."""


@dataclass(frozen=True, slots=True)
class Case:
    """A seed, and what of it is run: None is all. Windows and clients by their numbers."""

    seed: int
    windows: tuple[int, ...] | None = None
    clients: tuple[int, ...] | None = None
    writes_each: int | None = None
    nodes: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a run was, and how it ended. ``violation`` is None if every promise held."""

    case: Case
    windows: tuple[Window, ...]
    """The faults that were scheduled."""
    client_count: int
    writes_each: int
    node_count: int
    """Those that joined while it ran among them."""
    key_count: int
    operation_count: int
    conditional_count: int
    read_count: int
    concurrent_count: int
    covering_delete_count: int
    """Acknowledged deletes that covered a live value."""
    alone_count: int
    """Writes acknowledged by nodes that could reach nobody."""
    erased_count: int
    """Acknowledged writes that an operator deleted with the last disk that held them."""
    broken_exchange_count: int
    """Exchanges that ended half way."""
    injected: dict[Fault, int]
    event_count: int
    simulated_s: float
    core_count: int
    """Nodes that were healed first, and must converge while all others are still away."""
    core_settled_s: float
    """From the heal of the core to its convergence."""
    settled_s: float
    """From the heal of all to convergence."""
    trace: str
    violation: Violation | None


def run_seed(seed: int, write_trace: Callable[[str], None] | None = None) -> Report:
    """Run a seed to its end or to the first broken promise."""
    return run_case(Case(seed), write_trace)


def run_case(case: Case, write_trace: Callable[[str], None] | None = None) -> Report:
    """Run a part of a seed."""
    return Simulation(case, write_trace).run()


class Simulation:
    """A case, drawn and ready to run."""

    def __init__(self, case: Case, write_trace: Callable[[str], None] | None = None) -> None:
        self._case = case
        self._scheduler = Scheduler()
        self._trace = Trace(write_trace)
        self._injected: Injected = Injected()
        rng = self._rng("shape")
        self.cluster = Cluster(self._scheduler, self._trace, self._injected)
        self._secret = ClusterSecret.derive("simulated", b"a secret of the simulator")
        count = rng.choice(NODE_COUNTS)
        self._seeds = [_address(i) for i in range(SEEDS)]
        self._tuning = _draw_tuning(rng, own_fanout=self._rng("own fanout").choice((0, 32)))
        self._wall_tick_ms = rng.choice((1, 16, 1_000))
        network = SimNetwork(self._scheduler, self._rng("network"), self.cluster.deliver, self._injected)
        checkers = [checker(self.cluster.history, self.cluster.ledger) for checker in CHECKERS]
        self.cluster.build(network, (), checkers)
        for _ in range(case.nodes or count):
            self.cluster.add(self._make_node(None))
        self._storms = draw_storms(self._rng("storms"))
        client_count = rng.randrange(4, 9)
        clients = tuple(range(client_count)) if case.clients is None else case.clients
        drawn = -(-WRITES_MIN // client_count) + rng.randrange(20)
        self._writes_each = drawn if case.writes_each is None else case.writes_each
        self._clients = clients
        self._workload = Workload(
            self.cluster,
            self._rng,
            draw_habits(rng),
            keys=make_keys(rng.choice((4, 8, 16, 30, KEYS_MAX))),
            clients=clients,
            writes_each=self._writes_each,
            storms=self._storms,
        )
        windows = draw_windows(self._rng("faults"), draw_kinds(self._rng("kinds")), self._storms)
        self._windows = tuple(w for w in windows if case.windows is None or w.number in case.windows)
        self.operator = Operator(self.cluster, self._make_node)
        self._faults = Faults(self.cluster, self.operator, self._windows, self._rng)
        self._core_count = 0
        self._core_settled_us = 0
        self.healed_us = 0
        """When everything was healed; 0 until then."""
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
        return Random(f"{self._case.seed} {purpose}")

    def _make_node(self, view: DiskView | None) -> SimNode:
        """The next node, told to the ledger with what its disk holds."""
        i = len(self.cluster.nodes)
        name, rng = f"n{i}", self._rng(f"shape of node {i}")
        self.cluster.ledger.add_node(name, view)
        disk = SimDisk(
            MemoryStore(self._secret.digest_seed),
            self._scheduler,
            self._rng(f"disk {i}"),
            self._injected,
            partial(self.cluster.note_durable, name),
        )
        clock = SimClock(rng.randrange(-200, 201), rng.randrange(-20, 21), self._wall_tick_ms)
        address = _address(i)
        seeds = tuple(other for other in self._seeds if other != address)
        return SimNode(name, address, seeds, self._tuning, self._secret, clock, disk, self._rng(f"node {i}"))

    def _work(self) -> None:
        """Start the nodes; let the clients and the faults have their way."""
        rng = self._rng("start")
        for node in self.cluster.nodes:
            self._scheduler.at(rng.randrange(500 * MS), partial(self.cluster.start, node))
        self._workload.start()
        self._faults.schedule()
        while self._scheduler.now_us < WORK_US or not self._workload.is_done:
            self._step()
            if self._scheduler.now_us > WORK_US_MAX:
                raise Violation("AvailableAlone", "the clients did not come to an end")

    def _settle(self) -> None:
        """Heal; wait until all nodes agree, and a little longer; then judge."""
        self._faults.heal()
        self._settle_core()
        self.healed_us = self._scheduler.now_us
        self._wait_for(self.cluster.nodes)
        self._settled_us = self._scheduler.now_us
        self._trace.note(self._settled_us, "world", "settled")
        self._scheduler.run_until(max(self._settled_us + QUIET_US, RUN_US))
        self._judge()
        if self._case == Case(self._case.seed):
            self._check_shape()

    def _settle_core(self) -> None:
        """A connected core must converge while everybody else is still away."""
        rng = self._rng("siege")
        siege = Siege(self.cluster, rng, SEEDS)
        self._core_count = len(siege.core)
        siege.begin()
        began_us = self._scheduler.now_us
        if not self._wait_for(siege.core):
            names = " ".join(node.name for node in siege.core)
            raise Violation("Convergence", f"{names} are connected and did not converge by themselves")
        self._core_settled_us = self._scheduler.now_us - began_us
        self._scheduler.run_until(self._scheduler.now_us + rng.randrange(SIEGE_US_MAX))
        siege.end()

    def _wait_for(self, nodes: Sequence[SimNode]) -> bool:
        """Until ``nodes`` agree; False if they do not in time."""
        end_us = self._scheduler.now_us + SETTLE_US_MAX
        while not self._has_converged(nodes):
            if self._scheduler.now_us >= end_us:
                return False
            self._step()
        return True

    def _check_shape(self) -> None:
        """What a whole seed must amount to, or it proves less than it says."""
        kinds = [fault for fault, count in self._injected.items() if count and fault is not Fault.SIEGE]
        if len(kinds) < FAULT_KINDS_MIN:
            raise Violation("Shape", f"only {len(kinds)} kinds of fault took effect: {kinds}")
        history = self.cluster.history
        if len(history.operations) < WRITES_MIN or len(history.all_keys()) > KEYS_MAX:
            raise Violation("Shape", f"{len(history.operations)} writes of {len(history.all_keys())} keys")

    def _judge(self) -> None:
        """Every checker's last word, and what an operator is told."""
        self.cluster.check_invariants()
        states = self.cluster.states()
        for checker in self.cluster.checkers:
            checker.on_settled(states)
        answers: list[Checked] = []
        self.cluster.requests.check(self.cluster.nodes[0], answers.append)
        self._scheduler.run_until(self._scheduler.now_us + CHECK_US_MAX)
        if not answers or not self._is_good(answers[0]):
            raise Violation("Convergence", f"all nodes hold the same, but a check says: {answers}")

    def _is_good(self, checked: Checked) -> bool:
        """All replicas that there are have answered, with one root."""
        live = {state.replica for state in self.cluster.states()}
        roots = {answer.root for answer in checked.members if answer.replica in live}
        return (
            live <= {answer.replica for answer in checked.members} and len(roots) == 1 and None not in roots
        )

    def _step(self) -> None:
        before_us = self._scheduler.now_us
        self._scheduler.run_until(before_us + STEP_US)
        if before_us // INVARIANTS_US != self._scheduler.now_us // INVARIANTS_US:
            self.cluster.check_invariants()

    def _has_converged(self, nodes: Sequence[SimNode]) -> bool:
        """True if they agree; all nodes together also miss nothing."""
        statuses = [node.replica.status() for node in nodes if node.replica is not None]
        first = statuses[0]
        is_all = len(nodes) == len(self.cluster.nodes)
        return not (is_all and self.cluster.ledger.holes(first.clock)) and all(
            status.root == first.root and status.clock == first.clock and status.is_started
            for status in statuses
        )

    def _report(self, violation: Violation | None) -> Report:
        history = self.cluster.history
        acked = history.acked()
        return Report(
            case=self._case,
            windows=self._windows,
            client_count=len(self._clients),
            writes_each=self._writes_each,
            node_count=len(self.cluster.nodes),
            key_count=len(history.all_keys()),
            operation_count=len(history.operations),
            conditional_count=sum(operation.condition is not None for operation in acked),
            read_count=history.read_count,
            concurrent_count=self.cluster.requests.concurrent_count,
            covering_delete_count=sum(_covers_a_value(operation) for operation in acked),
            alone_count=sum(operation.is_alone for operation in acked),
            erased_count=sum(operation.outcome is Outcome.ERASED for operation in history.operations),
            broken_exchange_count=self.cluster.broken_exchange_count,
            injected={fault: self._injected[fault] for fault in Fault if self._injected[fault]},
            event_count=self._scheduler.event_count,
            simulated_s=self._scheduler.now_us / SECOND,
            core_count=self._core_count,
            core_settled_s=self._core_settled_us / SECOND,
            settled_s=(self._settled_us - self.healed_us) / SECOND,
            trace=self._trace.digest(),
            violation=violation,
        )


def _address(number: int) -> Address:
    return Address(f"node{number}:7701")


def _draw_tuning(rng: Random, own_fanout: int) -> Tuning:
    """The same for all nodes of a run."""
    return Tuning(
        own_fanout=own_fanout,
        batch_bytes_max=rng.choice((256 << 10, 1 << 10)),
        batch_rows_max=rng.choice((512, 4)),
        inline_bytes_max=(inline_bytes_max := rng.choice((64 << 10, 100))),
        rumor_inline_bytes_max=min(inline_bytes_max, 4 << 10),
        fanout=rng.choice((1, 2, 3)),
        exchange_interval_ms=rng.choice((1_000, 5_000, 10_000)),
        exchange_timeout_ms=rng.choice((300, 1_000)),
        exchange_tries_max=rng.choice((2, 8)),
        exchange_requests_max=rng.choice((1, 4)),
        exchange_sessions_max=rng.choice((1, 32)),
        probe_interval_ms=rng.choice((1_000, 3_000)),
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
