"""The folder of results: one JSON file each, and its plot beside it."""

import platform
from pathlib import Path

import kvgossip
from kvgossip.sim.experiments.plots import draw
from kvgossip.sim.experiments.result import Result, from_json, to_json


def write(result: Result, folder: str) -> None:
    """Raises ``ImportError`` without matplotlib; the JSON is there then."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{result.name}.json").write_text(to_json(result))
    draw_beside(result, folder)


def draw_beside(result: Result, folder: str) -> None:
    """The plot anew. Raises ``ImportError`` without matplotlib."""
    draw(result, Path(folder) / f"{result.name}.png")


def read(folder: str, name: str) -> Result:
    return from_json((Path(folder) / f"{name}.json").read_text())


def made_with() -> str:
    """Versions and the processor."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"kvgossip {kvgossip.__version__}, {python}, {_processor()}"


def _processor() -> str:
    """What Linux calls it; other systems say less."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
