"""The stores that must keep the contract, each with a disk that crashes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvgossip.store.base import Store
from kvgossip.store.memory import MemoryStore
from kvgossip.store.rocks import RocksStore
from tests.store.images import take_image
from tests.store.rows import SEED


class MemoryDisk:
    def open(self) -> Store:
        return MemoryStore(SEED)

    def crash(self, store: Store, *, digest_seed: int = SEED) -> Store:
        """What a node finds that starts after a crash."""
        assert isinstance(store, MemoryStore)
        return store.reopen(digest_seed)

    def close(self) -> None: ...


class RocksDisk:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._opened: list[RocksStore] = []

    def open(self) -> Store:
        return self._open(self._directory / "0", SEED)

    def crash(self, store: Store, *, digest_seed: int = SEED) -> Store:
        """The files are copied while the store is open: nothing was flushed for the new one."""
        count = len(self._opened)
        image = take_image(self._directory / f"{count - 1}", self._directory / f"{count}")
        return self._open(image, digest_seed)

    def close(self) -> None:
        for store in self._opened:
            store.close()

    def _open(self, path: Path, digest_seed: int) -> Store:
        self._opened.append(RocksStore(path, digest_seed))
        return self._opened[-1]


Disk = MemoryDisk | RocksDisk


@pytest.fixture(params=["memory", "rocks"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    disk = MemoryDisk() if request.param == "memory" else RocksDisk(tmp_path)
    yield disk
    disk.close()


@pytest.fixture
def store(disk: Disk) -> Store:
    return disk.open()
