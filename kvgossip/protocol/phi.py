"""Phi accrual: how unlikely a peer's silence is, by the peer's own history.

phi = -log10(P(a heartbeat comes later than now)), with intervals taken as normally distributed over a bounded
window (Hayashibara, Défago, Yared, Katayama 2004). The window opens with a *prior*, so that two heartbeats
that come at once do not make the variance zero, and a peer that was heard once is judged, too. A pause, and
the observer's own stall, do not enter the window: they would teach it that silence is normal.
"""

from math import erfc, log10, sqrt

from kvgossip.config import Tuning

PRIOR_COUNT = 2
"""The weight of the prior against the intervals seen."""
PAUSE_FACTOR = 5
"""An interval above so many probe intervals is a pause."""
BURST_DIVISOR = 4
"""Frames closer than a probe interval over this belong to one heartbeat."""
JUDGED_MIN = 5
"""A history of fewer intervals says nothing."""
JUDGED_MEAN_FACTOR = 2
"""Nor does one whose mean is above so many probe intervals."""
PHI_MAX = 300.0


class PhiHistory:
    """The heartbeats of one peer, in constant memory: the window forgets by decay."""

    __slots__ = ("_count", "_heard_ms", "_last_ms", "_mean_ms", "_variance")

    def __init__(self) -> None:
        self._heard_ms: int | None = None
        """Of the last frame."""
        self._last_ms: int | None = None
        """Of the last heartbeat: where the next interval begins."""
        self._count = 0
        self._mean_ms = 0.0
        self._variance = 0.0

    def note(self, now_ms: int, tuning: Tuning) -> None:
        """A frame came."""
        self._heard_ms = now_ms
        if self._last_ms is None:
            self._last_ms = now_ms
            return
        interval_ms = now_ms - self._last_ms
        if interval_ms < tuning.probe_interval_ms // BURST_DIVISOR:
            return
        self._last_ms = now_ms
        if interval_ms <= PAUSE_FACTOR * tuning.probe_interval_ms:
            self._add(interval_ms, tuning.phi_window)

    def excuse(self, stall_ms: int) -> None:
        """The observer was not there for ``stall_ms``: that silence is not the peer's."""
        if self._heard_ms is not None and self._last_ms is not None:
            self._heard_ms += stall_ms
            self._last_ms += stall_ms

    def phi(self, now_ms: int, tuning: Tuning) -> float:
        """0 before the first heartbeat."""
        if self._heard_ms is None:
            return 0.0
        prior_ms = float(tuning.probe_interval_ms)
        weight = PRIOR_COUNT / (PRIOR_COUNT + self._count)
        mean_ms = weight * prior_ms + (1 - weight) * self._mean_ms
        variance = weight * (prior_ms / 2) ** 2 + (1 - weight) * self._variance
        deviation_ms = max(sqrt(variance), prior_ms / 10)
        later = erfc((now_ms - self._heard_ms - mean_ms) / (deviation_ms * sqrt(2))) / 2
        return min(-log10(later), PHI_MAX) if later > 0 else PHI_MAX

    def is_telling(self, tuning: Tuning) -> bool:
        """True if there is enough history, dense enough, for phi to acquit the peer."""
        return self._count >= JUDGED_MIN and self._mean_ms <= JUDGED_MEAN_FACTOR * tuning.probe_interval_ms

    def _add(self, interval_ms: int, window: int) -> None:
        """Exact while the window fills, exponentially forgetting from then on (Welford 1962; West 1979)."""
        self._count = min(self._count + 1, window)
        share = 1 / self._count
        difference_ms = interval_ms - self._mean_ms
        self._mean_ms += share * difference_ms
        self._variance = (1 - share) * (self._variance + share * difference_ms**2)
