"""Mass: halving and adding lose nothing, what cannot be mass is refused, and what is read from it."""

from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgossip.errors import EncodingError
from kvgossip.model.aggregate import COUNT_MAX, MASS_MIN, METRICS, NO_MASS, Estimate, Mass, mass_of
from kvgossip.model.member import NUMBER_MAX, Load
from tests.model.values import LAWS

numbers = st.sampled_from([0, 1, 2, 1_000, 1 << 53, NUMBER_MAX])
loads = st.builds(Load, *(numbers for _ in METRICS))
own_masses = st.builds(lambda load, is_root: mass_of(load, is_root=is_root), loads, st.booleans())


def blend(masses: list[Mass], halvings: list[int]) -> Mass:
    """As a node would hold it after some rounds."""
    held = NO_MASS
    for mass, count in zip(masses, halvings, strict=False):
        for _ in range(count):
            mass = mass.halved()
        held = held.plus(mass)
    return held


blends = st.builds(
    blend, st.lists(own_masses, min_size=1, max_size=5), st.lists(st.integers(0, 99), min_size=5, max_size=5)
)


@LAWS
@given(blends)
def test_two_halves_are_the_whole(mass: Mass) -> None:
    assert mass.halved().plus(mass.halved()) == mass


@LAWS
@given(blends, blends)
def test_the_order_of_adding_does_not_matter_and_no_mass_adds_nothing(one: Mass, two: Mass) -> None:
    assert one.plus(two) == two.plus(one)
    assert one.plus(NO_MASS) == one


@LAWS
@given(blends)
def test_whatever_honest_nodes_hold_is_taken(mass: Mass) -> None:
    mass.check()


BLEND = Mass(0.5, 2.0, (8.0,) * 5, (3,) * 5, (5,) * 5)


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": nan},
        {"weight": inf},
        {"weight": -1.0},
        {"weight": COUNT_MAX * 2},
        {"weight": MASS_MIN / 2},
        {"count": 0.0},
        {"count": nan},
        {"count": -2.0},
        {"count": inf},
        {"count": COUNT_MAX * 2, "sums": (COUNT_MAX * 8,) * 5},
        {"count": MASS_MIN / 2},
        {"sums": (nan,) * 5},
        {"sums": (-8.0,) * 5},
        {"sums": (5.9,) * 5},
        {"sums": (10.1,) * 5},
        {"sums": (8.0, 8.0, 8.0, 8.0, 1e300)},
        {"least": (5,) * 5},
        {"least": (6,) * 5, "greatest": (5,) * 5},
        {"greatest": (3,) * 5},
    ],
    ids=str,
)
def test_what_no_values_can_blend_to_is_refused(changed: dict[str, object]) -> None:
    BLEND.check()
    with pytest.raises(EncodingError):
        replace(BLEND, **changed).check()  # type: ignore[arg-type]


def estimate(mass: Mass, *seen: Mass, member_count: int = 4, changed_count: int = 0) -> Estimate:
    return Estimate(7, 1_000, mass, seen, member_count, changed_count)


def test_an_estimate_is_read_from_the_ratios() -> None:
    """A half of the weight and two nodes' mass: four nodes."""
    found = estimate(BLEND).aggregate("keys", 1_500)
    assert (found.count, found.sum, found.average, found.minimum, found.maximum) == (4, 16, 4, 3, 5)
    assert (found.metric, found.error, found.epoch, found.age_ms) == ("keys", 0, 7, 500)


def test_the_error_is_twice_the_spread_of_what_was_seen() -> None:
    seen = replace(BLEND, weight=0.4)
    assert estimate(BLEND, seen).aggregate("keys", 0).error == pytest.approx(0.5)
    assert estimate(BLEND, replace(BLEND, weight=0.0)).aggregate("keys", 0).error == 0


def test_each_node_in_doubt_may_have_had_the_greatest_value() -> None:
    """One of four, whose value may be 5 where the average is 4."""
    assert estimate(BLEND, member_count=5).aggregate("keys", 0).error == pytest.approx(5 / 16)
    assert estimate(BLEND, member_count=3).aggregate("keys", 0).error == pytest.approx(5 / 16)
    assert estimate(BLEND, changed_count=2).aggregate("keys", 0).error == pytest.approx(10 / 16)
    nothing = replace(BLEND, sums=(0.0,) * 5, least=(0,) * 5)
    assert estimate(nothing, member_count=5).aggregate("keys", 0).error == pytest.approx(1 / 4)


def test_an_estimate_that_counts_fewer_than_half_or_all_too_many_is_not_plausible() -> None:
    assert estimate(BLEND, member_count=7).is_plausible
    assert not estimate(BLEND, member_count=8).is_plausible
    assert not estimate(BLEND, member_count=2).is_plausible
    assert not estimate(replace(BLEND, weight=0.0)).is_plausible
    assert not estimate(replace(BLEND, weight=MASS_MIN)).is_plausible
