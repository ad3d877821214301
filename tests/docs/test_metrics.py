"""docs/METRICS.md and a running node name the same metrics, with the same types and help."""

import re
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kvgossip.api import health
from tests.api.served import Served, memory_node, serving
from tests.docs.markdown import read, rows

LABELS_ALLOWED = {"state", "kind", "direction", "peer", "le", "version", "python"}


def scrape_all(served: Served) -> str:
    """Once the first walk through the entries has ended, and its numbers are there."""
    deadline_s = time.monotonic() + 20
    while "kvgossip_keys" not in (text := scrape(served)):
        assert time.monotonic() < deadline_s
    return text


def scrape(served: Served) -> str:
    answer = served.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.body.decode()


def test_docs_and_node_agree_on_every_metric_its_type_and_its_help() -> None:
    with serving(memory_node()) as served:
        families = list(text_string_to_metric_families(scrape_all(served)))
    told = {}
    for family in families:
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        kind = "gauge" if name.endswith("_info") else family.type
        told[name] = (kind, family.documentation)
    listed = {row[0].strip("`"): (row[1], row[-1]) for row in rows(read("docs/METRICS.md"))}
    assert told == listed


def test_names_have_the_prefix_and_base_units_and_no_label_can_hold_a_key() -> None:
    with serving(memory_node()) as served:
        served.put("/v1/kv/some-key", b"1")
        text = scrape(served)
    assert "some-key" not in text
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("kvgossip_")
        assert not re.search(r"_(ms|milliseconds|kb|mb|percent)(_|$)", family.name)
        assert family.documentation
        for sample in family.samples:
            assert set(sample.labels) <= LABELS_ALLOWED


def test_values_follow_the_node() -> None:
    with serving(memory_node()) as served:
        before = scrape(served)
        served.put("/v1/kv/a", b"1")
        after = scrape(served)
    assert "kvgossip_entries 0.0" in before
    assert "kvgossip_entries 1.0" in after
    assert 'kvgossip_members{state="alive"} 1.0' in after
    assert "kvgossip_commit_duration_seconds_count 2.0" in after, "the start, and the write"


def test_livez_fails_when_timers_have_not_run_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(memory_node()) as served:
        assert served.get("/livez").status == 200
        monkeypatch.setattr(health, "SILENT_S_MAX", -1.0)
        assert served.get("/livez").status == 503
