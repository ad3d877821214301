"""Convergence check: ask every member for its root, and wait a bounded time for the answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kvgossip.model.ids import Address
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import RootAnswer, RootAsk

CHECK_TIMEOUT_MS = 2_000


@dataclass(slots=True)
class RootCheck:
    """One question to all, and the answers so far."""

    sequence: int
    asked: tuple[Address, ...]
    deadline_ms: int
    answers: dict[Address, RootAnswer] = field(default_factory=dict)

    @property
    def is_answered(self) -> bool:
        return len(self.answers) == len(self.asked)


class RootChecks:
    """The checks that wait for answers."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._checks: dict[int, RootCheck] = {}
        self._next_sequence = 1

    def begin(self, addresses: Sequence[Address], now_ms: int) -> RootCheck:
        check = RootCheck(self._next_sequence, tuple(addresses), now_ms + CHECK_TIMEOUT_MS)
        self._next_sequence += 1
        self._checks[check.sequence] = check
        for address in addresses:
            self._outbox.send(address, RootAsk(check.sequence))
        return check

    def handle_answer(self, sender: Address, answer: RootAnswer) -> None:
        check = self._checks.get(answer.sequence)
        if check is not None and sender in check.asked:
            check.answers[sender] = answer

    def take_ended(self, now_ms: int) -> list[RootCheck]:
        """Checks that are answered by all, or whose time is up."""
        ended = [c for c in self._checks.values() if c.is_answered or c.deadline_ms <= now_ms]
        for check in ended:
            del self._checks[check.sequence]
        return ended

    def next_deadline_ms(self) -> int | None:
        return min((check.deadline_ms for check in self._checks.values()), default=None)
