"""A copy of a data directory finds out, and then nothing of it is left under the dots that it shares.

Two nodes never end with one replica id, and neither does a restored directory keep its id if its dots exist
elsewhere: dots that another disk holds and the restored one does not. Once a copy says that it has issued its
writes again, no row on its disk shows a dot that it has just given up. (Those of earlier ids may be back:
others had got them.)
"""

from kvgossip.model.ids import ReplicaId
from kvgossip.node.effects import Event
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.disk_view import writes_in
from kvgossip.sim.history import History
from kvgossip.sim.ledger import Ledger


class CopiesFindOut(Checker):
    def __init__(self, history: History, ledger: Ledger) -> None:
        super().__init__(history, ledger)
        self._must_renew: dict[str, ReplicaId] = {}
        """Nodes on a restored disk whose later dots others hold, and the id that they must give up."""

    def on_replaced(self, node: str) -> None:
        disks = self._ledger.disks
        replica = disks[node].replica
        self._must_renew.clear()  # whoever knew better may be the one that is gone
        if replica is None:
            return
        mine = disks[node].clock.greatest(replica)
        if any(other.clock.greatest(replica) > mine for name, other in disks.items() if name != node):
            self._must_renew[node] = replica

    def on_event(self, node: str, event: Event) -> None:
        if event.name != "writes-reissued":
            return
        disk = self._ledger.disks[node]
        for key, row in disk.rows.items():
            for write in writes_in(key, row):
                if write.dot.replica == disk.renounced and disk.has_given_up(write.dot):
                    raise self.fail(f"{node} has issued its writes again, and still holds {write}")

    def on_settled(self, states: list[NodeState]) -> None:
        by_replica: dict[ReplicaId, str] = {}
        for state in states:
            other = by_replica.setdefault(state.replica, state.node)
            if other != state.node:
                raise self.fail(f"{state.node} and {other} both are the replica {state.replica:016x}")
            if self._must_renew.get(state.node) == state.replica:
                raise self.fail(
                    f"{state.node} runs on a restored disk, others hold later writes of {state.replica:016x},"
                    " and it still has that id"
                )
