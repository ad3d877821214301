"""Aggregates between whole nodes: own numbers go in, every node answers, and idling stays cheap."""

import pytest

from kvgossip.model.aggregate import METRICS
from kvgossip.node.vital_signs import Vitals
from tests.node.hand import Hand, kv, run

NODES = 5


@pytest.fixture(scope="module")
def hands() -> list[Hand]:
    """Five nodes that have met, with a value of each number at hand, half a minute after their start."""
    hands = [Hand(f"n{i}", seeds=["n1"] if i > 1 else []) for i in range(1, NODES + 1)]
    for number, hand in enumerate(hands, 1):
        hand.replica.handle_vitals(Vitals(100 * number, 1_000 * number, 10 * number), hand.now)
        hand.put(kv(f"key {number}"), b"value")
        hand.commit()
    run(hands, 30_000)
    return hands


def test_before_the_first_epoch_there_is_no_answer() -> None:
    hand = Hand()
    assert hand.replica.aggregate("keys", hand.now) is None


def test_every_node_knows_the_numbers_of_all(hands: list[Hand]) -> None:
    for hand in hands:
        for metric, least, most, total in (
            ("cpu_permille", 100, 500, 1_500),
            ("memory_bytes", 1_000, 5_000, 15_000),
            ("disk_free_bytes", 10, 50, 150),
        ):
            found = hand.replica.aggregate(metric, hand.now)
            assert found is not None
            assert (found.minimum, found.maximum) == (least, most)
            assert found.count == pytest.approx(NODES, rel=0.01)
            assert found.sum == pytest.approx(total, rel=0.01)
            assert found.average == pytest.approx(total / NODES, rel=0.01)
            assert found.error < 0.05


def test_keys_are_read_when_the_epoch_begins(hands: list[Hand]) -> None:
    """All five had come everywhere by then, though no vitals were measured since."""
    found = hands[0].replica.aggregate("keys", hands[0].now)
    assert found is not None
    assert (found.minimum, found.maximum) == (NODES, NODES)


def test_an_unknown_metric_is_refused_with_those_that_are(hands: list[Hand]) -> None:
    with pytest.raises(ValueError, match=", ".join(METRICS)):
        hands[0].replica.aggregate("spoons", hands[0].now)


def test_aggregates_are_counted_as_traffic_of_their_own_and_cost_60_bytes_a_second(hands: list[Hand]) -> None:
    before = [hand.replica.status().counters["aggregate_bytes_sent"] for hand in hands]
    run(hands, 60_000)
    after = [hand.replica.status().counters["aggregate_bytes_sent"] for hand in hands]
    sent = [two - one for one, two in zip(before, after, strict=True)]
    assert 0 < max(sent) <= 60 * 60
    for hand in hands:
        hand.replica.check_invariants()
        counters = hand.replica.status().counters
        assert counters["aggregate_messages_received"] > 0
        assert counters.get("frames_refused", 0) == 0
