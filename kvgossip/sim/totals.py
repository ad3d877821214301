"""What happened in many seeds together: the measure of how much a sweep has tried.

``figures`` is JSON, from which ``page`` makes ``docs/SIMULATION.md``.
"""

from collections import Counter

from kvgossip.sim.fault import Fault
from kvgossip.sim.run import Report

Figures = dict[str, object]

_PAGE = """# Seeds, run

`kvgossip sim check` runs whole clusters in simulated time: the replica and the codec as they ship, around
them a simulated network, disks, clocks and operators. A seed fixes everything: nodes, tuning, clients and
which kinds of fault. It goes through storms of writes and faults; then a connected core is healed, which must
converge while everything else stays broken; then all is healed, and must converge. Every promise of the
[README](../README.md#promises) has a checker; [MUTANTS.md](MUTANTS.md) shows that they can fail, and
[FAULTS.md](FAULTS.md) which fault is covered where.

A seed has 3 to 15 nodes, at least 500 writes on at most 50 keys, at least three kinds of fault and at least
five simulated minutes; one that amounts to less fails.
"""


class Totals:
    """Sums over reports."""

    def __init__(self) -> None:
        self.seed_count = 0
        self.broken: list[int] = []
        self.injected: Counter[Fault] = Counter()
        self.seeds_with: Counter[Fault] = Counter()
        self.nodes: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self._simulated_s = 0.0
        self._core_s: list[float] = []
        self._settled_s: list[float] = []

    @property
    def broken_count(self) -> int:
        return len(self.broken)

    def add(self, report: Report) -> None:
        self.seed_count += 1
        if report.violation is not None:
            self.broken.append(report.case.seed)
        self.injected.update(report.injected)
        self.seeds_with.update(report.injected.keys())
        self.nodes[report.node_count] += 1
        self._simulated_s += report.simulated_s
        self._core_s.append(report.core_settled_s)
        self._settled_s.append(report.settled_s)
        self._counts["writes"] += report.operation_count
        self._counts["concurrent"] += report.concurrent_count
        self._counts["conditional"] += report.conditional_count
        self._counts["deletes of a value"] += report.covering_delete_count
        self._counts["on a node alone"] += report.alone_count
        self._counts["erased by an operator"] += report.erased_count
        self._counts["reads"] += report.read_count
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

    def figures(self, command: str, where: Figures, real_s: float) -> Figures:
        """``where``: what machine, which commit."""
        return {
            "command": command,
            "environment": where,
            "seeds": self.seed_count,
            "broken": self.broken,
            "nodes": {str(count): self.nodes[count] for count in sorted(self.nodes)},
            "simulated_s": round(self._simulated_s, 1),
            "real_s": round(real_s, 1),
            "counts": dict(self._counts),
            "faults": {
                fault.value: {"injected": self.injected[fault], "seeds": self.seeds_with[fault]}
                for fault in Fault
            },
            "core_settled_s": _spread(self._core_s),
            "settled_s": _spread(self._settled_s),
        }


def page(figures: Figures) -> str:
    """``docs/SIMULATION.md``."""
    where, nodes = _items(figures["environment"]), _items(figures["nodes"])
    simulated_s, real_s = _number(figures["simulated_s"]), _number(figures["real_s"])
    core, settled = _spread_text(figures["core_settled_s"]), _spread_text(figures["settled_s"])
    broken = figures["broken"]
    assert isinstance(broken, list)
    seeds = _number(figures["seeds"])
    lines = [
        _PAGE,
        f"`{figures['command']}`, {', '.join(f'{name} {value}' for name, value in where.items())}:",
        "",
        f"* **{seeds - len(broken):.0f} of {seeds:.0f} seeds kept every promise**"
        + (f"; these did not: {', '.join(map(str, broken))}." if broken else "."),
        f"* {simulated_s / 3_600:.1f} simulated hours in {real_s / 3_600:.2f} real ones:"
        f" {simulated_s / max(real_s, 1):.0f} in one.",
        f"* Nodes, in how many seeds: {', '.join(f'{count}: {many}' for count, many in nodes.items())}.",
        f"* {', '.join(f'{count} {name}' for name, count in _items(figures['counts']).items())}.",
        f"* Simulated seconds from the heal of the core to its convergence: {core}; from the heal of all:"
        f" {settled}.",
        "",
        "| fault | times it took effect | in how many seeds |",
        "|---|---|---|",
    ]
    for name, fault in _items(figures["faults"]).items():
        counts = _items(fault)
        lines.append(f"| {name} | {counts['injected']} | {counts['seeds']} |")
    return "\n".join([*lines, ""])


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    last = len(ordered) - 1
    return {"median": ordered[last // 2], "p99": ordered[last * 99 // 100], "greatest": ordered[last]}


def _spread_text(spread: object) -> str:
    return ", ".join(f"{name} {value}" for name, value in _items(spread).items())


def _items(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return value
