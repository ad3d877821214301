"""The figures of Gossip Glomers as JSON and as Markdown: what was played, and what it cost."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from kvgossip.sim.glomers import Game, Score

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
"""Between these lines of a page the table stands."""

PLAN = (
    *(Game("mail", seed) for seed in range(5)),
    *(Game("mail", seed, duration_s=40, has_partitions=True) for seed in range(5)),
    Game("batched"),
    Game("batched", duration_s=40, has_partitions=True),
    Game("default"),
)

_HEAD = (
    "setting",
    "seed",
    "nemesis",
    "operations",
    "messages an operation",
    "of them rumors",
    "of them before the first",
    "visible: median",
    "p99",
    "max",
    "stable: median",
    "max",
    "lost",
)


def line(score: Score) -> str:
    """One line for a terminal."""
    nemesis = f", {score.partition_count} partitions" if score.game.has_partitions else ""
    return (
        f"{score.game.setting} seed {score.game.seed}{nemesis}: {_operations(score)} operations,"
        f" {score.messages_per_operation:.2f} messages each; visible after {score.visible.median_ms:.0f} ms"
        f" (median), {score.visible.max_ms:.0f} ms (max); stable after {score.stable.median_ms:.0f} and"
        f" {score.stable.max_ms:.0f} ms; {score.lost_count} lost"
    )


def as_json(scores: Sequence[Score]) -> str:
    return json.dumps([asdict(score) | _derived(score) for score in scores], indent=1) + "\n"


def table(scores: Sequence[Score]) -> str:
    rows = [_HEAD, tuple("---" for _ in _HEAD), *map(_row, scores)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_figures(page: str, scores: Sequence[Score]) -> str:
    """``page`` with the table of ``scores`` between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table(scores)}\n{END}{after}"


def _derived(score: Score) -> dict[str, float]:
    return {
        "message_count": score.message_count,
        "messages_per_operation": round(score.messages_per_operation, 3),
    }


def _row(score: Score) -> tuple[str, ...]:
    operations = _operations(score)
    rumors = score.messages.get("RumorPush", 0) + score.messages.get("RumorAnswer", 0)
    return (
        f"`{score.game.setting}`",
        str(score.game.seed),
        f"{score.partition_count} partitions" if score.game.has_partitions else "–",
        f"{operations:,}",
        f"{score.messages_per_operation:.2f}",
        f"{rumors / operations:.2f}",
        f"{score.forming_count / operations:.2f}",
        *(
            f"{latency_ms:,.0f} ms"
            for latency_ms in (
                score.visible.median_ms,
                score.visible.p99_ms,
                score.visible.max_ms,
                score.stable.median_ms,
                score.stable.max_ms,
            )
        ),
        str(score.lost_count),
    )


def _operations(score: Score) -> int:
    return score.broadcast_count + score.read_count
