"""The siege: a connected core is whole again, and everything around it stays broken.

Who is left must not need who is gone. So when the storms are over, some nodes become the core: all of them
reach its hub, and of the links between the others any may be cut. Whoever is outside stays down, frozen, or
cut off from the core, both ways or one. The core must converge all the same; then everything is healed.

The hub is a seed: two nodes that never heard of each other find each other nowhere else.
"""

from collections.abc import Sequence
from random import Random

from kvgossip.sim.cluster import Cluster
from kvgossip.sim.fault import Fault
from kvgossip.sim.network import Link
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import SECOND

CUT_SHARE = 0.5
"""Of the links between nodes of the core, the hub's left out."""
EXCUSED_US = 600 * SECOND


class Siege:
    """Of all nodes of a cluster that is healed. ``seeds``: how many of them, the first ones, are seeds."""

    def __init__(self, cluster: Cluster, rng: Random, seeds: int) -> None:
        self._cluster = cluster
        self._rng = rng
        hub = rng.choice(cluster.nodes[:seeds])
        others = [node for node in cluster.nodes if node is not hub]
        self.core = [hub, *rng.sample(others, rng.randrange(1, len(others) + 1))]
        self._links = self._draw_cuts_within(self.core[1:])

    def begin(self) -> None:
        for node in self._cluster.nodes:
            if node not in self.core:
                self._besiege(node)
        self._cluster.network.cut(self._links, Fault.SIEGE)

    def end(self) -> None:
        """Mend, wake and start everything."""
        self._cluster.network.mend(self._links, Fault.SIEGE)
        for node in self._cluster.nodes:
            self._cluster.thaw(node)
            self._cluster.start(node)

    def _besiege(self, node: SimNode) -> None:
        cluster, rng = self._cluster, self._rng
        cluster.excuse(node, cluster.scheduler.now_us + EXCUSED_US)
        fate = rng.random()
        if fate < 0.4 and not cluster.ledger.is_unaware_copy(node.name):
            cluster.injected[Fault.SIEGE] += 1
            cluster.crash(node, is_power_loss=rng.random() < 0.5)
        elif fate < 0.6:
            cluster.injected[Fault.SIEGE] += 1
            cluster.freeze(node)
        else:
            to_core = [(node.address, other.address) for other in self.core]
            from_core = [(b, a) for a, b in to_core]
            self._links += rng.choice((to_core + from_core, to_core + from_core, to_core, from_core))

    def _draw_cuts_within(self, nodes: Sequence[SimNode]) -> list[Link]:
        links: list[Link] = []
        for i, one in enumerate(nodes):
            for other in nodes[i + 1 :]:
                if self._rng.random() < CUT_SHARE:
                    links += [(one.address, other.address), (other.address, one.address)]
        return links
