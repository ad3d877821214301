"""A connected core is healed first, and must converge while everybody else is still away."""

from random import Random

import pytest

from kvgossip.sim.fault import Fault
from kvgossip.sim.node import SimNode
from kvgossip.sim.run import SEEDS, Case, Simulation
from kvgossip.sim.scheduler import SECOND
from kvgossip.sim.siege import Siege


def reached(siege: Siege, simulation: Simulation) -> list[SimNode]:
    """Who of the core can be reached from its hub, both ways, by links that are whole."""
    network = simulation.cluster.network
    found = [siege.core[0]]
    for node in found:  # grows while it is walked
        found += [
            other
            for other in siege.core
            if other not in found
            and not network.is_cut(node.address, other.address)
            and not network.is_cut(other.address, node.address)
        ]
    return found


@pytest.mark.parametrize("luck", range(20))
def test_the_core_is_connected_up_and_awake_and_everybody_else_is_away(luck: int) -> None:
    simulation = Simulation(Case(3, windows=(), clients=(0,), nodes=6))
    cluster = simulation.cluster
    for node in cluster.nodes:
        cluster.start(node)
    cluster.scheduler.run_until(5 * SECOND)
    siege = Siege(cluster, Random(luck), SEEDS)
    siege.begin()
    assert 2 <= len(siege.core) <= 6
    assert len(reached(siege, simulation)) == len(siege.core)
    assert all(node.is_up and not node.is_frozen for node in siege.core)
    for node in cluster.nodes:
        if node not in siege.core:
            links = [(node.address, other.address) for other in siege.core]
            cuts = [cluster.network.is_cut(a, b) for a, b in links + [(b, a) for a, b in links]]
            assert not node.is_up or node.is_frozen or sum(cuts) >= len(links)
    siege.end()
    assert all(node.is_up and not node.is_frozen for node in cluster.nodes)
    assert not any(cluster.network.is_cut(a.address, b.address) for a in cluster.nodes for b in cluster.nodes)


def test_a_core_that_does_not_converge_breaks_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut within the core, as nobody would call connected."""
    begin = Siege.begin

    def begin_and_cut(self: Siege) -> None:
        begin(self)
        links = [(a.address, b.address) for a in self.core for b in self.core if a is not b]
        simulation.cluster.network.cut(links, Fault.SIEGE)

    monkeypatch.setattr(Siege, "begin", begin_and_cut)
    simulation = Simulation(Case(6, windows=(), clients=(0, 1), writes_each=40, nodes=3))
    cluster = simulation.cluster
    cut = [(a.address, b.address) for a in cluster.nodes for b in cluster.nodes if a is not b]
    cluster.network.cut(cut, Fault.ISOLATE)
    report = simulation.run()
    assert report.violation is not None
    assert "did not converge by themselves" in report.violation.saw
