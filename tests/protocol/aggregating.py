"""Many nodes that only aggregate: the real machine and codec over a simulated network.

python -m tests.protocol.aggregating          prints the figures of docs/PROTOCOL.md, in some minutes
"""

from collections.abc import Collection, Sequence
from heapq import heappop, heappush
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.aggregate import Aggregate, Mass
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.model.member import Load
from kvgossip.protocol.aggregation import FIRST_MS, ROUND_MS, Aggregation, epoch_ms
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire import codec
from kvgossip.wire.messages import AggregateAnswer, AggregatePush


class Node:
    """One machine, and whom it takes for members: all that are up."""

    def __init__(self, cluster: "Cluster", number: int, load: Load) -> None:
        self.number = number
        self.address = Address(f"n{number}:1")
        self.load = load
        self.is_up = True
        self.outbox = Outbox()
        self.sent_bytes = 0
        self.timer_ms: int | None = None
        self.start(cluster)

    def start(self, cluster: "Cluster") -> None:
        self.machine = Aggregation(
            cluster.tuning,
            Random(f"{cluster.seed} {self.number} {cluster.now_ms}"),
            self.outbox,
            read_me=lambda: ReplicaId(self.number),
            read_live=lambda: cluster.live_without(self.number),
            count_members=lambda: cluster.up_count,
            choose=lambda count: cluster.choose(self, count),
            read_load=lambda: self.load,
            now_ms=cluster.now_ms,
        )


class Cluster:
    """Time, and a network that delays every frame by 1 to 20 ms and loses some."""

    def __init__(self, loads: Sequence[Load], *, seed: int, loss: float = 0.0, zone_count: int = 1) -> None:
        self.seed = seed
        self.loss = loss
        self.tuning = Tuning()
        self.now_ms = 0
        self.nodes: dict[Address, Node] = {}
        self.up_count = 0
        self.lost_count = 0
        self.sent_count = 0
        self._zone_count = zone_count
        self._rng = Random(seed)
        self._due: list[tuple[int, int, Address, tuple[Address, bytes] | None]] = []
        self._order = 0
        for load in loads:
            self.join(load)

    # -- who is there

    def join(self, load: Load) -> Node:
        node = Node(self, len(self.nodes) + 1, load)
        self.nodes[node.address] = node
        self._count()
        self.look_at(node)
        return node

    def crash(self, node: Node) -> None:
        node.is_up = False
        self._count()

    def restart(self, node: Node) -> None:
        node.is_up = True
        self._count()
        node.start(self)
        self.look_at(node)

    def up(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.is_up]

    def live_without(self, number: int) -> Collection[ReplicaId]:
        return [replica for replica in self._up if replica != number]

    def choose(self, node: Node, count: int) -> Sequence[Address]:
        """One at random, in another zone with the chance ``cross_zone_share``; a lone node finds nobody."""
        assert count == 1
        if len(self._up) == 1:
            return []
        is_far = self._zone_count > 1 and self._rng.random() < self.tuning.cross_zone_share
        while True:
            number = self._rng.choice(self._up)
            is_elsewhere = (number - node.number) % self._zone_count != 0
            if number != node.number and is_far == is_elsewhere:
                return [Address(f"n{number}:1")]

    def _count(self) -> None:
        self._up = [ReplicaId(node.number) for node in self.nodes.values() if node.is_up]
        self.up_count = len(self._up)

    # -- time

    def run_until(self, end_ms: int) -> None:
        while self._due and self._due[0][0] <= end_ms:
            self.now_ms, _, address, frame = heappop(self._due)
            node = self.nodes.get(address)
            if node is None or not node.is_up:
                continue
            if frame is not None:
                sender, data = frame
                message = codec.decode(data)
                assert isinstance(message, AggregatePush | AggregateAnswer)
                node.machine.receive(sender, message, self.now_ms)
            elif self.now_ms == node.timer_ms:
                node.timer_ms = None
                node.machine.handle_timer(self.now_ms)
            self.look_at(node)
        self.now_ms = end_ms

    def look_at(self, node: Node) -> None:
        """Carry what it sends, and set its timer."""
        for to, message in node.outbox.take():
            data = codec.encode(message)
            node.sent_bytes += len(data)
            self.sent_count += 1
            if self._rng.random() < self.loss:
                self.lost_count += 1
            else:
                self._push(self.now_ms + self._rng.randint(1, 20), to, (node.address, data))
        due_ms = max(node.machine.next_deadline_ms(), self.now_ms)
        if due_ms != node.timer_ms:
            node.timer_ms = due_ms
            self._push(due_ms, node.address, None)

    def _push(self, due_ms: int, address: Address, frame: tuple[Address, bytes] | None) -> None:
        self._order += 1
        heappush(self._due, (due_ms, self._order, address, frame))

    # -- what came of it

    def aggregates(self, metric: str) -> list[Aggregate]:
        found = [node.machine.aggregate(metric, self.now_ms) for node in self.up()]
        return [aggregate for aggregate in found if aggregate is not None]


def loads(count: int, seed: int) -> list[Load]:
    """Skewed, as loads are: a few nodes have most."""
    rng = Random(seed)
    return [
        Load(
            int(rng.paretovariate(1.2) * 1_000),
            rng.randrange(100),
            rng.randrange(1_000),
            rng.getrandbits(33),
            0,
        )
        for _ in range(count)
    ]


def run_epoch(cluster: Cluster) -> None:
    """From the start until its first epoch is over everywhere."""
    cluster.run_until(FIRST_MS + epoch_ms(len(cluster.nodes)) + 2_000)


def off_by(aggregate: Aggregate, values: list[int]) -> float:
    """How far count, sum and average are from those of ``values``, at worst, as ``error`` tells it."""
    count, total = len(values), sum(values)
    if not aggregate.sum:
        return 1.0
    return max(
        abs(aggregate.count - count) / aggregate.count,
        abs(aggregate.sum - total) / aggregate.sum,
        abs(aggregate.average - total / count) / aggregate.average,
    )


# -- figures -----------------------------------------------------------------------------------------------


def rounds_to_one_percent(count: int, seed: int, loss: float) -> tuple[int, int]:
    """(rounds until every node is within 1 % of all three, bytes that a node sent in the epoch)."""
    given = loads(count, seed)
    cluster = Cluster(given, seed=seed, loss=loss)
    cluster.run_until(FIRST_MS)
    for rounds in range(1, epoch_ms(count) // ROUND_MS):
        cluster.run_until(FIRST_MS + rounds * ROUND_MS)
        held = [node.machine._running.mass for node in cluster.up() if node.machine._running is not None]
        if len(held) == count and all(_is_close(mass, given) for mass in held):
            break
    else:
        raise AssertionError(f"{count} nodes with seed {seed} have not converged")
    run_epoch(cluster)
    return rounds, sum(node.sent_bytes for node in cluster.up()) // count


def _is_close(mass: Mass, given: Sequence[Load]) -> bool:
    count, total = len(given), sum(load.keys for load in given)
    return (
        abs(mass.count - count * mass.weight) <= 0.01 * count * mass.weight
        and abs(mass.sums[0] - total * mass.weight) <= 0.01 * total * mass.weight
        and abs(mass.sums[0] * count - total * mass.count) <= 0.01 * total * mass.count
    )


def main() -> None:
    """Print the table of docs/PROTOCOL.md."""
    print("| nodes | rounds to 1 %, median and most | with 5 % loss | rounds of an epoch | bytes a node |")
    print("|---|---|---|---|---|")
    for count, seeds in ((5, 50), (10, 50), (100, 20), (1_000, 3)):
        cells = []
        for loss in (0.0, 0.05):
            measured = [rounds_to_one_percent(count, seed, loss) for seed in range(seeds)]
            rounds = sorted(rounds for rounds, _ in measured)
            cells.append(f"{rounds[len(rounds) // 2]}, {rounds[-1]}")
            if not loss:
                sent_bytes = max(sent_bytes for _, sent_bytes in measured)
        print(f"| {count:,} | {' | '.join(cells)} | {epoch_ms(count) // ROUND_MS} | {sent_bytes:,} |")


if __name__ == "__main__":
    main()
