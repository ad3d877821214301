"""The metrics of a real node, and what an expression of Prometheus asks for: one is held to the other."""

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

from tests.api.served import memory_node, serving

SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
    "info": ("_info",),
}
"""What a series is called, by the type of its metric."""
OF_PROMETHEUS = {
    "up": {"job", "instance"},
    "ALERTS": {"alertname", "alertstate", "severity", "instance", "job"},
}
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds to every series."""
ON_DISK = {"kvgossip_disk_free_bytes": set[str]()}
"""What a node without a data directory does not tell."""


class Selector(NamedTuple):
    """One series that an expression reads, and the labels that it names."""

    name: str
    labels: frozenset[str]
    range_s: float | None


def series_of_a_node() -> dict[str, set[str]]:
    """The name of every series that a node tells, with its labels."""
    with serving(memory_node()) as served:
        served.put("/v1/kv/a", b"1")
        text = served.get("/metrics").body.decode()
        deadline_s = time.monotonic() + 20
        while "kvgossip_keys" not in text:  # until the first walk has ended
            assert time.monotonic() < deadline_s
            text = served.get("/metrics").body.decode()
    found = dict(ON_DISK)
    for family in text_string_to_metric_families(text):
        labels = {label for sample in family.samples for label in sample.labels}
        if family.name.startswith("kvgossip_peer_") and family.type == "gauge":
            labels |= {"peer"}  # a node alone has none
        for suffix in SUFFIXES[family.type]:
            found[family.name + suffix] = labels
    return found


def selectors(expression: str) -> list[Selector]:
    """Raises ``ValueError`` if Prometheus would not parse it."""
    found: list[Selector] = []

    def visit(node: promql_parser.Expr) -> bool:
        match node:
            case promql_parser.MatrixSelector():
                found.append(_selector(node.vector_selector, node.range.total_seconds()))
            case promql_parser.VectorSelector():
                found.append(_selector(node, None))
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def grouped_labels(expression: str) -> Iterator[str]:
    """What an expression groups or joins by."""
    for listed in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        yield from (label.strip() for label in listed.split(",") if label.strip())


def check_expression(expression: str, series: dict[str, set[str]]) -> None:
    """Assert that it parses, and asks only for series and labels that exist."""
    known = series | OF_PROMETHEUS
    read = selectors(expression)
    assert read, f"{expression} reads nothing"
    labels: set[str] = set()
    for selector in read:
        assert selector.name in known, f"{selector.name} is no series of a node"
        own = known[selector.name] | SCRAPED
        assert selector.labels <= own, f"{selector.name} has no label {selector.labels - own}"
        labels |= own
    assert set(grouped_labels(expression)) <= labels, expression
    for function in ("rate", "increase"):
        for name in re.findall(rf"\b{function}\((\w+)", expression):
            assert name.endswith(("_total", "_bucket", "_count", "_sum")), f"{function} of the gauge {name}"


def _selector(node: promql_parser.VectorSelector, range_s: float | None) -> Selector:
    matchers = node.matchers.matchers
    return Selector(node.name or "", frozenset(matcher.name for matcher in matchers), range_s)
