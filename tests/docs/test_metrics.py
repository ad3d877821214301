"""docs/METRICS.md and a running node name the same metrics, with the same types and help."""

import json
import re
import time
from io import StringIO
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kvgossip.api import health
from kvgossip.runtime.log import Log
from kvgossip.runtime.node import Node
from kvgossip.runtime.settings import Settings
from tests.api.served import Served, memory_node, serving
from tests.docs.markdown import read, rows

LABELS_ALLOWED = {"state", "kind", "direction", "peer", "le", "version", "python"}
LABELS_ALLOWED |= {"path", "method", "status", "result"}


def disk_node(data_dir: Path) -> Node:
    """A node that has all metrics, those of its disk too."""
    settings = Settings(node="n1", listen="127.0.0.1:0", peer_listen="127.0.0.1:0", data_dir=data_dir)
    return Node(settings, log=Log(node="n1", cluster="kvgossip", stream=StringIO()))


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


def test_docs_and_node_agree_on_every_metric_its_type_and_its_help(tmp_path: Path) -> None:
    with serving(disk_node(tmp_path)) as served:
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


def test_writes_are_counted_by_result_and_requests_without_their_key() -> None:
    with serving(memory_node()) as served:
        before = scrape(served)
        served.put("/v1/kv/a", b"1")
        served.put("/v1/kv/a", b"2", If_None_Match="*")
        served.call("POST", "/v1/batch", b'{"op":"put","kind":"mv","key":"b","value":"1"}\n' * 2)
        served.get("/v1/kv/a?unknown=1")
        served.get("/v1/kv?prefix=a")
        served.call("PATCH", "/v1/kv/a")
        served.get("/nothing/here")
        after = scrape(served)
    assert 'kvgossip_writes_total{result="outcome-unknown"} 0.0' in before, "the first one is an increase"
    assert 'kvgossip_writes_total{result="written"} 3.0' in after
    assert 'kvgossip_writes_total{result="precondition-failed"} 1.0' in after
    counted = {line for line in after.splitlines() if line.startswith("kvgossip_requests_total")}
    assert counted == {
        'kvgossip_requests_total{method="PUT",path="/v1/kv/",status="201"} 1.0',
        'kvgossip_requests_total{method="PUT",path="/v1/kv/",status="412"} 1.0',
        'kvgossip_requests_total{method="POST",path="/v1/batch",status="200"} 1.0',
        'kvgossip_requests_total{method="GET",path="/v1/kv/",status="400"} 1.0',
        'kvgossip_requests_total{method="GET",path="/v1/kv",status="200"} 1.0',
        'kvgossip_requests_total{method="other",path="/v1/kv/",status="405"} 1.0',
        'kvgossip_requests_total{method="GET",path="other",status="404"} 1.0',
        'kvgossip_requests_total{method="GET",path="/metrics",status="200"} 1.0',
    }


def test_the_root_is_equal_on_nodes_that_agree_and_memory_is_told() -> None:
    with serving(memory_node()) as served:
        empty = sample(scrape(served), "kvgossip_root")
        served.put("/v1/kv/a", b"1")
        text = scrape(served)
        root = json.loads(served.get("/v1/status").body)["root"]
    assert empty == 0
    assert sample(text, "kvgossip_root") == int(root[:12], 16)
    assert 10 << 20 < sample(text, "kvgossip_resident_memory_bytes") < 4 << 30


def sample(text: str, name: str) -> float:
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")))


def test_livez_fails_when_timers_have_not_run_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(memory_node()) as served:
        assert served.get("/livez").status == 200
        monkeypatch.setattr(health, "SILENT_S_MAX", -1.0)
        assert served.get("/livez").status == 503
