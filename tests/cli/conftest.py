from collections.abc import Iterator

import pytest

from tests.api.served import Served, memory_node, serving


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(memory_node()) as served:
        yield served
