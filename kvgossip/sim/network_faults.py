"""What goes wrong in the network: frames lost, late, twice, too many, or of no sense; links cut."""

from collections.abc import Callable
from functools import partial
from random import Random

from kvgossip.model.ids import Kind, make_key
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.fault import Fault
from kvgossip.sim.network import STRANGE_FRAMES, Link
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import MS, Action
from kvgossip.wire import messages as m
from kvgossip.wire.codec import encode

FORGED = 6
"""Frames that nobody sent, in a window of such a fault."""
_POISONED = make_key(Kind.MV, b"poisoned")
_SEQUENCE = 1 << 40
"""Of a rumor that no node has sent."""


class NetworkFaults:
    """Each beginning takes luck and a duration, and returns how it ends."""

    def __init__(self, cluster: Cluster, is_over: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._is_over = is_over
        self.begins: dict[Fault, Callable[[Random, int], Action | None]] = {
            Fault.LOSS: partial(self._worsen, "loss", (0.01, 0.1, 0.3, 0.5)),
            Fault.DELAY: partial(self._worsen, "tail", (0.05, 0.3)),
            Fault.DUPLICATION: partial(self._worsen, "duplication", (0.1, 0.5)),
            Fault.REORDER: partial(self._worsen, "reorder", (0.1, 0.5)),
            Fault.REPLAY: partial(self._worsen, "replay", (0.05, 0.3)),
            Fault.NARROW: self._narrow,
            Fault.PARTITION: partial(self._partition, Fault.PARTITION),
            Fault.ONE_WAY: partial(self._partition, Fault.ONE_WAY),
            Fault.ISOLATE: self._isolate,
            Fault.BRIDGE: self._bridge,
            Fault.FLAP: self._flap,
            Fault.STRANGE: self._speak_strangely,
            Fault.POISON: self._poison,
        }

    def isolate(self, node: SimNode, fault: Fault) -> Action:
        """Cut a node off from all others. Returns how it ends."""
        return self._cut(self._links_of(node), fault)

    def _worsen(self, name: str, shares: tuple[float, ...], rng: Random, duration_us: int) -> Action:
        setattr(self._cluster.network.quality, name, rng.choice(shares))
        return partial(setattr, self._cluster.network.quality, name, 0.0)

    def _narrow(self, rng: Random, duration_us: int) -> Action:
        self._cluster.network.quality.bytes_per_s = rng.choice((2_000, 8_000, 32_000))
        return partial(setattr, self._cluster.network.quality, "bytes_per_s", None)

    def _partition(self, fault: Fault, rng: Random, duration_us: int) -> Action:
        """Cut k nodes from the others: both ways, or one way only."""
        nodes = self._cluster.nodes
        side = rng.sample(nodes, rng.randrange(1, len(nodes)))
        others = [node for node in nodes if node not in side]
        links = [(a.address, b.address) for a in side for b in others]
        if fault is Fault.PARTITION:
            links += [(b, a) for a, b in links]
        return self._cut(links, fault)

    def _isolate(self, rng: Random, duration_us: int) -> Action:
        return self.isolate(rng.choice(self._cluster.nodes), Fault.ISOLATE)

    def _bridge(self, rng: Random, duration_us: int) -> Action:
        """Two sides that both see one node between them."""
        nodes = rng.sample(self._cluster.nodes, len(self._cluster.nodes))
        count = rng.randrange(1, len(nodes) - 1)
        links = [(a.address, b.address) for a in nodes[1 : count + 1] for b in nodes[count + 1 :]]
        return self._cut(links + [(b, a) for a, b in links], Fault.BRIDGE)

    def _cut(self, links: list[Link], fault: Fault) -> Action:
        self._cluster.network.cut(links, fault)
        return partial(self._cluster.network.mend, links, fault)

    def _flap(self, rng: Random, duration_us: int) -> Action:
        """Cut and mend a node's links in turns of 0.2 to 1 s, sometimes up to 5 s."""
        links = self._links_of(rng.choice(self._cluster.nodes))
        flap = _Flap(self._cluster, links, rng, rng.choice((1_000, 1_000, 5_000)) * MS)
        flap.turn()
        return flap.end

    def _links_of(self, node: SimNode) -> list[Link]:
        others = [other for other in self._cluster.nodes if other is not node]
        links = [(node.address, other.address) for other in others]
        return links + [(b, a) for a, b in links]

    # -- frames of no sense

    def _speak_strangely(self, rng: Random, duration_us: int) -> Action:
        """Some nodes are of a later version: fields more, unknown messages, another version byte."""
        for _ in range(FORGED):
            self._forge_later(rng, duration_us, Fault.STRANGE, "frame-refused", rng.choice(STRANGE_FRAMES))
        nodes, quality = self._cluster.nodes, self._cluster.network.quality
        later = rng.sample(nodes, rng.randrange(1, len(nodes)))
        quality.later = frozenset(node.address for node in later)
        return partial(setattr, quality, "later", frozenset())

    def _poison(self, rng: Random, duration_us: int) -> None:
        """Entries that cannot be decoded, one a frame, from peers that are known."""
        for number in range(FORGED):
            item = m.Carried(_POISONED, b"\x01" + rng.randbytes(rng.randrange(1, 40)))
            data = encode(m.RumorPush(_SEQUENCE + number, (item,), ()))
            self._forge_later(rng, duration_us, Fault.POISON, "entry-refused", data)

    def _forge_later(self, rng: Random, duration_us: int, fault: Fault, event: str, data: bytes) -> None:
        delay_us = rng.randrange(duration_us)
        self._cluster.scheduler.after(delay_us, partial(self._forge, rng, fault, event, data))

    def _forge(self, rng: Random, fault: Fault, event: str, data: bytes) -> None:
        up = [node for node in self._cluster.up_nodes() if node.is_started]
        if self._is_over() or len(up) < 2:
            return
        source, target = rng.sample(up, 2)
        self._cluster.expected[target.name, event] += 1
        self._cluster.network.forge(source.address, target.address, data, fault)


class _Flap:
    """A link that goes and comes."""

    def __init__(self, cluster: Cluster, links: list[Link], rng: Random, turn_us_max: int) -> None:
        self._cluster = cluster
        self._links = links
        self._rng = rng
        self._turn_us_max = turn_us_max
        self._is_cut = False
        self._is_over = False

    def turn(self) -> None:
        if self._is_over:
            return
        self._switch()
        self._cluster.scheduler.after(self._rng.randrange(200 * MS, self._turn_us_max), self.turn)

    def end(self) -> None:
        self._is_over = True
        if self._is_cut:
            self._switch()

    def _switch(self) -> None:
        network = self._cluster.network
        (network.mend if self._is_cut else network.cut)(self._links, Fault.FLAP)
        self._is_cut = not self._is_cut
