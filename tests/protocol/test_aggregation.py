"""Aggregation: what an epoch gives at every node, through loss, churn and lies, and what it costs.

The nodes run the real machine and codec over a simulated network (``aggregating.py``). To replay a failure,
run the test that is named: its seeds are in its parameters.
"""

from random import Random

import pytest

from kvgossip.config import Tuning
from kvgossip.model.aggregate import NO_MASS, Aggregate, Mass, mass_of
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.model.member import Load
from kvgossip.protocol.aggregation import FIRST_MS, JOINS_MAX, JUMP_MAX, LATE_MS, ROUND_MS, epoch_ms
from kvgossip.protocol.push_sum import ANSWER_TIMEOUT_MS, TRIES_MAX
from kvgossip.wire.codec import EPOCH_MAX
from kvgossip.wire.messages import AggregateAnswer, AggregatePush
from tests.protocol.aggregating import Cluster, Node, loads, off_by, run_epoch

INTERVAL_MS = Tuning().aggregate_interval_ms
STRANGER = Address("stranger:1")


def push(number: int, mass: Mass, *, root: int = 9, sequence: int = 1, left_ms: int = 5_000) -> AggregatePush:
    return AggregatePush(number, ReplicaId(root), sequence, left_ms, mass)


def root_mass(keys: int = 0) -> Mass:
    return mass_of(Load(keys), is_root=True)


# -- what an epoch gives -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "seed"), [(2, 1), (10, 1), (10, 2), (10, 3), (100, 1), (100, 2), (1_000, 1)]
)
def test_every_node_knows_all_aggregates_to_one_percent_after_one_epoch(count: int, seed: int) -> None:
    given = loads(count, seed)
    cluster = Cluster(given, seed=seed)
    run_epoch(cluster)
    for metric in ("keys", "writes_per_s", "cpu_permille", "memory_bytes"):
        values = [getattr(load, metric) for load in given]
        found = cluster.aggregates(metric)
        assert len(found) == count
        for aggregate in found:
            assert off_by(aggregate, values) <= min(0.01, aggregate.error)
            assert (aggregate.minimum, aggregate.maximum) == (min(values), max(values))
            assert aggregate.epoch == 1
            assert aggregate.error <= 0.05
    [nothing] = {(a.sum, a.average, a.minimum, a.maximum) for a in cluster.aggregates("disk_free_bytes")}
    assert nothing == (0, 0, 0, 0)


@pytest.mark.parametrize("mutant", ["not halved", "weight kept", "values lost"])
def test_a_fault_in_the_halving_is_seen(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail."""
    right = Mass.halved
    mutants = {
        "not halved": lambda mass: mass,
        "weight kept": lambda mass: Mass(mass.weight, *_without_weight(right(mass))),
        "values lost": lambda mass: Mass(
            mass.weight / 2, mass.count / 2, NO_MASS.sums, mass.least, mass.greatest
        ),
    }
    monkeypatch.setattr(Mass, "halved", mutants[mutant])
    monkeypatch.setattr(Mass, "check", lambda mass: None)
    with pytest.raises(AssertionError):
        test_every_node_knows_all_aggregates_to_one_percent_after_one_epoch(10, 1)


def _without_weight(mass: Mass) -> tuple[float, tuple[float, ...], tuple[int, ...], tuple[int, ...]]:
    return mass.count, mass.sums, mass.least, mass.greatest


@pytest.mark.parametrize(
    ("count", "seed"), [(3, 1), (3, 2), *((10, s) for s in range(6)), (100, 1), (100, 2)]
)
def test_under_loss_the_error_that_is_told_covers_the_real_one(count: int, seed: int) -> None:
    given = loads(count, seed)
    cluster = Cluster(given, seed=seed, loss=0.05)
    run_epoch(cluster)
    assert cluster.lost_count > 0.02 * cluster.sent_count
    found = cluster.aggregates("keys")
    assert len(found) == count
    for aggregate in found:
        assert off_by(aggregate, [load.keys for load in given]) <= aggregate.error + 1e-9
        assert aggregate.error <= 0.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_nodes_have_come_and_gone_in_an_epoch_the_next_one_is_right(seed: int) -> None:
    cluster = Cluster(loads(60, seed), seed=seed, loss=0.01)
    rng = Random(seed)
    for step in range(12):
        cluster.run_until(FIRST_MS + 600 * step)
        cluster.crash(rng.choice(cluster.up()))
        cluster.join(Load(keys=500))
    values = [node.load.keys for node in cluster.up()]
    cluster.run_until(30_000)
    for aggregate in cluster.aggregates("keys"):
        assert off_by(aggregate, values) <= aggregate.error
    cluster.run_until(2 * INTERVAL_MS)
    found = cluster.aggregates("keys")
    assert len(found) == 60
    for aggregate in found:
        assert aggregate.epoch > 1
        assert off_by(aggregate, values) <= 0.01
        assert aggregate.maximum == max(values)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_zones_that_talk_little_with_each_other_agree_all_the_same(seed: int) -> None:
    """At the default share of choices that fall on the other zone."""
    given = loads(20, seed)
    cluster = Cluster(given, seed=seed, zone_count=2)
    run_epoch(cluster)
    for aggregate in cluster.aggregates("keys"):
        real = off_by(aggregate, [load.keys for load in given])
        assert real <= min(0.02, aggregate.error)


def test_a_lone_node_answers_for_itself() -> None:
    cluster = Cluster([Load(keys=7)], seed=1)
    cluster.run_until(FIRST_MS - 1)
    assert cluster.aggregates("keys") == []
    cluster.run_until(FIRST_MS + 50)
    assert cluster.aggregates("keys") == [Aggregate("keys", 1, 7, 7, 7, 7, error=0, epoch=1, age_ms=50)]
    assert cluster.sent_count == 0


def test_an_unknown_metric_is_refused() -> None:
    cluster = Cluster([Load(keys=7)], seed=1)
    cluster.run_until(FIRST_MS)
    with pytest.raises(ValueError, match="spoons"):
        cluster.aggregates("spoons")


# -- epochs ------------------------------------------------------------------------------------------------


def test_values_are_read_anew_by_each_epoch() -> None:
    cluster = Cluster([Load(keys=10)] * 5, seed=1)
    run_epoch(cluster)
    for node in cluster.up():
        node.load = Load(keys=20)
    cluster.run_until(INTERVAL_MS)
    assert {round(a.sum) for a in cluster.aggregates("keys")} == {50}
    cluster.run_until(INTERVAL_MS + FIRST_MS + 15_000)
    assert {round(a.sum) for a in cluster.aggregates("keys")} == {100}
    assert {a.epoch for a in cluster.aggregates("keys")} == {2}
    assert max(a.age_ms for a in cluster.aggregates("keys")) <= 15_000


def test_between_epochs_nothing_is_sent_and_an_idle_node_of_five_sends_3500_bytes_a_minute() -> None:
    cluster = Cluster(loads(5, 1), seed=1)
    cluster.run_until(FIRST_MS + epoch_ms(5) + 2_000)
    sent = cluster.sent_count
    cluster.run_until(INTERVAL_MS + FIRST_MS - 1)
    assert cluster.sent_count == sent
    cluster.run_until(10 * INTERVAL_MS)
    assert {a.epoch for a in cluster.aggregates("keys")} == {10}
    assert max(node.sent_bytes for node in cluster.up()) / 10 <= 3_500


def test_when_the_one_that_begins_is_gone_another_does() -> None:
    cluster = Cluster(loads(10, 1), seed=1)
    run_epoch(cluster)
    cluster.crash(cluster.nodes[Address("n1:1")])
    cluster.run_until(INTERVAL_MS + FIRST_MS + LATE_MS + epoch_ms(10) + 1_000)
    assert {round(a.count, 2) for a in cluster.aggregates("keys")} == {9}


def test_epochs_that_are_begun_at_once_become_one() -> None:
    cluster = Cluster(loads(20, 1), seed=1)
    for node in cluster.up()[:3]:
        node.machine._is_late = True
    run_epoch(cluster)
    assert {node.machine._epoch.root for node in cluster.up()} == {1}
    assert all(a.count == pytest.approx(20, rel=0.01) for a in cluster.aggregates("keys"))


def test_a_new_node_with_the_least_id_learns_which_epoch_it_is() -> None:
    """Its own first one is refused by everybody, who are further."""
    cluster = Cluster(loads(10, 1), seed=1)
    first = cluster.nodes[Address("n1:1")]
    cluster.crash(first)
    cluster.run_until(4 * INTERVAL_MS)
    cluster.restart(first)
    cluster.run_until(cluster.now_ms + 2 * FIRST_MS + epoch_ms(10) + 2_000)
    found = cluster.aggregates("keys")
    assert len(found) == 10
    assert len({a.epoch for a in found}) == 1
    assert all(a.count == pytest.approx(10, rel=0.01) for a in found)


def test_who_comes_late_passes_on_and_adds_nothing() -> None:
    cluster = Cluster([Load(keys=5), Load(keys=7)], seed=1)
    one = cluster.up()[0]
    half_ms = epoch_ms(2) // 2
    one.machine.receive(STRANGER, push(1, root_mass(3), left_ms=half_ms - 1), 0)
    assert one.machine._running is not None
    assert one.machine._running.mass == root_mass(3)
    two = cluster.up()[1]
    two.machine.receive(STRANGER, push(1, root_mass(3), left_ms=half_ms), 0)
    assert two.machine._running is not None
    assert (two.machine._running.mass.count, two.machine._running.mass.sums[0]) == (2, 10)


# -- shares ------------------------------------------------------------------------------------------------


def running_pair() -> tuple[Node, Node]:
    """Two nodes, of which the first has just sent its first half; nothing is carried."""
    cluster = Cluster([Load(keys=8), Load(keys=4)], seed=1)
    one, two = cluster.up()
    one.machine.handle_timer(FIRST_MS)
    one.machine.handle_timer(FIRST_MS)
    return one, two


def taken(node: Node) -> list[AggregatePush | AggregateAnswer]:
    messages = [message for _, message in node.outbox.take()]
    assert all(isinstance(message, AggregatePush | AggregateAnswer) for message in messages)
    return messages  # type: ignore[return-value]


def held(node: Node) -> Mass:
    assert node.machine._running is not None
    return node.machine._running.mass


def test_a_share_that_comes_twice_is_taken_once_and_answered_twice() -> None:
    one, two = running_pair()
    [share] = taken(one)
    two.machine.receive(one.address, share, FIRST_MS)
    after_one = held(two)
    two.machine.receive(one.address, share, FIRST_MS)
    assert held(two) == after_one
    answer = AggregateAnswer(share.epoch, share.root, share.sequence)
    assert taken(two) == [answer, answer]


def test_a_share_without_an_answer_is_sent_again_and_in_the_end_taken_back() -> None:
    one, _ = running_pair()
    first = taken(one)[0]
    whole_mass = held(one).plus(held(one))
    sends = 1
    now_ms = FIRST_MS
    assert one.machine._running is not None
    while first.sequence in one.machine._running._unanswered:
        now_ms += ROUND_MS
        one.machine.handle_timer(now_ms)
        sends += sum(isinstance(m, AggregatePush) and m.sequence == first.sequence for m in taken(one))
    assert sends == TRIES_MAX
    assert now_ms - FIRST_MS == TRIES_MAX * ANSWER_TIMEOUT_MS
    unanswered = one.machine._running._unanswered.values()
    assert held(one).count + sum(share.mass.count for share in unanswered) == whole_mass.count


def test_a_share_that_was_refused_comes_back_at_once_and_an_answer_of_a_stranger_is_none() -> None:
    one, two = running_pair()
    [share] = taken(one)
    half = held(one)
    assert isinstance(share, AggregatePush)
    one.machine.receive(STRANGER, AggregateAnswer(share.epoch, share.root, share.sequence), FIRST_MS)
    assert held(one) == half
    one.machine.receive(two.address, AggregateAnswer(0, ReplicaId(0), share.sequence), FIRST_MS)
    assert held(one) == half.plus(half)
    one.machine.receive(two.address, AggregateAnswer(0, ReplicaId(0), share.sequence), FIRST_MS)
    assert held(one) == half.plus(half)


# -- lies --------------------------------------------------------------------------------------------------


def test_an_epoch_from_the_far_future_is_not_joined() -> None:
    cluster = Cluster(loads(5, 1), seed=1)
    run_epoch(cluster)
    node = cluster.up()[2]
    for number in (1 + JUMP_MAX + 1, EPOCH_MAX):
        node.machine.receive(STRANGER, push(number, root_mass()), cluster.now_ms)
        assert node.machine._epoch.number == 1
    node.machine.receive(STRANGER, push(1 + JUMP_MAX, root_mass()), cluster.now_ms)
    assert node.machine._epoch.number == 1 + JUMP_MAX


def test_new_nodes_that_were_led_to_the_last_number_come_back_with_the_next_epoch() -> None:
    cluster = Cluster(loads(20, 1), seed=1)
    for node in cluster.up()[10:]:
        node.machine.receive(STRANGER, push(EPOCH_MAX, root_mass()), 0)
        node.outbox.take()
        cluster.look_at(node)
    cluster.run_until(2 * INTERVAL_MS + 2 * LATE_MS)
    found = cluster.aggregates("keys")
    assert len(found) == 20
    assert all(a.count == pytest.approx(20, rel=0.01) for a in found)
    assert all(node.machine._epoch.number <= 3 for node in cluster.up())


def test_a_member_that_begins_epochs_all_the_time_cannot_make_others_talk_all_the_time() -> None:
    """And once it stops, the next epoch is right."""
    cluster = Cluster(loads(20, 1), seed=1)
    number = 0
    for step in range(200):
        cluster.run_until(100 * step)
        for node in cluster.up()[::5]:
            number = max(number, node.machine._epoch.number) + 1
            node.machine.receive(STRANGER, push(number, mass_of(Load(1), is_root=False)), cluster.now_ms)
            cluster.look_at(node)
    assert all(len(node.machine._joined_ms) <= JOINS_MAX for node in cluster.up())
    assert cluster.sent_count < 20 * 4 * epoch_ms(20) // ROUND_MS * 2
    cluster.run_until(4 * INTERVAL_MS)
    assert all(a.count == pytest.approx(20, rel=0.01) for a in cluster.aggregates("keys"))
    assert all(a.age_ms <= INTERVAL_MS + 2 * LATE_MS for a in cluster.aggregates("keys"))


def test_after_the_last_number_comes_the_first() -> None:
    """All nodes are new, and a liar has begun the last epoch at all of them."""
    cluster = Cluster(loads(20, 1), seed=1)
    for node in cluster.up():
        mass = Mass(float(node.number == 1), 0.001, (0.0,) * 5, (0,) * 5, (0,) * 5)
        node.machine.receive(STRANGER, push(EPOCH_MAX, mass, left_ms=epoch_ms(20)), 0)
        cluster.look_at(node)
    cluster.run_until(INTERVAL_MS - 1)
    assert {node.machine._epoch.number for node in cluster.up()} == {EPOCH_MAX}
    cluster.run_until(INTERVAL_MS + FIRST_MS + epoch_ms(20))
    assert {a.epoch for a in cluster.aggregates("keys")} == {0}
    assert all(a.count == pytest.approx(20, rel=0.01) for a in cluster.aggregates("keys"))


def test_mass_beyond_any_cluster_is_not_taken() -> None:
    cluster = Cluster([Load(keys=1), Load(keys=1)], seed=1)
    node = cluster.up()[0]
    for sequence in range(4):
        lie = Mass(1.0, float(1 << 19), (0.0,) * 5, (0,) * 5, (0,) * 5)
        node.machine.receive(STRANGER, push(1, lie, sequence=sequence, left_ms=6_000), 0)
    assert held(node).is_bounded
    node.machine.check_invariants()
