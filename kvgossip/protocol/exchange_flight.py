"""Requests in flight: what one session has asked and is not done with, and when to ask it again.

All is sent again after a time-out of silence; the peer is given up after ``exchange_tries_max`` sends into
silence. A peer that talks is alive and busy, so a single request has patience for longer than that. The
time-out is learnt from what an answer takes, because a narrow link needs more than the least.

Invariant: at most ``exchange_requests_max`` requests are unanswered or wait for their merge.
"""

from dataclasses import dataclass

from kvgossip.config import Tuning
from kvgossip.model.ids import Address
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import ClockShare, Compare, ExchangeOpen, ExchangeRequest

TIMEOUT_MS_MAX = 16_000
"""Twice what a batch takes at 256 kbit/s."""
PATIENCE_TIMEOUTS = 5
"""A request is sent again after this many time-outs although the peer talks: lost, not queued."""
OPENING_SEQUENCE = 0
OPENING_TRIES_MAX = 3
"""Of an opening: who does not answer it may be out of reach, and others wait meanwhile."""


@dataclass(slots=True)
class Request:
    """One request that is unanswered or, ``is_merging``, whose answer is on its way to the disk."""

    message: ExchangeOpen | ExchangeRequest
    patience_ms: int
    """For how long it may stay unanswered although the peer talks; doubled each time, for slow links."""
    patience_ends_ms: int
    sent_ms: int
    tries: int = 1
    is_merging: bool = False


class Flight:
    """The requests of one session, by sequence number."""

    def __init__(self, peer: Address, *, tuning: Tuning, outbox: Outbox, now_ms: int) -> None:
        self._peer = peer
        self._tuning = tuning
        self._outbox = outbox
        self._requests: dict[int, Request] = {}
        self._deadline_ms = now_ms
        self._timeout_ms = tuning.exchange_timeout_ms
        self.next_sequence = OPENING_SEQUENCE

    @property
    def is_empty(self) -> bool:
        return not self._requests

    @property
    def is_full(self) -> bool:
        return len(self._requests) >= self._tuning.exchange_requests_max

    @property
    def is_comparing(self) -> bool:
        """True while an answer may name further differences."""
        return any(isinstance(request.message, Compare) for request in self._requests.values())

    def send(self, message: ExchangeOpen | ExchangeRequest, now_ms: int) -> None:
        """Send what was built for ``next_sequence``."""
        # Small answers overtake bulk, so who talks and does not give them has not been asked.
        timeouts = 1 if isinstance(message, ExchangeOpen | ClockShare) else PATIENCE_TIMEOUTS
        patience_ms = timeouts * self._tuning.exchange_timeout_ms
        self._requests[self.next_sequence] = Request(message, patience_ms, now_ms + patience_ms, now_ms)
        self.next_sequence += 1
        self._deadline_ms = now_ms + self._timeout_ms
        self._outbox.send(self._peer, message)

    def take_answered(self, sequence: int, now_ms: int) -> Request | None:
        """The request that an answer is for, which stays; None if the answer is late or doubled."""
        request = self._requests.get(sequence)
        if request is None or request.is_merging:
            return None
        self._learn_timeout(request, now_ms)
        self._deadline_ms = now_ms + self._timeout_ms
        return request

    def end(self, sequence: int) -> bool:
        """A request is done with. False if it was before."""
        return self._requests.pop(sequence, None) is not None

    def handle_heard(self, now_ms: int) -> None:
        """Any frame from the peer: it is alive and busy, so time-outs begin anew."""
        self._deadline_ms = now_ms + self._timeout_ms

    def handle_timer(self, now_ms: int, *, is_opening: bool) -> bool:
        """Send again what was not answered. False if the peer is given up."""
        is_silent = now_ms >= self._deadline_ms
        if is_silent:
            self._deadline_ms = now_ms + self._timeout_ms
            if not is_opening:  # an opening and its answer are small
                self._timeout_ms = min(2 * self._timeout_ms, TIMEOUT_MS_MAX)
        for request in self._requests.values():
            if request.is_merging or not (is_silent or now_ms >= request.patience_ends_ms):
                continue
            if is_silent:
                request.tries += 1
            else:
                request.patience_ms *= 2
            tries_max = self._tuning.exchange_tries_max
            if request.tries > (min(tries_max, OPENING_TRIES_MAX) if is_opening else tries_max):
                return False
            request.patience_ends_ms = now_ms + request.patience_ms
            self._outbox.send(self._peer, request.message)
        return True

    def next_deadline_ms(self) -> int:
        patience = [r.patience_ends_ms for r in self._requests.values() if not r.is_merging]
        return min([self._deadline_ms, *patience])

    def check_invariants(self) -> None:
        assert len(self._requests) <= self._tuning.exchange_requests_max

    def _learn_timeout(self, request: Request, now_ms: int) -> None:
        """A narrow link needs more time for a batch than the least: or it is filled with copies of answers.

        As TCP does it (Karn, Partridge 1987), only what was sent once tells how long an answer takes.
        """
        least_ms = self._tuning.exchange_timeout_ms
        learnt_ms = 2 * (now_ms - request.sent_ms) if request.tries == 1 else self._timeout_ms // 2
        self._timeout_ms = max(least_ms, min(learnt_ms, TIMEOUT_MS_MAX))
