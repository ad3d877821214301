"""Local health multiplier: a node that is slow itself waits longer before it blames others.

Source: Dadgar, Phillips, Currey, "Lifeguard: Local Health Awareness for More Accurate Failure Detection"
(2017), section IV.A. A failed probe without a nack, a suspicion to refute and an own stall speak against
this node, an answered probe for it; intervals and timeouts of its probes are multiplied by the sum.
"""

from kvgossip.config import Tuning


class LocalHealth:
    """From 1, well, to ``health_multiplier_max``."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self.multiplier = 1

    def blame(self, points: int = 1) -> None:
        self.multiplier = min(self.multiplier + points, self._tuning.health_multiplier_max)

    def praise(self) -> None:
        self.multiplier = max(self.multiplier - 1, 1)
