"""Choosing among peers of the own zone and of others: mostly near ones, a bounded share of far ones.

Each choice falls on another zone with the chance ``cross_zone_share``, whatever the sizes of the zones, and
there on a random peer: so the traffic between zones is a bounded share of all, and every zone is reached by
many paths. Where nobody is near, one choice is made among the others. Without zones everybody is near.

A choice costs what it draws, not what there is to choose from: so a rumor that few of a hundred thousand know
is told on as fast as one among ten.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import TypeVar

T = TypeVar("T")


def choose_by_zone(
    rng: Random,
    near: Sequence[T],
    far: Sequence[T],
    *,
    count: int,
    far_share: float,
    is_open: Callable[[T], bool] = lambda _: True,
) -> list[T]:
    """At most ``count`` of those of both that are open, without repetition."""
    near_drawn = list(islice(filter(is_open, _in_random_order(rng, near)), count))
    if not far:
        return near_drawn
    far_count = sum(rng.random() < far_share for _ in range(count)) if near_drawn else 1
    far_drawn = list(islice(filter(is_open, _in_random_order(rng, far)), far_count))
    return near_drawn[: count - len(far_drawn)] + far_drawn


def _in_random_order(rng: Random, items: Sequence[T]) -> Iterator[T]:
    """Each item once. Fisher and Yates' shuffle, of which only the moves are kept."""
    moved: dict[int, int] = {}
    for last in range(len(items) - 1, -1, -1):
        index = rng.randrange(last + 1)
        yield items[moved.get(index, index)]
        moved[index] = moved.get(last, last)
