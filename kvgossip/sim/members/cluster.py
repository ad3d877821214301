"""A cluster of members in simulated time: their frames cross a network that loses, cuts and delays them.

It begins as a cluster that has been up for long: all tables are full and equal, and everybody is proven. The
same seed gives the same run, event by event.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import Load, Member, MemberRow, MemberState, Standing
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.members.node import MemberNode
from kvgossip.sim.network import Link, SimNetwork
from kvgossip.sim.scheduler import MS, Scheduler

SEED_COUNT = 3
"""The first nodes are the seeds of all."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A change in one node's table."""

    at_ms: int
    observer: ReplicaId
    kind: str
    subject: ReplicaId
    is_true: bool
    """False for a *down* of a member that runs, and is not frozen."""


class MemberCluster:
    """Nodes by number from 0; node ``i`` is replica ``i + 1``."""

    def __init__(
        self,
        node_count: int,
        seed: int,
        *,
        tuning: Tuning | None = None,
        zones: tuple[str, ...] = ("",),
        far_us: int = 0,
    ) -> None:
        """Nodes are dealt to ``zones`` in turn; a frame between zones takes ``far_us`` longer."""
        self.tuning = tuning or Tuning()
        self.rng = Random(f"members {seed}")
        self.scheduler = Scheduler()
        self.injected: Injected = Counter()
        self.network = SimNetwork(
            self.scheduler, Random(self.rng.getrandbits(64)), self._deliver, self.injected
        )
        self.seen: list[Seen] = []
        self.frame_bytes_max = 0
        self.far_bytes = 0
        self.sent_to: Counter[Address] = Counter()
        """Bytes to each address, whether anybody is there or not."""
        self._far_us = far_us
        members = [_member(number, zones[number % len(zones)]) for number in range(node_count)]
        self._seeds = tuple(member.peer for member in members[:SEED_COUNT])
        rows = [MemberRow(member, Standing(member.generation), 0) for member in members]
        met = {member.peer: member.replica for member in members}
        self.nodes = [self._start(member, rows, met) for member in members]
        self._zones = {member.peer: member.zone for member in members}
        self._at = {node.address: node for node in self.nodes}
        for node in self.nodes:
            for member in members:
                node.membership.table.prove(member.replica)
            node.take_changes()
            self._flush(node)

    # -- time

    @property
    def now_ms(self) -> int:
        return self.scheduler.now_us // MS

    def run(self, duration_ms: int) -> None:
        self.scheduler.run_until(self.scheduler.now_us + duration_ms * MS)

    def settle(self, is_done: Callable[[], bool], limit_ms: int, step_ms: int = 20) -> int | None:
        """Milliseconds until ``is_done``, or None if it is not within ``limit_ms``."""
        began_ms = self.now_ms
        while not is_done():
            if self.now_ms - began_ms >= limit_ms:
                return None
            self.run(step_ms)
        return self.now_ms - began_ms

    # -- faults

    def crash(self, node: MemberNode) -> None:
        node.is_running = False

    def restart(self, node: MemberNode, address: Address | None = None) -> MemberNode:
        """The next start of a node that is not running, with the table it had; maybe at another address."""
        assert not node.is_running
        old = node.membership.table.me
        me = replace(old, generation=Generation(old.generation + 1), version=1, peer=address or old.peer)
        again = self._start(me, node.rows(), {})
        again.sent_bytes, again.sent_frames = node.sent_bytes, node.sent_frames
        self.nodes[me.replica - 1] = self._at[me.peer] = again
        self._zones[me.peer] = me.zone
        self._flush(again)
        return again

    def join(self) -> MemberNode:
        """A new node, which knows the seeds only."""
        member = _member(len(self.nodes), "")
        node = self._start(member, [], {})
        self.nodes.append(node)
        self._at[member.peer], self._zones[member.peer] = node, member.zone
        self._flush(node)
        return node

    def freeze(self, node: MemberNode) -> None:
        node.is_frozen = True

    def thaw(self, node: MemberNode, *, timer_first: bool) -> list[Seen]:
        """It goes on where it was: with its timers, or with the frames that have piled up.

        Returns what its timers alone have made it think.
        """
        node.is_frozen = False
        before = len(self.seen)
        if timer_first:
            node.handle_timer(self.now_ms)
            self._flush(node)
        thought = self.seen[before:]
        backlog, node.backlog = node.backlog, []
        for sender, replica, data in backlog:
            node.receive(sender, replica, data, self.now_ms)
        self._flush(node)
        return thought

    def leave(self, node: MemberNode) -> None:
        """Say so, and be gone."""
        node.leave()
        self._flush(node)
        node.is_running = False

    def tell_load(self, node: MemberNode, load: Load) -> None:
        """Its load has changed."""
        table = node.membership.table
        table.set_my_load(replace(table.me, load=load))
        self._flush(node)

    def cut(self, links: Iterable[Link], fault: Fault = Fault.PARTITION) -> Callable[[], None]:
        """Returns what mends them."""
        links = list(links)
        self.network.cut(links, fault)
        return partial(self.network.mend, links, fault)

    def links_between(self, some: Iterable[MemberNode], others: Iterable[MemberNode]) -> list[Link]:
        """Both directions."""
        pairs = [(a.address, b.address) for a in some for b in others]
        return [*pairs, *((b, a) for a, b in pairs)]

    def inject(self, source: Address, target: Address, data: bytes) -> None:
        """A frame that no machine of ``source`` has made: of one that lies."""
        self.network.send(source, target, data)

    # -- queries

    @property
    def running(self) -> list[MemberNode]:
        return [node for node in self.nodes if node.is_running]

    def all_alive(self) -> bool:
        """True if every running node holds every running one alive, in its present start."""
        subjects = [(node.replica, node.membership.table.me.generation) for node in self.running]
        return all(
            observer.holds_alive(replica, generation)
            for observer in self.running
            for replica, generation in subjects
            if replica != observer.replica
        )

    def all_hold(self, replica: ReplicaId, state: MemberState) -> bool:
        """True if every other running node holds ``replica`` to be ``state``."""
        return all(node.holds(replica) is state for node in self.running if node.replica != replica)

    def all_agree(self) -> bool:
        """True if all tables are equal, record by record."""
        return len({node.membership.table.fingerprint for node in self.running}) == 1

    def sent_bytes(self) -> int:
        return sum(node.sent_bytes for node in self.nodes)

    def sent_frames(self) -> Counter[str]:
        return sum((node.sent_frames for node in self.nodes), Counter())

    def false_downs(self, since_ms: int = 0) -> list[Seen]:
        return [seen for seen in self.seen if seen.at_ms >= since_ms and not seen.is_true]

    def check(self) -> None:
        for node in self.running:
            node.check()

    # -- details

    def _start(self, me: Member, rows: list[MemberRow], met: dict[Address, ReplicaId]) -> MemberNode:
        return MemberNode(
            me,
            rows,
            seeds=self._seeds,
            met=met,
            tuning=self.tuning,
            rng=Random(self.rng.getrandbits(64)),
            now_ms=self.now_ms,
        )

    def _flush(self, node: MemberNode) -> None:
        """After every input: frames, changes, and the next timer."""
        for to, data in node.take_frames():
            self.frame_bytes_max = max(self.frame_bytes_max, len(data))
            self.sent_to[to] += len(data)
            if self._zones.get(to) == self._zones.get(node.address):
                self.network.send(node.address, to, data)
            else:
                self.far_bytes += len(data)
                self.scheduler.after(self._far_us, partial(self.inject, node.address, to, data))
        for change in node.take_changes():
            self._note(node, change.kind, change.member)
        due_us = max(node.membership.next_deadline_ms() * MS, self.scheduler.now_us)
        if node.timer_us is None or due_us < node.timer_us:
            node.timer_us = due_us
            self.scheduler.at(due_us, partial(self._ring, node, due_us))

    def _note(self, observer: MemberNode, kind: str, member: Member) -> None:
        subject = self.nodes[member.replica - 1] if member.replica <= len(self.nodes) else None
        is_there = subject is not None and subject.is_awake and not subject.is_leaving
        is_true = not (kind == "down" and is_there)
        self.seen.append(Seen(self.now_ms, observer.replica, kind, member.replica, is_true))

    def _ring(self, node: MemberNode, due_us: int) -> None:
        if node.timer_us != due_us:
            return
        node.timer_us = None
        if node.is_awake:
            node.handle_timer(self.now_ms)
            self._flush(node)

    def _deliver(self, source: Address, target: Address, data: bytes) -> None:
        node, sender = self._at.get(target), self._at.get(source)
        if node is None or sender is None or not node.is_running:
            return
        if node.is_frozen:
            node.backlog.append((source, sender.replica, data))
            return
        node.receive(source, sender.replica, data, self.now_ms)
        self._flush(node)


def _member(number: int, zone: str) -> Member:
    return Member(
        replica=ReplicaId(number + 1),
        generation=Generation(1),
        version=1,
        name=f"node-{number}",
        peer=Address(f"10.0.{number >> 8}.{number & 255}:7001"),
        api=f"10.0.{number >> 8}.{number & 255}:7000",
        software="0.1.0",
        zone=zone,
    )
