"""A simulated cluster: feeds replicas their inputs and performs their effects, and tells the checkers.

It stands where the runtime stands on a real machine, with the same duties: one deadline is pulled after each
input, a commit is performed by the disk, a frame is carried by the network.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial

from kvgossip.errors import StoreError
from kvgossip.model.clock import NodeClock
from kvgossip.model.encoding import decode_clock
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address, Key
from kvgossip.node.effects import Commit, Done, Event, Notify, Send, Visible
from kvgossip.node.replica import Replica
from kvgossip.sim.checkers.base import Checker, NodeLook, NodeState, Violation
from kvgossip.sim.connections import Connections
from kvgossip.sim.fault import Injected
from kvgossip.sim.frames import read_frame
from kvgossip.sim.history import History
from kvgossip.sim.ledger import CLOCK_RECORD, Ledger
from kvgossip.sim.network import SimNetwork
from kvgossip.sim.node import Input, SimNode
from kvgossip.sim.requests import Requests
from kvgossip.sim.scheduler import Scheduler
from kvgossip.sim.trace import Trace
from kvgossip.store.base import Batch

ROWS_MAX = 100_000
IMPOSSIBLE_EVENTS = ("entry-refused", "frame-refused", "row-corrupt", "tree-mended")
"""No disk rots here; what is refused must have been put into the network before."""
TIMERS_AT_ONCE_MAX = 100
"""A replica that asks for this many timers without any time passing is in a loop."""


class Cluster:
    """Nodes, network, history and checkers of one run."""

    def __init__(self, scheduler: Scheduler, trace: Trace, injected: Injected) -> None:
        self.scheduler = scheduler
        self.trace = trace
        self.injected = injected
        self.history = History()
        self.ledger = Ledger()
        self.checkers: list[Checker] = []
        self.nodes: list[SimNode] = []
        self.expected: Counter[tuple[str, str]] = Counter()
        """(node, event): how often it may still be told, because of what was injected."""
        self._network: SimNetwork | None = None
        self._by_address: dict[Address, SimNode] = {}
        self._connections = Connections(scheduler, self.feed, self.note)
        self.requests = Requests(
            scheduler,
            self.history,
            self.ledger,
            self.checkers,
            feed=self.feed,
            note=self.note,
            is_alone=self._is_alone,
        )
        self._timers_at_once = (0, 0)
        self._broken_exchange_count = 0

    @property
    def network(self) -> SimNetwork:
        assert self._network is not None
        return self._network

    def build(self, network: SimNetwork, nodes: Iterable[SimNode], checkers: Iterable[Checker]) -> None:
        """Give the cluster its parts, which need it for their own making."""
        self._network = network
        self.checkers += checkers
        for node in nodes:
            self.add(node)

    def add(self, node: SimNode) -> None:
        """A node that is new. Start it then."""
        self.nodes.append(node)
        self._by_address[node.address] = node

    def up_nodes(self) -> list[SimNode]:
        return [node for node in self.nodes if node.is_up]

    # -- starts, crashes, frozen nodes

    def start(self, node: SimNode) -> None:
        if node.is_up:
            return
        self.note(node, f"start {node.start_count + 1}")
        if node.start_count:
            rows, clock = self._read_disk(node)
            for checker in self.checkers:
                checker.on_restarted(node.name, rows, clock)
        replica = node.open(self.scheduler.now_us)
        self.ledger.note_owner(replica.status().replica, node.name)
        self._perform(node, replica)

    def crash(self, node: SimNode, *, is_power_loss: bool) -> None:
        if not node.is_up:
            return
        self.note(node, "power loss" if is_power_loss else "crash")
        self._broken_exchange_count += _broken_exchanges(node)
        for operation in node.crash(is_power_loss=is_power_loss):
            self.requests.lose(operation)

    def freeze(self, node: SimNode) -> None:
        self.note(node, "freeze")
        node.is_frozen = True

    def thaw(self, node: SimNode) -> None:
        """Wake a frozen node: everything that arrived meanwhile comes at once."""
        if not node.is_frozen:
            return
        self.note(node, f"thaw, {len(node.backlog)} inputs behind")
        node.is_frozen = False
        backlog, node.backlog = node.backlog, []
        for action in backlog:
            self.feed(node, action)
        if node.replica is not None:
            self._perform(node, node.replica)

    def excuse(self, node: SimNode, until_us: int) -> None:
        """Clients must bear with this node for a while."""
        node.excused_until_us = max(node.excused_until_us, until_us)
        for operation in node.asked.values():
            operation.is_excused = True

    def _is_alone(self, node: SimNode) -> bool:
        """True if ``node`` can reach nobody."""
        return all(
            other is node
            or not other.is_up
            or (
                self.network.is_cut(node.address, other.address)
                and self.network.is_cut(other.address, node.address)
            )
            for other in self.nodes
        )

    # -- inputs and effects

    def feed(self, node: SimNode, action: Input) -> None:
        if node.replica is None:
            return
        if node.is_frozen:
            node.backlog.append(action)
            return
        action(node.replica, node.now(self.scheduler.now_us))
        self._perform(node, node.replica)

    def _perform(self, node: SimNode, replica: Replica) -> None:
        for effect in replica.take_effects():
            match effect:
                case Send():
                    self._send(node, effect)
                case Commit():
                    self._commit(node, effect.batch)
                case Done():
                    self.requests.answer(node, effect)
                case Notify(Visible() as visible):
                    self._show(node, replica, visible)
                case Notify(Event() as event):
                    self._take_event(node, replica, event)
        self._set_timer(node, replica)

    def _take_event(self, node: SimNode, replica: Replica, event: Event) -> None:
        self.note(node, f"event {event.name} {event.fields}")
        name = event.name
        is_copied = self.ledger.is_copied(node.name)
        if name == "copy-found":
            if not is_copied:
                raise Violation("Invariants", f"{node.name} is no copy, and says so: {event.fields}")
            self.ledger.note_owner(replica.status().replica, node.name)
        elif name in IMPOSSIBLE_EVENTS and not (name == "entry-refused" and is_copied):
            self.expected[node.name, name] -= 1
            if self.expected[node.name, name] < 0:
                raise Violation("Invariants", f"{node.name}: {name} {event.fields}")
        for checker in self.checkers:
            checker.on_event(node.name, event)

    def _show(self, node: SimNode, replica: Replica, visible: Visible) -> None:
        self.note(node, f"shows {visible.key!r} {' '.join(map(str, visible.dots))}")
        entry = replica.get(visible.key)
        for checker in self.checkers:
            checker.on_read(node.name, visible.key, entry)

    def _commit(self, node: SimNode, batch: Batch) -> None:
        self.note(node, f"commit {len(batch.changes)} rows")
        node.disk.commit(batch, partial(self._report, node, node.start_count, batch))
        if node.ambush is not None:
            ambush, node.ambush = node.ambush, None
            ambush()

    def note_durable(self, node_name: str, batch: Batch) -> None:
        """A disk has made ``batch`` durable."""
        self.trace.note(self.scheduler.now_us, node_name, f"durable {len(batch.changes)} rows")
        durable = self.ledger.apply(node_name, batch)
        for checker in self.checkers:
            checker.on_durable(durable)

    def _report(self, node: SimNode, start_count: int, batch: Batch, error: StoreError | None) -> None:
        if node.start_count != start_count:
            return
        if error is None:
            node.is_started = True
            self.feed(node, lambda replica, now: replica.handle_committed(batch, now))
        else:
            self.note(node, f"commit failed: {type(error).__name__}")
            self.feed(node, lambda replica, now: replica.handle_commit_failed(batch, error, now))

    def _set_timer(self, node: SimNode, replica: Replica) -> None:
        node.deadline_ms = replica.next_deadline_ms()
        if node.deadline_ms is None:
            return
        moment_us = max(node.clock.moment_us(node.deadline_ms), self.scheduler.now_us)
        if node.timer_us is None or moment_us < node.timer_us:
            node.timer_us = moment_us
            self.scheduler.at(moment_us, partial(self._ring, node, moment_us))

    def _ring(self, node: SimNode, moment_us: int) -> None:
        if node.timer_us != moment_us:
            return
        node.timer_us = None
        if node.replica is None or node.is_frozen:
            return
        now = node.now(moment_us)
        if node.deadline_ms is None or node.deadline_ms > now.monotonic_ms:
            self._set_timer(node, node.replica)
            return
        self._guard_against_loops(node)
        node.replica.handle_timer(now)
        self._perform(node, node.replica)

    def _guard_against_loops(self, node: SimNode) -> None:
        last_us, count = self._timers_at_once
        count = count + 1 if last_us == self.scheduler.now_us else 0
        self._timers_at_once = (self.scheduler.now_us, count)
        if count > TIMERS_AT_ONCE_MAX:
            raise Violation("Invariants", f"the timer of {node.name} rings again and again at one moment")

    # -- frames

    def _send(self, node: SimNode, send: Send) -> None:
        told = read_frame(self.ledger, send.data)
        self.trace.note(self.scheduler.now_us, node.name, f"send {told.name} to {send.to}", send.data)
        for checker in self.checkers:
            checker.on_sent(node.name, told, self._by_address[send.to].name)
        if not self.network.send(node.address, send.to, send.data):
            self._connections.time_out(node, self._by_address[send.to])

    def connect(self, one: SimNode, other: SimNode) -> None:
        """Let there be a connection before anybody needs one, as where the network is given to the nodes."""
        self._connections.open(one, other)

    def deliver(self, source: Address, target: Address, data: bytes) -> None:
        """The network's last step: a frame has arrived at ``target``."""
        sender, receiver = self._by_address[source], self._by_address[target]
        if not receiver.is_up:
            self._connections.refuse(sender, receiver)
            return
        if not self._connections.is_open(sender, receiver):
            if not sender.is_up:
                return  # a frame of a process that is gone, on a connection that is gone
            self._connections.open(sender, receiver)
        self.trace.note(self.scheduler.now_us, receiver.name, f"receive from {sender.name}", data)
        self.feed(receiver, lambda replica, now: replica.receive(source, data, now))

    # -- looking

    @property
    def broken_exchange_count(self) -> int:
        """Exchanges that ended half way, of all starts of all nodes."""
        return self._broken_exchange_count + sum(map(_broken_exchanges, self.nodes))

    def states(self) -> list[NodeState]:
        """What each node answers."""
        states = []
        for node in self.up_nodes():
            assert node.replica is not None
            status = node.replica.status()
            rows = {}
            for key in self.history.all_keys():
                entry = node.replica.get(key)
                if entry is not None:
                    rows[key] = entry
            states.append(NodeState(node.name, status.root, status.clock, rows, status.replica))
        return states

    def looks(self) -> list[NodeLook]:
        """What each node that is up thinks of its wall clock."""
        now_us = self.scheduler.now_us
        found = []
        for node in self.up_nodes():
            assert node.replica is not None
            members = node.replica.members(node.now(now_us))
            live_count = sum(m.state in ("alive", "suspect") and not m.is_self for m in members)
            correction_ms = node.replica.status().clock_correction_ms
            found.append(NodeLook(node.name, node.clock.offset_ms(now_us), correction_ms, live_count))
        return found

    def check_invariants(self) -> None:
        for node in self.up_nodes():
            assert node.replica is not None
            node.replica.check_invariants()
            node.disk.store.check_invariants()
        looks = self.looks()
        for checker in self.checkers:
            checker.on_looked(looks)

    def _read_disk(self, node: SimNode) -> tuple[dict[Key, Entry], NodeClock]:
        store = node.disk.store
        rows = store.scan(Key(b""), None, rows_max=ROWS_MAX, bytes_max=1 << 30)
        data = store.get_meta(CLOCK_RECORD)
        clock = NodeClock() if data is None else decode_clock(data)
        return {row.key: self.ledger.decode(row.key, row.data) for row in rows}, clock

    def note(self, node: SimNode, what: str) -> None:
        self.trace.note(self.scheduler.now_us, node.name, what)


def _broken_exchanges(node: SimNode) -> int:
    return 0 if node.replica is None else node.replica.status().counters["exchanges_broken"]
