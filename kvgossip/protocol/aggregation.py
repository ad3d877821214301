"""Aggregation: which epoch of push-sum this node is in, when the next one begins, and what the last one gave.

An epoch is a bounded number of rounds, then there is rest: nothing is sent. A node that hears of a later
epoch joins it with its own values. The live member with the least replica id begins one each
``aggregate_interval_ms`` by its own clock; when it does not, the next one does a little later, and so on. So
what was lost with a crashed node is lost for one epoch, and who comes and goes is counted by the next
(restarts by epochs: Jelasity, Montresor, Babaoglu, "Gossip-based Aggregation in Large Dynamic Networks",
2005).

What one bad member can do: numbers jump by ``JUMP_MAX`` at most, and a node joins ``JOINS_MAX`` epochs an
interval at most; while somebody restarts them all the time the last estimate stays, and its age tells. A node
that was led astray counts fewer than half of the members that it knows; then it forgets its epoch and takes
the next epoch that it hears of, whichever.
"""

from collections import deque
from collections.abc import Callable, Collection
from itertools import count
from math import ceil, log2
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.aggregate import NO_MASS, Aggregate, Estimate, Mass, mass_of
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.model.member import Load
from kvgossip.protocol.member_news import ChooseAddresses
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.push_sum import EpochId, PushSum
from kvgossip.wire.codec import EPOCH_MS_MAX
from kvgossip.wire.messages import AggregateAnswer, AggregatePush

ROUND_MS = 250
"""Of one half sent; the time that a share takes to arrive should be less."""
ROUNDS_BASE = 16
ROUNDS_PER_DOUBLING = 3
"""Rounds of an epoch: a half more than 1 % takes, see docs/PROTOCOL.md."""
FIRST_MS = 3_000
"""From a start, or from word of a later epoch, until this node may begin one: it is likely to hear of one."""
LATE_MS = 3_000
"""A node waits so long for each live one whose turn is before its own: an epoch reaches all meanwhile."""
JUMP_MAX = 10_000
"""By how much a number may be ahead of this node's: a week of epochs that it slept through."""
JOINS_MAX = 3
"""Epochs that a node joins in an interval: more would be one member's restarts."""

_NOBODY = ReplicaId(0)
_NO_EPOCH = EpochId(0, _NOBODY)


class Aggregation:
    """Takes part in epochs; ``aggregate`` reads the last one that ended."""

    def __init__(
        self,
        tuning: Tuning,
        rng: Random,
        outbox: Outbox,
        *,
        read_me: Callable[[], ReplicaId],
        read_live: Callable[[], Collection[ReplicaId]],
        count_members: Callable[[], int],
        choose: ChooseAddresses,
        read_load: Callable[[], Load],
        now_ms: int,
    ) -> None:
        """``read_live``: the other members that can be sent to; ``count_members``: all, this node too."""
        self._interval_ms = tuning.aggregate_interval_ms
        self._outbox = outbox
        self._read_me = read_me
        self._read_live = read_live
        self._count_members = count_members
        self._choose = choose
        self._read_load = read_load
        self._epoch = _NO_EPOCH
        self._heard = _NO_EPOCH
        """An epoch, later than its own, that this node has only heard of."""
        self._running: PushSum | None = None
        self._estimate: Estimate | None = None
        self._sequences = count(rng.randrange(1 << 24))
        """Random, so that shares of an earlier start are not taken for these."""
        self._read_ms = now_ms
        self._live: frozenset[ReplicaId] = frozenset()
        """When the epoch began here."""
        self._next_round_ms = now_ms
        self._due_ms = now_ms + FIRST_MS
        self._is_late = False
        self._takes_part = False
        """True if this node's own values are in the epoch."""
        self._joined_ms: deque[int] = deque(maxlen=JOINS_MAX)

    # -- queries

    def aggregate(self, metric: str, now_ms: int) -> Aggregate | None:
        """The last estimate; None before the first. Raises ``ValueError`` for an unknown metric."""
        return None if self._estimate is None else self._estimate.aggregate(metric, now_ms)

    # -- inputs

    def receive(self, sender: Address, message: AggregatePush | AggregateAnswer, now_ms: int) -> None:
        if isinstance(message, AggregatePush):
            self._handle_push(sender, message, now_ms)
        elif self._running is not None and self._running.handle_answer(sender, message):
            self._hear_of(EpochId(message.epoch, message.root), now_ms)

    def handle_timer(self, now_ms: int) -> None:
        running = self._running
        if running is not None and now_ms >= running.ends_ms:
            self._end(running)
        elif running is not None:
            if now_ms >= self._next_round_ms:
                self._next_round_ms = now_ms + ROUND_MS
                running.handle_round(next(iter(self._choose(1)), None), now_ms)
        elif now_ms >= self._due_ms:
            self._handle_due(now_ms)

    def next_deadline_ms(self) -> int:
        running = self._running
        return self._due_ms if running is None else min(self._next_round_ms, running.ends_ms)

    def check_invariants(self) -> None:
        if self._running is not None:
            assert self._running.epoch == self._epoch
            self._running.check_invariants()

    # -- which epoch

    def _handle_due(self, now_ms: int) -> None:
        """An interval has passed without a later epoch."""
        me, live = self._read_me(), self._read_live()
        before_count = sum(replica < me for replica in live)
        if not live and self._count_members() > 1:
            self._due_ms = now_ms + FIRST_MS
        elif self._is_late or not before_count:
            last = self._epoch if self._heard == _NO_EPOCH else self._heard
            left_ms = epoch_ms(self._count_members()) if live else 0
            self._join(last.next(me), mass_of(self._read_load(), is_root=True), left_ms, now_ms)
        else:
            self._is_late = True
            self._due_ms = now_ms + before_count * LATE_MS

    def _handle_push(self, sender: Address, push: AggregatePush, now_ms: int) -> None:
        epoch = EpochId(push.epoch, push.root)
        if push.left_ms and self._may_join(epoch, now_ms):
            # Who comes late only passes on what it gets: its own values would not spread in time, and it
            # has not seen who came and went before.
            is_early = 2 * push.left_ms >= epoch_ms(self._count_members())
            mass = mass_of(self._read_load(), is_root=False) if is_early else NO_MASS
            self._join(epoch, mass, push.left_ms, now_ms)
        if epoch == self._epoch and self._running is not None and not self._running.take(sender, push):
            return
        self._outbox.send(sender, AggregateAnswer(*self._epoch, push.sequence))

    def _join(self, epoch: EpochId, mass: Mass, left_ms: int, now_ms: int) -> None:
        self._epoch, self._heard = epoch, _NO_EPOCH
        self._running = PushSum(
            epoch, mass, ends_ms=now_ms + left_ms, sequences=self._sequences, outbox=self._outbox
        )
        self._read_ms = self._next_round_ms = now_ms
        self._live = frozenset(self._read_live())
        self._due_ms = now_ms + self._interval_ms
        self._is_late = False
        self._takes_part = mass is not NO_MASS
        self._joined_ms.append(now_ms)
        if not left_ms:
            self._end(self._running)

    def _may_join(self, epoch: EpochId, now_ms: int) -> bool:
        """True if it is later, not by too much, and this node has not joined too many already."""
        if epoch.root == _NOBODY:
            return False
        is_bound = self._epoch != _NO_EPOCH
        if is_bound and not (epoch.is_later(self._epoch) and epoch.ahead_of(self._epoch) <= JUMP_MAX):
            return False
        oldest_ms = self._joined_ms[0] if len(self._joined_ms) == JOINS_MAX else None
        return oldest_ms is None or now_ms - oldest_ms >= self._interval_ms

    def _hear_of(self, epoch: EpochId, now_ms: int) -> None:
        """A peer is in another epoch. If that is a later one, this node's is of no use."""
        if not self._may_join(epoch, now_ms):
            return
        self._running = None
        self._heard = epoch
        self._due_ms = now_ms + FIRST_MS

    def _end(self, running: PushSum) -> None:
        self._running = None
        estimate = Estimate(
            epoch=running.epoch.number,
            read_ms=self._read_ms,
            mass=running.mass,
            seen=tuple(running.seen),
            member_count=self._count_members(),
            changed_count=len(self._live.symmetric_difference(self._read_live())),
        )
        if not estimate.is_plausible:
            self._epoch = _NO_EPOCH
        elif self._takes_part:
            self._estimate = estimate


def epoch_ms(member_count: int) -> int:
    """How long an epoch runs among so many members."""
    rounds = ROUNDS_BASE + ROUNDS_PER_DOUBLING * ceil(log2(max(member_count, 2)))
    return min(rounds * ROUND_MS, EPOCH_MS_MAX)
