"""What the runtime measures of itself, beside the counters of its parts."""

from collections import Counter
from dataclasses import dataclass, field

from kvgossip.runtime.histogram import DURATION_BOUNDS_S, LAG_BOUNDS_S, Histogram


@dataclass(frozen=True, slots=True)
class Measures:
    """Histograms are in seconds."""

    replication_lag: Histogram = field(default_factory=lambda: Histogram(LAG_BOUNDS_S))
    commit_duration: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS_S))
    loop_lag: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS_S))
    writes: Counter[str] = field(default_factory=Counter)
    """Writes of clients by how they ended: ``written`` or the value of a ``Refusal``."""
    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """Requests of clients by path, method and status, as ``api/router.py`` names them."""
