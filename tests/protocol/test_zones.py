"""Peers are chosen mostly within the zone, at a bounded rate across zones, and every zone by many paths."""

from collections import Counter
from collections.abc import Sequence
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
        monger = RumorMonger(Tuning(own_fanout=0), Random(number), outbox, lambda key: Carried(key, b"entry"))
        monger.set_targets((*NEAR, *FAR), FAR)
        monger.make_hot(Key(b"\x01key"), 1, None, 0)
        monger.handle_timer(10)
        pushes.update(to for to, message in outbox.take() if isinstance(message, RumorPush))
    far_count = sum(count for address, count in pushes.items() if address in FAR)
    assert 0.1 < far_count / pushes.total() < 0.35
    assert all(pushes[address] for address in FAR), "a member of another zone that no rumor ever reaches"


def test_the_closed_are_never_chosen_and_the_open_uniformly() -> None:
    rng = Random(5)
    counts = Counter(
        c
        for _ in range(8_000)
        for c in choose_by_zone(rng, FAR, (), count=2, far_share=0.2, is_open=lambda a: a in FAR[:8])
    )
    assert set(counts) == set(FAR[:8])
    assert min(counts.values()) > 1_800
    assert max(counts.values()) < 2_200


class _Counted(Sequence[int]):
    """A hundred thousand numbers, and how many of them were looked at."""

    looked_at = 0

    def __len__(self) -> int:
        return 100_000

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        self.looked_at += 1
        return index


def test_a_choice_looks_at_what_it_draws_and_not_at_all() -> None:
    numbers = _Counted()
    for seed in range(20):
        choose_by_zone(Random(seed), numbers, (), count=4, far_share=0.0, is_open=lambda n: n % 2 == 0)
    assert numbers.looked_at < 20 * 32
