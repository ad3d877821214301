"""A recording of one run, to be replayed elsewhere: plain numbers, in order of time.

It listens where the checkers listen and to the network, and looks at the nodes and the cuts every 50 ms. It
changes nothing: a run that is recorded has the trace of one that is not.

Times are in tenths of a millisecond. ``frames`` is one flat list, five numbers a frame: the time since the
one before, from whom, to whom, which kind (an index of ``kinds``), and how long it was on its way, or -1 if
it was lost. Nodes are told by their number. Roots are numbered as they appear; 0 is that of an empty store.
"""

from dataclasses import asdict, dataclass, field
from operator import itemgetter

from kvgossip.errors import EncodingError
from kvgossip.model.entry import Entry, merge_entries
from kvgossip.model.ids import Address, Key
from kvgossip.node.effects import Event
from kvgossip.sim.checkers.base import Checker
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.ledger import Durable
from kvgossip.sim.node import SimNode
from kvgossip.sim.run import Case, Report, Simulation
from kvgossip.sim.scheduler import MS, SECOND
from kvgossip.wire.codec import decode

TICK_US = MS // 10
LOOK_US = 50 * MS
DOWN, UP, FROZEN = range(3)
STRANGE = "Strange"
"""The kind of frames of a later version, which the nodes of this one refuse."""


@dataclass(slots=True)
class Recording:
    """See the module. ``residue``: (time, share in thousandths of all rows of all nodes that are behind)."""

    seed: int
    duration: int = 0
    healed: int = 0
    settled: int = 0
    broken: str = ""
    """The promise that was broken, and what was seen."""
    trace: str = ""
    nodes: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    states: list[tuple[int, int, int]] = field(default_factory=list)
    """(time, node, state)"""
    roots: list[tuple[int, int, int]] = field(default_factory=list)
    """(time, node, root)"""
    cuts: list[tuple[int, list[int]]] = field(default_factory=list)
    """All links that are cut from that time on: from, to, from, to, …"""
    faults: list[tuple[str, int, int]] = field(default_factory=list)
    """(kind, begin, end)"""
    residue: list[tuple[int, int]] = field(default_factory=list)
    events: list[tuple[int, int, str]] = field(default_factory=list)
    """(time, node, what it told its log)"""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def record(seed: int) -> Recording:
    """Run a seed of ``sim check`` and record it."""
    simulation = Simulation(Case(seed))
    recorder = _Recorder(simulation.cluster, seed)
    simulation.cluster.checkers.append(recorder)
    simulation.cluster.network.on_frame = recorder.on_frame
    recorder.look()
    return recorder.finish(simulation.run(), simulation.healed_us)


class _Recorder(Checker):
    """Fills a recording."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        super().__init__(cluster.history, cluster.ledger)
        self._cluster = cluster
        self._recording = Recording(seed)
        self._numbers: dict[str, int] = {}
        self._addresses: dict[Address, int] = {}
        self._kinds: dict[str, int] = {}
        self._roots: dict[int, int] = {0: 0}
        self._last_frame = 0
        self._seen_states: dict[int, int] = {}
        self._seen_roots: dict[int, int] = {}
        self._seen_cuts: list[int] = []
        self._behind: dict[Key, int] = {}
        """How many nodes hold another version of a key than the join of all."""
        self._dirty: set[Key] = set()

    # -- what is told

    def on_frame(self, source: Address, target: Address, data: bytes, at_us: int | None) -> None:
        self._meet()
        now = self._now()
        kind = self._kinds.setdefault(_kind_of(data), len(self._kinds))
        delay = -1 if at_us is None else at_us // TICK_US - now
        pair = self._addresses[source], self._addresses[target]
        self._recording.frames += (now - self._last_frame, *pair, kind, delay)
        self._last_frame = now

    def on_durable(self, durable: Durable) -> None:
        self._meet()
        self._dirty.update(change.key for change in durable.changes)
        self._see_root(self._cluster.nodes[self._numbers[durable.node]])

    def on_replaced(self, node: str) -> None:
        self._dirty.update(self._behind)

    def on_event(self, node: str, event: Event) -> None:
        self._meet()
        told = event.fields
        what = told.get("member") or told.get("reason") or told.get("peer") or ""
        self._recording.events.append((self._now(), self._numbers[node], f"{event.name} {what}".strip()))

    # -- what is looked at

    def look(self) -> None:
        """Now, and again and again."""
        self._meet()
        for number, node in enumerate(self._cluster.nodes):
            state = DOWN if not node.is_up else FROZEN if node.is_frozen else UP
            if self._seen_states.get(number, DOWN) != state:
                self._seen_states[number] = state
                self._recording.states.append((self._now(), number, state))
            self._see_root(node)
        self._see_cuts()
        if self._dirty:
            self._see_residue()
        self._cluster.scheduler.after(LOOK_US, self.look)

    def _meet(self) -> None:
        """Number the nodes that have joined since."""
        for node in self._cluster.nodes[len(self._numbers) :]:
            self._numbers[node.name] = self._addresses[node.address] = len(self._numbers)
            self._recording.nodes.append(node.name)
            self._dirty.update(self._behind)

    def _see_root(self, node: SimNode) -> None:
        number, sum_ = self._numbers[node.name], self._ledger.disks[node.name].root
        root = self._roots.setdefault(sum_, len(self._roots))
        if self._seen_roots.get(number, 0) != root:
            self._seen_roots[number] = root
            self._recording.roots.append((self._now(), number, root))

    def _see_cuts(self) -> None:
        links = self._cluster.network.cut_links()
        cuts = [self._addresses[end] for link in links for end in link]
        if cuts != self._seen_cuts:
            self._seen_cuts = cuts
            self._recording.cuts.append((self._now(), cuts))

    def _see_residue(self) -> None:
        for key in sorted(self._dirty):
            self._behind[key] = self._count_behind(key)
        self._dirty.clear()
        rows = len(self._behind) * len(self._cluster.nodes)
        residue = sum(self._behind.values()) * 1_000 // rows
        if not self._recording.residue or self._recording.residue[-1][1] != residue:
            self._recording.residue.append((self._now(), residue))

    def _count_behind(self, key: Key) -> int:
        held = [self._ledger.disks[node.name].rows.get(key) for node in self._cluster.nodes]
        join: Entry | None = None
        for entry in held:
            if entry is not None:
                join = merge_entries(join, entry)
        return sum(entry != join for entry in held)

    # -- the end

    def finish(self, report: Report, healed_us: int) -> Recording:
        recording = self._recording
        recording.kinds = list(self._kinds)
        recording.duration = self._now()
        recording.healed = healed_us // TICK_US
        recording.settled = (healed_us + int(report.settled_s * SECOND)) // TICK_US
        recording.trace = report.trace
        recording.broken = "" if report.violation is None else str(report.violation)
        for window in report.windows:
            end_us = min(window.at_us + window.duration_us, healed_us)
            recording.faults.append((window.kind.value, window.at_us // TICK_US, end_us // TICK_US))
        recording.faults.sort(key=itemgetter(1))
        return recording

    def _now(self) -> int:
        return self._cluster.scheduler.now_us // TICK_US


def _kind_of(data: bytes) -> str:
    try:
        return type(decode(data)).__name__
    except EncodingError:
        return STRANGE
