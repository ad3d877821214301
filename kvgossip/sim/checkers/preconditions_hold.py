"""A conditional write takes effect exactly if its precondition held where its node decided it.

It is decided on what the node has staged, so of several writes that demand the same version of a key at one
node, one at most is done: a version never comes back. A write that demands that there be no value says that
it made one. And a refusal tells the truth: the version demanded was not on the disk all the time from the
call to the answer. (It may have come meanwhile, by a merge; and no version that is replaced comes back.)
"""

from kvgossip.node.effects import Refusal
from kvgossip.sim.checkers.base import Checker
from kvgossip.sim.disk_view import writes_in
from kvgossip.sim.history import History, Operation
from kvgossip.sim.ledger import Ledger


class PreconditionsHold(Checker):
    def __init__(self, history: History, ledger: Ledger) -> None:
        super().__init__(history, ledger)
        self._replaced: dict[tuple[str, int, bytes, str], Operation] = {}

    def on_acked(self, operation: Operation) -> None:
        condition = operation.condition
        if condition is None:
            return
        assert operation.written is not None
        if condition.if_none_match == ("*",) and not operation.written.created:
            raise self.fail(f"{operation} demanded that there be no value, and replaced one")
        for etag in condition.if_match or ():
            place = (operation.node, self._ledger.disks[operation.node].line, operation.key, etag)
            first = self._replaced.setdefault(place, operation)
            if first is not operation:
                raise self.fail(f"{operation} and {first} both replaced the same version {etag}")

    def on_refused(self, operation: Operation) -> None:
        if operation.refusal is not Refusal.PRECONDITION_FAILED:
            return
        condition = operation.condition
        if condition is None:
            raise self.fail(f"{operation} had no precondition, and was refused for one")
        disk = self._ledger.disks[operation.node]
        row = disk.rows.get(operation.key)
        if row is None or not any(w.value and not w.value.expires_ms for w in writes_in(operation.key, row)):
            return  # no live value: then no version is matched
        held = f"{disk.row_digests[operation.key]:032x}"
        if held == operation.version_before and held in (condition.if_match or ()):
            raise self.fail(f"{operation} was refused, although {held} is what its node holds")
