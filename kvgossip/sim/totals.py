"""What happened in many seeds together: the measure of how much a sweep has tried."""

from collections import Counter

from kvgossip.sim.fault import Fault
from kvgossip.sim.run import Report


class Totals:
    """Sums over reports."""

    def __init__(self) -> None:
        self.seed_count = 0
        self.broken_count = 0
        self.injected: Counter[Fault] = Counter()
        self.seeds_with: Counter[Fault] = Counter()
        self._counts: Counter[str] = Counter()
        self._simulated_s = 0.0

    def add(self, report: Report) -> None:
        self.seed_count += 1
        self.broken_count += report.violation is not None
        self.injected.update(report.injected)
        self.seeds_with.update(report.injected.keys())
        self._simulated_s += report.simulated_s
        self._counts["writes"] += report.operation_count
        self._counts["concurrent"] += report.concurrent_count
        self._counts["conditional"] += report.conditional_count
        self._counts["deletes of a value"] += report.covering_delete_count
        self._counts["erased by an operator"] += report.erased_count
        self._counts["exchanges broken half way"] += report.broken_exchange_count

    def text(self, real_s: float) -> str:
        """A few lines, after ``real_s`` of real time."""
        faults = ", ".join(
            f"{fault.value} {self.injected[fault]} in {self.seeds_with[fault]}"
            for fault in Fault
            if self.injected[fault]
        )
        counts = ", ".join(f"{count} {name}" for name, count in self._counts.items())
        hours = self._simulated_s / 3_600
        return (
            f"injected, in how many seeds: {faults or 'nothing'}\n"
            f"{counts}\n"
            f"{hours:.1f} simulated hours, {self._simulated_s / max(real_s, 0.001):.0f} in one of real time\n"
            f"{self.seed_count - self.broken_count} of {self.seed_count} seeds kept every promise"
        )
