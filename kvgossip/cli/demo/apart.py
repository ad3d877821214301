"""What is written while the cluster is cut in two: new keys, overwrites and deletes on both sides.

Some keys are written on one side only, some on both, and some are overwritten on one side and deleted on the
other, so that the order of ``kv`` writes has something to decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from kvgossip.cli.demo.client import NodeClient
from kvgossip.cli.demo.ledger import Ledger

NEW_PER_SIDE = 40
OVERWRITTEN_PER_SIDE = 60
DELETED_PER_SIDE = 30
OVERWRITTEN_ON_BOTH = 20
OVERWRITTEN_HERE_DELETED_THERE = 10


@dataclass(frozen=True, slots=True)
class Side:
    name: str
    clients: Sequence[NodeClient]

    def __str__(self) -> str:
        return " ".join(client.name for client in self.clients)


@dataclass(frozen=True, slots=True)
class Change:
    """A write to come; ``body`` is None for a delete."""

    client: NodeClient
    key: str
    body: bytes | None

    async def make(self, ledger: Ledger) -> None:
        if self.body is None:
            answer = await self.client.delete(self.key)
        else:
            answer = await self.client.put(self.key, self.body)
        ledger.record(self.key, self.client.name, answer, self.body)


def new_key(side: Side, number: int) -> str:
    return f"demo/{side.name}/{number}.txt"


def plan_changes(keys: Sequence[str], left: Side, right: Side) -> list[Change]:
    """The same for the same keys: nothing here is left to chance."""
    shuffled = Random(1).sample(keys, len(keys))
    taken = iter(shuffled)
    changes: list[Change] = []

    def change(side: Side, key: str, body: bytes | None) -> None:
        changes.append(Change(side.clients[len(changes) % len(side.clients)], key, body))

    def text(side: Side, key: str) -> bytes:
        return f"# {key}, as the {side.name} side wrote it during the cut\n".encode()

    for side in (left, right):
        for number in range(NEW_PER_SIDE):
            key = new_key(side, number)
            change(side, key, text(side, key))
        for _ in range(OVERWRITTEN_PER_SIDE):
            key = next(taken)
            change(side, key, text(side, key))
        for _ in range(DELETED_PER_SIDE):
            change(side, next(taken), None)
    for _ in range(OVERWRITTEN_ON_BOTH):
        key = next(taken)
        for side in (left, right):
            change(side, key, text(side, key))
    for number in range(OVERWRITTEN_HERE_DELETED_THERE):
        key = next(taken)
        here, there = (left, right) if number % 2 else (right, left)
        change(here, key, text(here, key))
        change(there, key, None)
    return changes
