"""What the runtime measures of itself, beside the counters of its parts."""

from dataclasses import dataclass, field

from kvgossip.runtime.histogram import DURATION_BOUNDS_S, LAG_BOUNDS_S, Histogram


@dataclass(frozen=True, slots=True)
class Measures:
    """All in seconds."""

    replication_lag: Histogram = field(default_factory=lambda: Histogram(LAG_BOUNDS_S))
    commit_duration: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS_S))
    loop_lag: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS_S))
