"""A set of replicas from which random ones are drawn at once, however large it is.

Invariant: ``_index`` says where in ``_order`` a replica is. Removal puts the last one into the gap, so the
order depends on nothing but the history of the set.
"""

from collections.abc import Sequence

from kvgossip.model.ids import ReplicaId


class ReplicaPool:
    """Every operation takes constant time."""

    __slots__ = ("_index", "_order")

    def __init__(self) -> None:
        self._order: list[ReplicaId] = []
        self._index: dict[ReplicaId, int] = {}

    @property
    def order(self) -> Sequence[ReplicaId]:
        """All of them, to draw from. It changes with the pool."""
        return self._order

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, replica: ReplicaId) -> bool:
        return replica in self._index

    def add(self, replica: ReplicaId) -> None:
        if replica not in self._index:
            self._index[replica] = len(self._order)
            self._order.append(replica)

    def discard(self, replica: ReplicaId) -> None:
        index = self._index.pop(replica, None)
        if index is None:
            return
        last = self._order.pop()
        if last != replica:
            self._order[index] = last
            self._index[last] = index
