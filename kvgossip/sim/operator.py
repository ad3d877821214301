"""The operator: what people do to nodes and their directories.

Crash and restart are the machine's; here somebody deletes a data directory, puts an old backup back, starts a
second node on a copied one, lets a node leave, or adds one. Checkers and ledger are told, because a disk that
was replaced lost what it lost by intent: see ``sim/ledger.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kvgossip.node.effects import Left
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.disk_view import DiskView
from kvgossip.sim.node import SimNode
from kvgossip.store.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of a node's directory, and what the ledger knows of it."""

    node: SimNode
    store: MemoryStore
    view: DiskView


MakeNode = Callable[[DiskView | None], SimNode]
"""A node that was never there before, on an empty disk, told to the ledger with what it holds."""


class Operator:
    """Of one cluster. ``make_node`` makes one that is new."""

    def __init__(self, cluster: Cluster, make_node: MakeNode) -> None:
        self._cluster = cluster
        self._make_node = make_node

    def back_up(self, node: SimNode) -> Backup:
        """Copy the directory of a node that has started at least once."""
        self._cluster.note(node, "copied")
        return Backup(node, node.disk.store.copy(), self._cluster.ledger.copy_disk(node.name))

    def wipe(self, node: SimNode) -> None:
        """Stop a node and delete its directory."""
        self._cluster.crash(node, is_power_loss=False)
        node.disk.store = MemoryStore(node.secret.digest_seed)
        self._replace(node, None, "wiped")

    def restore(self, backup: Backup) -> None:
        """Stop a node and put a copy of its directory back."""
        self._cluster.crash(backup.node, is_power_loss=False)
        backup.node.disk.store = backup.store
        self._replace(backup.node, backup.view, "restored")

    def clone(self, node: SimNode) -> SimNode:
        """Start a second node on a copy of a directory."""
        backup = self.back_up(node)
        twin = self._make_node(backup.view)
        twin.disk.store = backup.store
        twin.start_count = 1  # of the directory: its first start here is no first one
        self._cluster.add(twin)
        self._cluster.start(twin)
        return twin

    def join(self) -> SimNode:
        """Start a node that was never there."""
        node = self._make_node(None)
        self._cluster.add(node)
        self._cluster.start(node)
        return node

    def leave(self, node: SimNode, on_gone: Callable[[], None]) -> None:
        """Let a node announce that it leaves, and stop it then."""
        start_count = node.start_count

        def stop(left: Left) -> None:
            if node.is_up and node.start_count == start_count:
                self._cluster.note(node, f"has left, {left.unshared_count} unshared")
                self._cluster.crash(node, is_power_loss=False)
                on_gone()

        self._cluster.requests.leave(node, stop)

    def _replace(self, node: SimNode, view: DiskView | None, how: str) -> None:
        cluster = self._cluster
        cluster.note(node, how)
        cluster.ledger.replace(node.name, view)
        for operation in cluster.history.acked():
            if not cluster.ledger.is_held(operation):
                cluster.note(node, f"erases operation {operation.number}")
                cluster.history.erase(operation)
        for checker in cluster.checkers:
            checker.on_replaced(node.name)
