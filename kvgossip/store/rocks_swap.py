"""How a repaired database takes the place of a damaged one, inside the data directory.

The copy is in ``REPAIRED``, and the directory itself may be a mount point, so files are moved one by one:

    REPAIRED/COMPLETE    the copy is whole: the old files move to ``DAMAGED``, whose earlier content goes
    REPAIRED/SWAPPING    the old files are away: those of the copy move up, and ``REPAIRED`` goes

Each step can be taken again after a crash at any point. A copy without either mark is not whole, and is
thrown away by the next repair.
"""

import os
import shutil
from pathlib import Path

COPY = "REPAIRED"
DAMAGED = "DAMAGED"
_COMPLETE = "COMPLETE"
_SWAPPING = "SWAPPING"


def begin_copy(path: Path) -> Path:
    """An empty directory for the copy."""
    copy = path / COPY
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o700)
    return copy


def mark_complete(path: Path) -> None:
    """All that the copy shall hold is on the disk."""
    (path / COPY / _COMPLETE).touch()
    sync_directory(path / COPY)
    sync_directory(path)


def finish_swap(path: Path) -> None:
    """Put a whole copy in the place of the old files; does nothing if there is none."""
    copy, damaged = path / COPY, path / DAMAGED
    if (copy / _COMPLETE).exists():
        if not damaged.exists() or (path / "CURRENT").exists():
            shutil.rmtree(damaged, ignore_errors=True)
            damaged.mkdir(mode=0o700)
            (path / "CURRENT").rename(damaged / "CURRENT")  # from now on DAMAGED is of this repair
        for file in _files(path):
            file.rename(damaged / file.name)
        sync_directory(damaged)
        sync_directory(path)
        (copy / _COMPLETE).rename(copy / _SWAPPING)
        sync_directory(copy)
    if (copy / _SWAPPING).exists():
        for file in _files(copy):
            if file.name != _SWAPPING:
                file.rename(path / file.name)
        sync_directory(path)
        shutil.rmtree(copy)
        sync_directory(path)


def sync_directory(path: Path) -> None:
    """A new name in a directory survives a power loss only after this."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(path: Path) -> list[Path]:
    return [file for file in path.iterdir() if not file.is_dir()]
