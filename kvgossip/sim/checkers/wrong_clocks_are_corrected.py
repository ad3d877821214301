"""A node whose wall clock is wrong goes by most others', and by nobody's if there are not three to judge.

While faults last a node may have heard of few others, and of their clocks as they were. But with fewer than
three voices it never adopts a clock that is not its own, and once all are heard, each is within the drift
limit of the middle one.
"""

from kvgossip.config import Tuning
from kvgossip.node.effects import Event
from kvgossip.sim.checkers.base import Checker, NodeLook, NodeState
from kvgossip.sim.history import History
from kvgossip.sim.ledger import Ledger

VOICES_MIN = 3
SLACK_MS = 3_000
"""Ticks of a second on both sides, drift since the last message, and what it was under way."""


class WrongClocksAreCorrected(Checker):
    def __init__(self, history: History, ledger: Ledger) -> None:
        super().__init__(history, ledger)
        self._last: list[NodeLook] = []

    def on_event(self, node: str, event: Event) -> None:
        if event.name == "clock-wrong" and int(event.fields["heard"]) + 1 < VOICES_MIN:
            raise self.fail(f"{node} adopts the clock of the only node that it hears: {event.fields}")

    def on_looked(self, looks: list[NodeLook]) -> None:
        self._last = looks
        for look in looks:
            if look.correction_ms and look.live_count + 1 < VOICES_MIN:
                raise self.fail(
                    f"{look.node} corrects its clock by {look.correction_ms} ms,"
                    f" and hears {look.live_count} other nodes"
                )

    def on_settled(self, states: list[NodeState]) -> None:
        offsets = sorted(look.offset_ms for look in self._last)
        if len(offsets) < VOICES_MIN:
            return
        low, high = offsets[(len(offsets) - 1) // 2], offsets[len(offsets) // 2]
        limit_ms = Tuning().clock_drift_ms_max + SLACK_MS
        for look in self._last:
            corrected_ms = look.offset_ms + look.correction_ms
            if not low - limit_ms <= corrected_ms <= high + limit_ms:
                raise self.fail(
                    f"at the end the clock of {look.node} is {corrected_ms} ms ahead, corrected by"
                    f" {look.correction_ms}; those of all are {offsets} ms ahead"
                )
