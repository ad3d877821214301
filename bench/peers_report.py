"""The table of ``python -m bench peers``: servers below each other, loads beside."""

from typing import Any

from bench.peer_servers import LOADS, SERVERS

_TITLES = {"get": "GET", "put": "PUT", "mixed": "nine GETs to a PUT"}


def render_peers(result: dict[str, Any]) -> str:
    """Requests a second on one core, and in brackets what kvgossip does of that."""
    median, keys = result["median"], result["parameters"]["keys"]
    rows = [
        f"| {keys:,} keys | {' | '.join(_TITLES[load.name] for load in LOADS)} |",
        "|---" * (len(LOADS) + 1) + "|",
    ]
    for server in SERVERS:
        if f"get_per_s_{server.name}" in median:
            cells = [_cell(median, load.name, server.name) for load in LOADS]
            rows.append(f"| {server.title} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _cell(median: dict[str, float], load: str, server: str) -> str:
    per_s, ratio = median.get(f"{load}_per_s_{server}"), median.get(f"{load}_to_{server}")
    if per_s is None:
        return "–"
    return f"{round(per_s, -2):,.0f}" + ("" if ratio is None else f" ({ratio:.2f})")
