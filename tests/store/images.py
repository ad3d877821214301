"""A directory as a crash leaves it: copied while its database is open."""

from pathlib import Path
from shutil import Error, copytree, rmtree


def take_image(directory: Path, image: Path) -> Path:
    """Copy again if RocksDB made or removed files in the background meanwhile: a crash has one moment."""
    for _ in range(100):
        before = _names_and_sizes(directory)
        try:
            copytree(directory, image)
        except (Error, FileNotFoundError):
            pass
        else:
            if _names_and_sizes(directory) == before:
                return image
        rmtree(image, ignore_errors=True)
    raise AssertionError(f"{directory} did not come to rest")


def _names_and_sizes(directory: Path) -> set[tuple[str, int]]:
    found = set()
    for path in directory.iterdir():
        try:
            found.add((path.name, path.stat().st_size))
        except FileNotFoundError:
            found.add((path.name, -1))
    return found
