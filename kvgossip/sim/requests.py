"""What clients ask of nodes: each write becomes an operation of the history, each answer is judged."""

from collections.abc import Callable
from functools import partial

from kvgossip.model.dot import VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.model.value import Value
from kvgossip.node.effects import Condition, Done, Left, Now, Outcomes, Refused, Ticket, Written
from kvgossip.node.local_writes import NO_CONDITION, Write, format_etag
from kvgossip.node.replica import Replica
from kvgossip.node.status import Checked
from kvgossip.sim.checkers.base import Checker
from kvgossip.sim.connections import Feed, Note
from kvgossip.sim.history import History, Operation
from kvgossip.sim.ledger import Ledger
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import Scheduler

OnAnswer = Callable[[Operation], None]
OnChecked = Callable[[Checked], None]
OnLeft = Callable[[Left], None]


class Requests:
    """The client side of a cluster."""

    def __init__(
        self,
        scheduler: Scheduler,
        history: History,
        ledger: Ledger,
        checkers: list[Checker],
        *,
        feed: Feed,
        note: Note,
        is_alone: Callable[[SimNode], bool],
    ) -> None:
        self.concurrent_count = 0
        """Acknowledged writes whose node had not seen some other acknowledged write of the key."""
        self._scheduler = scheduler
        self._history = history
        self._ledger = ledger
        self._checkers = checkers
        self._feed = feed
        self._note = note
        self._is_alone = is_alone
        self._answers: dict[int, OnAnswer] = {}
        self._checks: dict[tuple[SimNode, Ticket], OnChecked] = {}
        self._leaves: dict[tuple[SimNode, Ticket], OnLeft] = {}

    def write(
        self,
        node: SimNode,
        key: Key,
        value: Value | None,
        context: VersionVector | None,
        on_answer: OnAnswer,
        *,
        condition: Condition | None = None,
    ) -> Operation:
        """Ask a node that is up for a put, or a delete if ``value`` is None. ``on_answer`` is called once."""
        assert node.replica is not None
        now_us = self._scheduler.now_us
        operation = self._history.invoke(
            node=node.name,
            key=key,
            value=value,
            context=context,
            before=None if node.is_frozen else node.replica.get(key),
            now_us=now_us,
            condition=condition,
        )
        held = self._ledger.disks[node.name].row_digests.get(key)
        operation.version_before = None if held is None else format_etag(held)
        operation.is_excused = now_us < node.excused_until_us or not node.is_started
        operation.is_alone = self._is_alone(node)
        self._note(node, f"invoke {operation.number} {key!r} context {context is not None}")
        self._answers[operation.number] = on_answer
        node.asked[operation.number] = operation
        self._feed(node, partial(self._invoke, node, operation))
        return operation

    def read(self, node: SimNode, key: Key) -> tuple[Entry | None, str]:
        """Read at a node that is up and not frozen: the entry and its version."""
        assert node.replica is not None
        found = node.replica.read(key)
        entry, etag = (None, "") if found is None else found
        self._history.read_count += 1
        self._note(node, f"read {key!r} {entry is not None}")
        for checker in self._checkers:
            checker.on_read(node.name, key, entry)
        return entry, etag

    def check(self, node: SimNode, on_checked: OnChecked) -> None:
        """Ask a node that is up whether the cluster has converged, as an operator would."""
        self._feed(node, partial(self._invoke_check, node, on_checked))

    def leave(self, node: SimNode, on_left: OnLeft) -> None:
        """Ask a node that is up to leave the cluster."""
        self._feed(node, partial(self._invoke_leave, node, on_left))

    def answer(self, node: SimNode, done: Done) -> None:
        """A node has answered."""
        if isinstance(done.result, Checked):
            self._checks.pop((node, done.ticket))(done.result)
            return
        if isinstance(done.result, Left):
            self._scheduler.after(0, partial(self._leaves.pop((node, done.ticket)), done.result))
            return
        operation = node.tickets.pop(done.ticket)
        del node.asked[operation.number]
        assert isinstance(done.result, Outcomes)
        (outcome,) = done.result.of_each
        match outcome:
            case Written() as written:
                disk = self._ledger.disks[node.name]
                self._history.acknowledge(operation, written, self._scheduler.now_us, line=disk.line)
                disk.acked.add(operation.number)
                self._count_concurrent(operation)
                for checker in self._checkers:
                    checker.on_acked(operation)
            case Refused() as refused:
                self._history.refuse(operation, refused, self._scheduler.now_us)
                for checker in self._checkers:
                    checker.on_refused(operation)
            case error:  # its row could not be read
                raise error
        self._note(node, f"answer {operation.number} {operation.outcome.value}")
        self._tell_client(operation)

    def lose(self, operation: Operation) -> None:
        """The node died before it answered."""
        self._history.lose(operation)
        self._tell_client(operation)

    def _invoke(self, node: SimNode, operation: Operation, replica: Replica, now: Now) -> None:
        condition = operation.condition or NO_CONDITION
        write = Write(operation.key, operation.value, operation.context, condition)
        ticket = replica.write([write], now)
        node.tickets[ticket] = operation

    def _invoke_check(self, node: SimNode, on_checked: OnChecked, replica: Replica, now: Now) -> None:
        self._checks[node, replica.check(now)] = on_checked

    def _invoke_leave(self, node: SimNode, on_left: OnLeft, replica: Replica, now: Now) -> None:
        self._leaves[node, replica.leave(now)] = on_left

    def _tell_client(self, operation: Operation) -> None:
        on_answer = self._answers.pop(operation.number)
        self._scheduler.after(0, partial(on_answer, operation))

    def _count_concurrent(self, operation: Operation) -> None:
        clock = self._ledger.disks[operation.node].clock
        self.concurrent_count += any(
            other.written is not None and not clock.covers(other.dot)
            for other in self._history.of_key(operation.key)
        )
