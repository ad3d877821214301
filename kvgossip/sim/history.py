"""The history of a run: every operation and every read, as clients saw them.

What a client knows of a write is its answer: *acknowledged* (it must survive), *refused* (it must never be
seen), or *unknown* (the node died, or its disk did: it may have happened or not). Checkers judge by this, so
bodies are unique: a value names the operation that wrote it. An acknowledged write is *erased* if an operator
replaced the last disk that held it: it may be seen again (from a backup, or a frame under way), or never.
"""

from collections import defaultdict
from dataclasses import dataclass
from enum import Enum

from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.node.effects import Condition, Refusal, Refused, Written


class Outcome(Enum):
    """What the client knows. ``PENDING`` becomes one of the others."""

    PENDING = "pending"
    ACKED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    ERASED = "erased"


@dataclass(slots=True, eq=False)
class Operation:
    """A put, or a delete if ``value`` is None."""

    number: int
    node: str
    key: Key
    value: Value | None
    context: VersionVector | None
    """What the client sent: None for a write without a context."""
    before: Entry | None
    """What a read at the same node showed at the moment of the call."""
    invoked_us: int
    condition: Condition | None = None
    """What the client demanded of the version that it replaces."""
    version_before: str | None = None
    """What the disk held at the moment of the call."""
    outcome: Outcome = Outcome.PENDING
    answered_us: int | None = None
    written: Written | None = None
    """The answer, if ``outcome`` is ``ACKED`` or ``ERASED``."""
    line: int = 0
    """The line of disks that it was acknowledged on."""
    refusal: Refusal | None = None
    is_excused: bool = False
    """Its node was down, frozen, starting, or had a bad disk while it waited."""
    is_alone: bool = False
    """Its node could reach nobody when it was invoked."""

    @property
    def is_delete(self) -> bool:
        return self.value is None

    @property
    def was_answered(self) -> bool:
        """True if a client was told that it is done, even if it was erased since."""
        return self.written is not None

    @property
    def dot(self) -> Dot:
        assert self.written is not None
        return self.written.dot

    @property
    def stamp(self) -> Stamp:
        assert self.written is not None
        return self.written.stamp

    def __str__(self) -> str:
        what = "delete" if self.value is None else f"put {self.value.body[:12]!r}"
        dot = f" as {self.dot}" if self.written is not None else ""
        return f"operation {self.number} ({what} of {self.key!r} at {self.node}, {self.outcome.value}{dot})"


class History:
    """All operations, and where to find one: by key, by dot, by body."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.read_count = 0
        self._by_key: defaultdict[Key, list[Operation]] = defaultdict(list)
        self._by_dot: defaultdict[Dot, list[Operation]] = defaultdict(list)
        self._by_body: dict[bytes, Operation] = {}

    def invoke(
        self,
        *,
        node: str,
        key: Key,
        value: Value | None,
        context: VersionVector | None,
        before: Entry | None,
        now_us: int,
        condition: Condition | None = None,
    ) -> Operation:
        operation = Operation(len(self.operations), node, key, value, context, before, now_us, condition)
        self.operations.append(operation)
        self._by_key[key].append(operation)
        if value is not None:
            assert value.body not in self._by_body, "bodies are unique"
            self._by_body[value.body] = operation
        return operation

    def acknowledge(self, operation: Operation, written: Written, now_us: int, *, line: int) -> None:
        operation.outcome = Outcome.ACKED
        operation.line = line
        operation.answered_us = now_us
        operation.written = written
        self._by_dot[written.dot].append(operation)

    def refuse(self, operation: Operation, refused: Refused, now_us: int) -> None:
        is_known = refused.reason is not Refusal.OUTCOME_UNKNOWN
        operation.outcome = Outcome.REFUSED if is_known else Outcome.UNKNOWN
        operation.answered_us = now_us
        operation.refusal = refused.reason

    def lose(self, operation: Operation) -> None:
        """The node is gone before it answered."""
        operation.outcome = Outcome.UNKNOWN

    def erase(self, operation: Operation) -> None:
        """The last disk that held it is gone."""
        operation.outcome = Outcome.ERASED

    def of_key(self, key: Key) -> list[Operation]:
        """In order of invocation."""
        return self._by_key.get(key, [])

    def of_dot(self, dot: Dot) -> list[Operation]:
        """The answered operations that were given ``dot``: one, unless a copied directory issued it again."""
        return self._by_dot.get(dot, [])

    def of_body(self, body: bytes) -> Operation | None:
        return self._by_body.get(body)

    def all_keys(self) -> list[Key]:
        """All keys ever written to, in order."""
        return sorted(self._by_key)

    def acked(self) -> list[Operation]:
        return [operation for operation in self.operations if operation.outcome is Outcome.ACKED]
