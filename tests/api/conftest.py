"""Every test of the API runs twice: with the short path, and with none, so that aiohttp sees all requests."""

from collections.abc import Iterator

import pytest

from kvgossip.api.plain_request import PlainHeads
from tests.api.served import Served, memory_node, serving


@pytest.fixture(scope="module", autouse=True, params=["short", "long"])
def short_or_long(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "long":
            patch.setattr(PlainHeads, "find_request", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def served(short_or_long: None) -> Iterator[Served]:
    with serving(memory_node()) as served:
        yield served
