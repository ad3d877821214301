"""Named cases in the simulator: clocks that are wrong and directories that are copied, one at a time."""

from collections.abc import Callable
from random import Random

from kvgossip.model.ids import Key, Kind, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.stamp import stamp_ms
from kvgossip.model.value import Value
from kvgossip.node.effects import Written
from kvgossip.sim.clock import EPOCH_MS
from kvgossip.sim.fault import Fault
from kvgossip.sim.history import Outcome
from kvgossip.sim.network_faults import NetworkFaults
from kvgossip.sim.node import SimNode
from kvgossip.sim.node_faults import TEN_YEARS_MS, NodeFaults
from kvgossip.sim.run import Case, Simulation
from kvgossip.sim.scheduler import MS, SECOND, Action

KV = make_key(Kind.KV, b"k")
MV = make_key(Kind.MV, b"m")


class World:
    """A cluster without clients and faults but those that a test brings; every checker looks on."""

    def __init__(self, nodes: int) -> None:
        simulation = Simulation(Case(1, windows=(), clients=(), nodes=nodes))
        self.cluster, self.operator = simulation.cluster, simulation.operator
        self._bodies = 0
        for node in self.cluster.nodes:
            self.cluster.start(node)
        self.pass_s(10)

    def pass_s(self, seconds: float) -> None:
        scheduler = self.cluster.scheduler
        scheduler.run_until(scheduler.now_us + int(seconds * SECOND))
        self.cluster.check_invariants()

    @property
    def right_ms(self) -> int:
        """What a right wall clock shows."""
        return EPOCH_MS + self.cluster.scheduler.now_us // MS

    def write(self, node: SimNode, key: Key) -> Written:
        self._bodies += 1
        value = Value(b"%d" % self._bodies)
        operation = self.cluster.requests.write(node, key, value, None, lambda _: None)
        self.pass_s(0.05)
        assert operation.written is not None
        return operation.written

    def correction_ms(self, node: SimNode) -> int:
        assert node.replica is not None
        return node.replica.status().clock_correction_ms

    def bodies(self, node: SimNode, key: Key) -> list[bytes]:
        assert node.replica is not None
        entry = node.replica.get(key)
        if isinstance(entry, KvEntry):
            return [entry.value.body] if entry.value else []
        return sorted(s.value.body for s in entry.siblings if s.value) if entry else []

    def isolate(self, node: SimNode) -> Action:
        return NetworkFaults(self.cluster, lambda: False).isolate(node, Fault.ISOLATE)

    def settle(self) -> None:
        """Time passes; then every checker judges."""
        self.pass_s(60)
        states = self.cluster.states()
        for checker in self.cluster.checkers:
            checker.on_settled(states)


def test_one_of_three_ten_years_ahead_is_corrected_and_does_not_win_for_ever() -> None:
    world = World(3)
    wrong, right, other = world.cluster.nodes
    wrong.clock.wall_offset_ms += TEN_YEARS_MS
    before = world.write(wrong, KV)
    assert stamp_ms(before.stamp) > world.right_ms + TEN_YEARS_MS // 2
    world.pass_s(15)
    assert abs(world.correction_ms(wrong) + TEN_YEARS_MS) < 5_000
    assert world.correction_ms(right) == world.correction_ms(other) == 0
    assert world.write(right, KV).stamp > before.stamp
    world.pass_s(5)
    assert world.bodies(wrong, KV) == world.bodies(other, KV) == [b"2"]
    fresh = world.write(wrong, make_key(Kind.KV, b"fresh"))
    assert abs(stamp_ms(fresh.stamp) - world.right_ms) < 10_000
    wrong.clock.wall_offset_ms -= TEN_YEARS_MS
    world.settle()
    assert world.correction_ms(wrong) == 0


def test_of_two_nodes_neither_adopts_the_wrong_clock_of_the_other() -> None:
    world = World(2)
    wrong, right = world.cluster.nodes
    wrong.clock.wall_offset_ms += TEN_YEARS_MS
    world.write(wrong, KV)
    world.pass_s(30)
    assert world.correction_ms(wrong) == world.correction_ms(right) == 0
    assert world.write(right, KV).stamp > 0
    fresh = world.write(right, make_key(Kind.KV, b"fresh"))
    assert abs(stamp_ms(fresh.stamp) - world.right_ms) < 10_000, "nobody was pulled along"
    world.settle()


def test_a_clock_that_jumps_or_drifts_within_the_limit_is_nobodys_business() -> None:
    world = World(3)
    node = world.cluster.nodes[0]
    node.clock.set_rate(world.cluster.scheduler.now_us, 20_000)
    world.pass_s(60)
    assert 1_000 < node.clock.offset_ms(world.cluster.scheduler.now_us) < 5_000
    assert world.correction_ms(node) == 0
    for jump_ms in (6 * 3_600_000, -7 * 3_600_000):
        node.clock.wall_offset_ms += jump_ms
        stamp = world.write(node, KV).stamp
        world.pass_s(20)
        assert abs(world.correction_ms(node)) > 3_000_000
        assert world.write(node, KV).stamp > stamp
    world.settle()


def test_a_wiped_directory_loses_only_what_nobody_else_held() -> None:
    world = World(3)
    node = world.cluster.nodes[2]
    world.write(node, KV)
    world.pass_s(5)
    mend = world.isolate(node)
    world.write(node, MV)
    world.operator.wipe(node)
    world.cluster.start(node)
    world.pass_s(5)
    mend()
    world.settle()
    spread, alone = world.cluster.history.operations
    assert (spread.outcome, alone.outcome) == (Outcome.ACKED, Outcome.ERASED)
    assert world.bodies(node, KV) == [b"1"]
    assert world.bodies(node, MV) == []


def copied(world: World, make_copy: Callable[[SimNode], SimNode]) -> tuple[SimNode, list[bytes]]:
    """A copy that writes while it is cut off, and what all hold of the key in the end."""
    copy = make_copy(world.cluster.nodes[2])
    mend = world.isolate(copy)
    world.pass_s(1)
    world.write(copy, MV)
    world.pass_s(5)
    mend()
    world.settle()
    return copy, world.bodies(world.cluster.nodes[0], MV)


def test_a_backup_restored_while_cut_off_takes_a_new_id_and_loses_nothing() -> None:
    world = World(3)
    node = world.cluster.nodes[2]
    world.write(node, MV)
    backup = world.operator.back_up(node)
    world.write(node, MV)
    world.pass_s(5)
    assert node.replica is not None
    old_id = node.replica.status().replica

    def restore(node: SimNode) -> SimNode:
        world.operator.restore(backup)
        world.cluster.start(node)
        return node

    copy, bodies = copied(world, restore)
    assert copy.replica is not None
    assert copy.replica.status().replica != old_id
    assert bodies == [b"1", b"2", b"3"]


def test_a_directory_live_twice_ends_as_two_replicas_and_loses_nothing() -> None:
    world = World(3)
    world.write(world.cluster.nodes[2], MV)
    world.pass_s(5)
    _, bodies = copied(world, world.operator.clone)
    assert set(bodies) == {b"1", b"2"}
    assert len({state.replica for state in world.cluster.states()}) == 4


def test_a_clone_is_not_restarted_before_it_has_found_out() -> None:
    """What it wrote before that restart would keep its old dots: a known limit, see ADR 18."""
    world = World(3)
    original, other, _ = world.cluster.nodes
    world.write(original, KV)
    twin = world.operator.clone(original)
    mend = world.isolate(twin)
    world.pass_s(1)
    world.write(twin, MV)
    world.write(original, MV)
    faults = NodeFaults(world.cluster, lambda: False)
    recover = faults.begins[Fault.MASS_RESTART](Random(1), SECOND)
    assert (original.is_up, twin.is_up, other.is_up) == (True, True, False)
    assert recover is not None
    recover()
    mend()
    world.settle()
    faults.begins[Fault.MASS_RESTART](Random(1), SECOND)
    assert not any(node.is_up for node in world.cluster.nodes), "it has found out"


def test_a_restored_directory_that_is_behind_is_not_restarted_before_it_has_found_out() -> None:
    world = World(3)
    node = world.cluster.nodes[0]
    backup = world.operator.back_up(node)
    world.write(node, KV)
    world.pass_s(5)
    world.isolate(node)
    world.operator.restore(backup)
    world.cluster.start(node)
    world.pass_s(1)
    world.write(node, MV)
    world.write(node, MV)
    NodeFaults(world.cluster, lambda: False).begins[Fault.MASS_RESTART](Random(1), SECOND)
    assert [node.is_up for node in world.cluster.nodes] == [True, False, False]
