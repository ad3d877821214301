"""The journal: what a node asks of its world and tells about itself, in order, and what it counted.

All parts of a node write into one journal, so effects leave in the order in which things happened.
"""

from collections.abc import Iterable

from kvgossip.errors import CorruptRowError
from kvgossip.node.effects import Effect, Event, Notify, Replicated, Visible


class Journal:
    """The effects since the last ``take``, and counters since the start."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self.counters: dict[str, int] = {}

    def add(self, effect: Effect) -> None:
        self._effects.append(effect)

    def add_all(self, effects: Iterable[Effect]) -> None:
        self._effects += effects

    def notify(self, event: Event | Visible | Replicated) -> None:
        self._effects.append(Notify(event))

    def tell(self, name: str, **fields: str | int) -> None:
        """A line for the log."""
        self._effects.append(Notify(Event(name, fields)))

    def tell_corrupt_row(self, error: CorruptRowError, **fields: str) -> None:
        """A row cannot be read: counted, and told."""
        self.count("corrupt_rows")
        self.tell("row-corrupt", reason=str(error), **fields)

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + by

    def take(self) -> list[Effect]:
        taken, self._effects = self._effects, []
        return taken
