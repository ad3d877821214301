"""docs/HTTP.md lists every status by its cause, and each cause has that status."""

from collections.abc import Iterator
from typing import cast

import pytest

from kvgossip.api import batch, listing, openapi
from kvgossip.api.expiry import TTL_S_MAX
from kvgossip.api.openapi import TABLE
from kvgossip.api.openapi_parts import HEADERS, PARAMETERS
from kvgossip.api.problem import Problem
from tests.api.causes import CAUSES, Cause, table
from tests.api.served import Served, memory_node, serving
from tests.docs.markdown import read, rows, section

PAGE = read("docs/HTTP.md")


@pytest.fixture(scope="module")
def served(short_or_long: None) -> Iterator[Served]:
    with serving(memory_node(allow_faults=True)) as served:
        yield served


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: f"{cause.status} {cause.problem or cause.text}")
def test_every_cause_has_its_status(served: Served, monkeypatch: pytest.MonkeyPatch, cause: Cause) -> None:
    assert cause.bring(served, monkeypatch) == (cause.status, cause.problem)


def test_the_page_has_the_table_that_is_made_from_the_causes() -> None:
    assert table() in section(PAGE, "Every status by cause"), "python -m tests.api.causes prints it"


def test_every_problem_has_a_cause() -> None:
    assert {(cause.status, cause.problem) for cause in CAUSES if cause.problem} == {
        (problem.status, problem.type.removeprefix("/problems/")) for problem in Problem
    }


def test_every_operation_is_on_the_page() -> None:
    listed = {
        (row[0].strip("`"), method) for row in rows(section(PAGE, "Paths")) for method in row[1].split(", ")
    }
    assert listed == {(operation.path, operation.method.upper()) for operation in TABLE}


def test_every_header_and_parameter_is_on_the_page() -> None:
    named = {row[0].strip("`") for row in rows(section(PAGE, "Headers")) + rows(section(PAGE, "Parameters"))}
    assert {*HEADERS, *PARAMETERS} - {"key", "node", "Date"} <= named


def test_the_limits_of_listings_batches_and_expiry_are_on_the_page() -> None:
    for limit in (
        f"{listing.LIST_LIMIT_DEFAULT} keys",
        f"{listing.LIST_LIMIT_MAX:,} at most",
        f"{listing.LIST_ROWS_MAX:,} rows",
        f"{listing.LIST_BYTES_MAX >> 20} MiB",
        f"{batch.LINE_BYTES_MAX >> 20} MiB",
        f"{batch.LINES_IN_FLIGHT_MAX} lines",
        f"{batch.BYTES_IN_FLIGHT_MAX >> 20} MiB",
        f"{TTL_S_MAX:,}",
    ):
        assert limit in PAGE, limit


def test_every_documented_status_has_a_cause_and_no_other() -> None:
    paths = cast(dict[str, dict[str, dict[str, dict[str, object]]]], openapi.document()["paths"])
    documented = {
        int(status) for methods in paths.values() for told in methods.values() for status in told["responses"]
    }
    assert documented | {405} == {cause.status for cause in CAUSES}  # 405 is for what is not in it
