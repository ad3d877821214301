"""A copy of a data directory finds out, and then nothing of it is left under the dots that it shares.

Two nodes never end with one replica id, and neither does a restored directory keep its id if its dots exist
elsewhere: dots that another disk holds and the restored one does not. It may if the first to which it gave
data had not heard of them (``docs/adr/0012``): later ones cannot tell whose they heard of. Once a copy says
that it has issued its writes again, no row on its disk shows a dot that it has just given up. (Those of
earlier ids may be back: others had got them.)
"""

from kvgossip.model.dot import Dot
from kvgossip.model.ids import ReplicaId
from kvgossip.node.effects import Event
from kvgossip.sim.checkers.base import Checker, NodeState
from kvgossip.sim.disk_view import writes_in
from kvgossip.sim.frames import Told
from kvgossip.sim.history import History
from kvgossip.sim.ledger import Ledger


class CopiesFindOut(Checker):
    def __init__(self, history: History, ledger: Ledger) -> None:
        super().__init__(history, ledger)
        self._must_renew: dict[str, Dot] = {}
        """Nodes on a restored disk whose later dots others hold, and the last dot that they have."""

    def on_replaced(self, node: str) -> None:
        disks = self._ledger.disks
        replica = disks[node].replica
        self._must_renew.clear()  # whoever knew better may be the one that is gone
        if replica is None:
            return
        mine = disks[node].clock.greatest(replica)
        if any(other.clock.greatest(replica) > mine for name, other in disks.items() if name != node):
            self._must_renew[node] = Dot(replica, mine)

    def on_sent(self, node: str, told: Told, to: str) -> None:
        last = self._must_renew.get(node)
        if last is None or not (told.entries or told.digests or told.clocks or told.roots):
            return
        if self._ledger.disks[to].clock.greatest(last.replica) <= last.counter:
            del self._must_renew[node]

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
            last = self._must_renew.get(state.node)
            if last is not None and last.replica == state.replica:
                raise self.fail(
                    f"{state.node} runs on a restored disk, others hold later writes of {state.replica:016x},"
                    " and it still has that id"
                )
