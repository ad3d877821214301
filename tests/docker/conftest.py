"""One image and one cluster for all tests; each test finds it whole."""

from collections.abc import Iterator

import pytest

from tests.docker.cluster import PROJECT_PREFIX, Cluster
from tests.docker.engine import build_image, need_engine, sweep


@pytest.fixture(scope="session")
def image() -> str:
    need_engine()
    return build_image()


@pytest.fixture(scope="session")
def started(image: str) -> Iterator[Cluster]:
    sweep(PROJECT_PREFIX)
    cluster = Cluster()
    try:
        cluster.up()
        cluster.wait_whole()
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    started.mend()
    return started
