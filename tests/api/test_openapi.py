"""``/openapi.json`` is what the node answers: no path, status, header or body beside it."""

from typing import cast

import pytest

from kvgossip.api import listing, openapi, router
from tests.api.fuzzing import fuzz
from tests.api.served import Served, memory_node, serving

RNG_SEED = 1
EXAMPLES = 8
"""Of each operation, once as documented and once broken: some 250 requests. ``make fuzz-http`` makes more."""


@pytest.fixture(scope="module", autouse=True)
def short_or_long() -> None:
    """Once is enough: it takes long, and nearly all that it draws takes the long path anyway."""


def test_requests_drawn_from_the_document_are_answered_as_it_says() -> None:
    with serving(memory_node(allow_faults=True)) as served:
        counts = fuzz(f"http://127.0.0.1:{served.port}", examples=EXAMPLES, rng_seed=RNG_SEED)
    documented = {f"{operation.method.upper()} {operation.path}" for operation in openapi.TABLE}
    assert documented - {operation for operation, _ in counts} <= {"GET /openapi.json"}  # asked for before
    assert {200, 201, 204, 400, 404} <= {status for _, status in counts}


def test_the_document_names_what_the_router_serves_and_no_more() -> None:
    served = {(path, method) for path, handlers in router.EXACT.items() for method in handlers}
    served |= {(f"{prefix}{{key}}", method) for prefix, _, handlers in router.KEYED for method in handlers}
    served |= {(f"{prefix}{{node}}", method) for prefix, handlers in router.NAMED for method in handlers}
    served |= {(path, method) for path in router.LISTINGS for method in ("GET", "HEAD")}
    served |= {(path, method) for path in router.QUERIED for method in ("GET", "HEAD")}
    assert {(operation.path, operation.method.upper()) for operation in openapi.TABLE} == served


def test_the_document_names_the_parameters_of_a_query_and_no_more() -> None:
    document = openapi.document()
    paths = cast(dict[str, dict[str, dict[str, list[dict[str, str]]]]], document["paths"])
    for path, methods in paths.items():
        for method, operation in methods.items():
            named = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
            if path in router.LISTINGS:
                assert named == set(listing.PARAMETERS)
            elif path in router.QUERIED:
                assert named == set(router.QUERIED[path][0])
            elif path.endswith("{key}"):
                assert named == set(router.KEY_PARAMETERS.get(method.upper(), ()))
            else:
                assert not named


def test_every_path_that_takes_get_takes_head(served: Served) -> None:
    methods = {(operation.path, operation.method) for operation in openapi.TABLE}
    assert all((path, "head") in methods for path, method in methods if method == "get")


def test_the_document_is_served(served: Served) -> None:
    answer = served.get("/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["openapi"] == "3.1.0"
    assert served.call("HEAD", "/openapi.json").headers["content-length"] == str(len(answer.body))
