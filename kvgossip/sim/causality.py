"""Causality: what an ``mv`` write may have superseded, by the operations alone.

A put supersedes what the context that its client sent had seen; a delete without a context what its node held
(the vector in its answer). A sibling may be absent exactly if such a write, of the same key, came after it.
Of a write whose outcome nobody knows, both must be allowed. And so must be what a copied directory brings
about until it finds out: a vector with dots of its line covers writes of the other that it never saw.
"""

from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.model.mv import MvEntry
from kvgossip.sim.history import History, Operation, Outcome
from kvgossip.sim.ledger import Ledger

_NOTHING = VersionVector()


def covered_by(operation: Operation) -> VersionVector:
    """What an acknowledged ``mv`` write superseded; its own dot, if it is in there, does not count."""
    if operation.context is not None:
        return operation.context
    if not operation.is_delete:
        return _NOTHING
    assert operation.written is not None
    return operation.written.context or _NOTHING


class Causality:
    """Over one run, whose history and ledger grow."""

    def __init__(self, history: History, ledger: Ledger) -> None:
        self._history = history
        self._ledger = ledger
        self._last: dict[tuple[Key, Dot], Operation] = {}
        """What superseded a dot when that was last asked: mostly it still does."""

    def is_lost(self, key: Key, dot: Dot, entry: Entry) -> bool:
        """True if an ``mv`` entry that has seen ``dot`` neither holds it nor what may have superseded it."""
        if not isinstance(entry, MvEntry) or any(sibling.dot == dot for sibling in entry.siblings):
            return False
        return self._superseder(key, dot, entry.vector) is None and not self._ledger.collides(key, dot)

    def _superseder(self, key: Key, dot: Dot, vector: VersionVector) -> Operation | None:
        last = self._last.get((key, dot))
        if last is not None and self._has_superseded(last, dot, vector):
            return last
        for operation in self._history.of_key(key):
            if operation.context is None and not operation.is_delete:
                continue  # it supersedes nothing
            if self._has_superseded(operation, dot, vector):
                self._last[key, dot] = operation
                return operation
        return None

    def _has_superseded(self, operation: Operation, dot: Dot, vector: VersionVector) -> bool:
        if operation.was_answered:
            if not covered_by(operation).covers(dot):
                return False
            names = self._ledger.names(operation)
            if dot in names:
                return False
            # A name that was given up and never issued again: it was superseded before, and no vector has it.
            return any(vector.covers(name) for name in names) or all(map(self._ledger.is_void, names))
        return operation.outcome is not Outcome.REFUSED and self._may_cover(operation, dot, vector)

    def _may_cover(self, operation: Operation, dot: Dot, vector: VersionVector) -> bool:
        """True if a write that is pending or unknown may have superseded ``dot``."""
        if operation.context is not None:
            return operation.context.covers(dot)
        if not operation.is_delete:
            return False
        # A delete without a context covers what its node held. If it took effect it left a tombstone there.
        return any(
            write.dot != dot
            and vector.covers(write.dot)
            and write.vector is not None
            and write.vector.covers(dot)
            for writes in self._ledger.writes.values()
            for write in writes
            if write.key == operation.key
            and write.value is None
            and self._ledger.is_issuer(operation.node, write.dot.replica)
            and not any(
                other.node == operation.node and (other.key, other.stamp) == (write.key, write.stamp)
                for other in self._history.of_dot(write.dot)
            )
        )
