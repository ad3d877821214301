"""One epoch of push-sum at one node: each round it halves what it holds and sends one half.

Kempe, Dobra, Gehrke, "Gossip-Based Computation of Aggregate Information" (2003), protocol Push-Sum with
uniform gossip. We leave the paper where it takes the network for reliable. A lost share would bias the
epoch, the worse the earlier it is lost, so a share is sent again until it is answered, and taken once,
however often it comes. One that nobody answers for is taken back: it was sent to a node that is gone.

Invariant: all mass of an epoch is held, or unanswered, or was held by a node that has crashed since; but for
a share that was taken by a node all of whose answers were lost.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kvgossip.model.aggregate import Mass
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.codec import EPOCH_MAX
from kvgossip.wire.messages import AggregateAnswer, AggregatePush

ANSWER_TIMEOUT_MS = 500
"""A share unanswered for so long is sent again: two round trips around the world."""
TRIES_MAX = 6
"""Sends of one share until it is taken back."""
SHARES_MAX = 4_096
"""Shares that one node takes in an epoch: honest peers send it about one a round."""
EPOCHS = EPOCH_MAX + 1
SEEN_MAX = 16
"""Masses that the spread of the estimates is taken from: eight rounds, of own and received ones."""


class EpochId(NamedTuple):
    """Which epoch. Two that are begun at once under one number differ by who began them.

    Numbers go round (serial numbers, RFC 1982), so that there is no last one for a liar to begin.
    """

    number: int
    root: ReplicaId

    def is_later(self, other: "EpochId") -> bool:
        """By number; of one number by the lesser root, who begins when all goes well."""
        ahead = self.ahead_of(other)
        return 0 < ahead < EPOCHS // 2 or (not ahead and self.root < other.root)

    def ahead_of(self, other: "EpochId") -> int:
        return (self.number - other.number) % EPOCHS

    def next(self, root: ReplicaId) -> "EpochId":
        return EpochId((self.number + 1) % EPOCHS, root)


@dataclass(slots=True)
class _Share:
    """Mass on its way."""

    to: Address
    mass: Mass
    sent_ms: int
    sent_count: int = 1


class PushSum:
    """What this node holds of an epoch, and what it has sent and nobody has answered for yet."""

    def __init__(
        self, epoch: EpochId, mass: Mass, *, ends_ms: int, sequences: Iterator[int], outbox: Outbox
    ) -> None:
        self.epoch = epoch
        self.mass = mass
        self.ends_ms = ends_ms
        self.seen: deque[Mass] = deque(maxlen=SEEN_MAX)
        self._sequences = sequences
        self._outbox = outbox
        self._unanswered: dict[int, _Share] = {}
        self._taken: set[tuple[Address, int]] = set()

    def handle_round(self, to: Address | None, now_ms: int) -> None:
        """Send a half to ``to``; with None, as nobody is live, the round passes."""
        self._send_again(now_ms)
        if to is not None:
            self.mass = self.mass.halved()
            sequence = next(self._sequences)
            self._unanswered[sequence] = _Share(to, self.mass, now_ms)
            self._send(sequence, now_ms)
        self.seen.append(self.mass)

    def take(self, sender: Address, push: AggregatePush) -> bool:
        """A share of this epoch. False if no more is taken; one that comes again changes nothing."""
        name = (sender, push.sequence)
        if name in self._taken:
            return True
        merged = self.mass.plus(push.mass)
        if not merged.is_bounded or len(self._taken) >= SHARES_MAX:
            return False
        self._taken.add(name)
        self.mass = merged
        self.seen.append(push.mass)
        return True

    def handle_answer(self, sender: Address, answer: AggregateAnswer) -> bool:
        """True if it is one to a share of this epoch. A share that was not taken comes back."""
        share = self._unanswered.get(answer.sequence)
        if share is None or share.to != sender:
            return False
        del self._unanswered[answer.sequence]
        if EpochId(answer.epoch, answer.root) != self.epoch:
            self.mass = self.mass.plus(share.mass)
        return True

    def check_invariants(self) -> None:
        assert self.mass.is_bounded
        assert len(self._taken) <= SHARES_MAX

    def _send_again(self, now_ms: int) -> None:
        for sequence, share in list(self._unanswered.items()):
            if now_ms - share.sent_ms < ANSWER_TIMEOUT_MS:
                continue
            if share.sent_count == TRIES_MAX:
                del self._unanswered[sequence]
                self.mass = self.mass.plus(share.mass)
                continue
            share.sent_ms = now_ms
            share.sent_count += 1
            self._send(sequence, now_ms)

    def _send(self, sequence: int, now_ms: int) -> None:
        share = self._unanswered[sequence]
        push = AggregatePush(*self.epoch, sequence, max(self.ends_ms - now_ms, 0), share.mass)
        self._outbox.send(share.to, push)
