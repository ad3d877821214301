"""When to exchange, and with whom: one exchange at a time, so that bulk is pulled from one peer at a time.

Periodically with a random live peer, jittered; and at once with peers that are *wanted*: at a start, a join,
a heal, when a rumor was dropped, and once more after an exchange that ended with different roots (writes
arrived meanwhile: they cost a repeat at most). One that was put off is tried again soon.

One that broke is followed at once by one with another peer. It is tried again later and later, in turns
with those that are wanted, and not chosen by chance while there are others: a member may be alive, as its
neighbours say, and yet out of this node's reach, and who waits for such members does not come to those that
answer.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address
from kvgossip.protocol.exchange import Exchange, Phase
from kvgossip.protocol.zones import choose_by_zone

FEW_PEERS = 2
PUT_OFF_MS = 100
"""A peer that was busy is tried again after this, and up to twice as long."""
BROKEN_MS = 500
BROKEN_DOUBLINGS_MAX = 4
"""One that broke is tried again after half a second, doubled while those with its peer break in a row."""

Begin = Callable[[Address, int], Exchange]
"""Open an exchange with a peer, at a time."""
IsReceiving = Callable[[int], bool]
"""True while an exchange that a peer asked for brings entries: our own waits for its end."""


@dataclass(slots=True)
class _Broken:
    """A peer with which the last exchange broke."""

    in_a_row: int
    again_ms: int | None
    """When to try again; None: now, when it is its turn."""


class AntiEntropy:
    """The exchange under way, and those that are to follow."""

    def __init__(
        self, tuning: Tuning, rng: Random, begin: Begin, is_receiving: IsReceiving, now_ms: int
    ) -> None:
        self._tuning = tuning
        self._rng = rng
        self._begin = begin
        self._is_receiving = is_receiving
        self._look_again_ms: int | None = None
        self._targets: Sequence[Address] = ()
        self._near: Sequence[Address] = ()
        self._far: Sequence[Address] = ()
        self._wanted: dict[Address, bool] = {}
        """In order of wish; the value says that it is a repeat, which is not repeated."""
        self._put_off: dict[Address, int] = {}
        """When to try again peers of which either side was busy."""
        self._broken: dict[Address, _Broken] = {}
        self._is_repeat = False
        self._was_retry = False
        self._next_at_ms = self._jittered(now_ms)
        self.is_paused = False
        """While True nothing is opened."""
        self.current: Exchange | None = None
        self.completed_count = 0
        self.broken_count = 0
        self.put_off_count = 0

    def set_targets(self, targets: Sequence[Address], far: Collection[Address] = ()) -> None:
        """The live peers, by now; ``far``: those of them in other zones.

        An exchange with another one is over: it keeps those with them waiting.
        """
        self._targets = tuple(targets)
        self._near = tuple(address for address in targets if address not in far)
        self._far = tuple(far)
        if self.current is not None and self.current.peer not in targets:
            self.current.break_off()
        present = set(targets)
        for address in [a for a in self._wanted if a not in present]:
            del self._wanted[address]
        for waiting in (self._put_off, self._broken):
            for address in [a for a in waiting if a not in present]:
                del waiting[address]

    @property
    def target_count(self) -> int:
        return len(self._targets)

    def want(self, peer: Address, now_ms: int) -> None:
        """Exchange with ``peer`` as soon as the one under way is over."""
        self._wanted[peer] = False
        self._proceed(now_ms)

    def want_soon(self, peer: Address, now_ms: int) -> None:
        """The same, unless ``peer`` has settled it by then: of two nodes that meet, one opens at once."""
        self._put_off.setdefault(peer, self._soon(now_ms, PUT_OFF_MS))

    def handle_settled(self, peer: Address) -> None:
        """An exchange that ``peer`` asked for found, or made, both sides equal."""
        self._wanted.pop(peer, None)
        self._put_off.pop(peer, None)
        self._broken.pop(peer, None)

    def want_any(self, now_ms: int) -> None:
        """Exchange with some live peer as soon as the one under way is over."""
        if self._targets and not self._wanted:
            for peer in self._choose_unbroken() or self._choose():
                self.want(peer, now_ms)

    def handle_rumors_dropped(self, now_ms: int) -> None:
        """Rumors were given up that some peer may lack. Few peers are all asked: no other will soon."""
        if len(self._targets) > FEW_PEERS:
            self.want_any(now_ms)
            return
        for peer in self._targets:
            self._wanted.setdefault(peer, False)
        self._proceed(now_ms)

    def handle_progress(self, now_ms: int) -> None:
        """The current exchange may be over: see what follows."""
        self._proceed(now_ms)

    def handle_timer(self, now_ms: int) -> None:
        if self.current is not None:
            self.current.handle_timer(now_ms)
        if now_ms >= self._next_at_ms:
            self._next_at_ms = self._jittered(now_ms)
            self.want_any(now_ms)
        for peer in [peer for peer, at_ms in self._put_off.items() if at_ms <= now_ms]:
            del self._put_off[peer]
            self._wanted.setdefault(peer, False)
        for broken in self._broken.values():
            if broken.again_ms is not None and broken.again_ms <= now_ms:
                broken.again_ms = None
        self._proceed(now_ms)

    def next_deadline_ms(self) -> int | None:
        deadline = None if self.current is None else self.current.next_deadline_ms()
        again = [] if deadline is None else [deadline]
        if self._look_again_ms is not None:
            again.append(self._look_again_ms)
        again += [broken.again_ms for broken in self._broken.values() if broken.again_ms is not None]
        return min([self._next_at_ms, *again, *self._put_off.values()])

    def _proceed(self, now_ms: int) -> None:
        ended = self.current
        if ended is not None:
            if not ended.is_over:
                return
            self.current = None
            self._count(ended, now_ms)
        self._look_again_ms = None
        while self.current is None and not self.is_paused:
            peer = self._next_peer()
            if peer is None:
                return
            if self._is_receiving(now_ms):
                self._look_again_ms = now_ms + PUT_OFF_MS
                return
            self._was_retry = peer not in self._wanted
            self._is_repeat = self._wanted.pop(peer, False)
            self.current = self._begin(peer, now_ms)

    def _next_peer(self) -> Address | None:
        """In turns, if there are both: who is wanted, and one to try again."""
        wanted = next(iter(self._wanted), None)
        again = next((peer for peer, broken in self._broken.items() if broken.again_ms is None), None)
        return wanted if again is None or (wanted is not None and self._was_retry) else again

    def _count(self, ended: Exchange, now_ms: int) -> None:
        peer = ended.peer
        broken = self._broken.pop(peer, None)
        match ended.phase:
            case Phase.COMPLETE:
                self.completed_count += 1
                if ended.roots_differ_at_end and not self._is_repeat and peer in self._targets:
                    self._wanted.setdefault(peer, True)
            case Phase.PUT_OFF:
                self.put_off_count += 1
                if peer in self._targets:
                    self._put_off[peer] = self._soon(now_ms, PUT_OFF_MS)
            case _:
                self.broken_count += 1
                if peer in self._targets:
                    before = 0 if broken is None else broken.in_a_row
                    delay_ms = BROKEN_MS << min(before, BROKEN_DOUBLINGS_MAX)
                    self._broken[peer] = _Broken(before + 1, self._soon(now_ms, delay_ms))
                    if not self._wanted:
                        self._wanted.update(dict.fromkeys(self._choose_unbroken(), False))

    def _choose_unbroken(self) -> list[Address]:
        return self._choose(lambda peer: peer not in self._broken)

    def _choose(self, is_open: Callable[[Address], bool] = lambda _: True) -> list[Address]:
        """One of the live peers that are open, or none."""
        share = self._tuning.cross_zone_share
        return choose_by_zone(self._rng, self._near, self._far, count=1, far_share=share, is_open=is_open)

    def _soon(self, now_ms: int, delay_ms: int) -> int:
        """After ``delay_ms`` to twice as long, so that two do not meet again and again."""
        return now_ms + delay_ms + self._rng.randrange(delay_ms + 1)

    def _jittered(self, now_ms: int) -> int:
        interval = self._tuning.exchange_interval_ms
        return now_ms + interval // 2 + self._rng.randrange(interval + 1)
