"""The real input: every ``*.py`` file of the running Python's standard library."""

import sysconfig
from pathlib import Path

from kvgossip.config import KEY_BYTES_MAX, VALUE_BYTES_MAX

_FOREIGN = frozenset({"site-packages", "dist-packages"})


def find_corpus() -> tuple[dict[str, Path], list[Path]]:
    """Files by key, which is the path below the library, and the files that no node would take."""
    root = Path(sysconfig.get_path("stdlib"))
    files: dict[str, Path] = {}
    left_out: list[Path] = []
    for path in sorted(root.rglob("*.py")):
        if not path.is_file() or _FOREIGN.intersection(path.relative_to(root).parts):
            continue
        key = path.relative_to(root).as_posix()
        if _is_storable(key, path):
            files[key] = path
        else:
            left_out.append(path)
    return files, left_out


def _is_storable(key: str, path: Path) -> bool:
    try:
        return len(key.encode()) <= KEY_BYTES_MAX and path.stat().st_size <= VALUE_BYTES_MAX
    except UnicodeEncodeError:
        return False
