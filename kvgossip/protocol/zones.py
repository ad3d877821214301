"""Choosing among peers of the own zone and of others: mostly near ones, a bounded share of far ones.

Each choice falls on another zone with the chance ``cross_zone_share``, whatever the sizes of the zones, and
there on a random peer: so the traffic between zones is a bounded share of all, and every zone is reached by
many paths. Where nobody is near, one choice is made among the others. Without zones everybody is near.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def choose_by_zone(
    rng: Random, near: Sequence[T], far: Sequence[T], *, count: int, far_share: float
) -> list[T]:
    """At most ``count`` of both, without repetition."""
    if not far:
        return rng.sample(near, min(count, len(near)))
    far_count = sum(rng.random() < far_share for _ in range(count)) if near else 1
    far_count = min(far_count, len(far))
    near_count = min(count - far_count, len(near))
    return rng.sample(near, near_count) + rng.sample(far, far_count)
