"""Peers are chosen mostly within the zone, at a bounded rate across zones, and every zone by many paths."""

from collections import Counter
from random import Random

import pytest

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Key
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.rumor import RumorMonger
from kvgossip.protocol.zones import choose_by_zone
from kvgossip.wire.messages import Carried, RumorPush

NEAR = tuple(Address(f"near{i}:1") for i in range(8))
FAR = tuple(Address(f"far{i}:1") for i in range(16))


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_far_choices_are_their_share_whatever_the_sizes_of_the_zones(share: float) -> None:
    rng = Random(1)
    chosen = [c for _ in range(5_000) for c in choose_by_zone(rng, NEAR, FAR, count=4, far_share=share)]
    assert sum(c in FAR for c in chosen) / len(chosen) == pytest.approx(share, abs=0.02)


def test_nobody_is_chosen_twice_and_all_are_if_there_are_few() -> None:
    rng = Random(2)
    for _ in range(100):
        chosen = choose_by_zone(rng, NEAR[:2], FAR[:1], count=4, far_share=1.0)
        assert sorted(chosen) == sorted((*NEAR[:2], FAR[0]))


def test_without_zones_the_choice_is_uniform() -> None:
    rng = Random(3)
    counts = Counter(c for _ in range(8_000) for c in choose_by_zone(rng, NEAR, (), count=1, far_share=0.2))
    assert min(counts.values()) > 850
    assert max(counts.values()) < 1_150


def test_alone_in_its_zone_a_node_talks_to_the_others() -> None:
    assert len(choose_by_zone(Random(4), (), FAR, count=4, far_share=0.0)) == 1


def test_every_far_member_is_reached_by_some_rumor_and_most_contacts_stay_near() -> None:
    pushes: Counter[Address] = Counter()
    for number in range(400):
        outbox = Outbox()
        monger = RumorMonger(Tuning(), Random(number), outbox, lambda key: Carried(key, b"entry"))
        monger.set_targets((*NEAR, *FAR), FAR)
        monger.make_hot(Key(b"\x01key"), 1, None, 0)
        monger.handle_timer(10)
        pushes.update(to for to, message in outbox.take() if isinstance(message, RumorPush))
    far_count = sum(count for address, count in pushes.items() if address in FAR)
    assert 0.1 < far_count / pushes.total() < 0.35
    assert all(pushes[address] for address in FAR), "a member of another zone that no rumor ever reaches"
