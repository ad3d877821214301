"""docker/observability/grafana: the dashboard is whole and reads what a node tells. Grafana is not run."""

import json
from typing import cast

import pytest

from tests.deploy.documents import DOCKER, Yaml, at, items, load, mapping
from tests.deploy.metrics import check_expression, series_of_a_node

GRAFANA = DOCKER / "observability" / "grafana"
COLUMNS = 24
KNOWN_UNITS = {"none", "short", "ops", "s", "Bps", "bytes"}
WANTED = (
    "kvgossip_replication_lag_seconds_bucket",
    "kvgossip_requests_total",
    "kvgossip_writes_total",
    "kvgossip_exchanges_completed_total",
    "kvgossip_peer_bytes_total",
    "kvgossip_rumors_hot",
    "kvgossip_members",
    "kvgossip_commit_duration_seconds_bucket",
    "kvgossip_loop_lag_seconds_bucket",
    "kvgossip_keys",
    "kvgossip_peer_clock_offset_seconds",
    "kvgossip_resident_memory_bytes",
    "kvgossip_disk_free_bytes",
)


def dashboard() -> dict[str, Yaml]:
    return mapping(cast(Yaml, json.loads((GRAFANA / "dashboards" / "kvgossip.json").read_text())))


def panels() -> list[dict[str, Yaml]]:
    return items(dashboard()["panels"])


def targets() -> list[dict[str, Yaml]]:
    return [target for panel in panels() if panel["type"] != "row" for target in items(panel["targets"])]


def expression(target: dict[str, Yaml]) -> str:
    """As Grafana sends it, with its variables replaced."""
    text = str(target["expr"]).replace("$__rate_interval", "20s").replace("$instance", ".*")
    assert "$" not in text
    return text


def test_every_panel_reads_what_a_node_tells() -> None:
    series = series_of_a_node()
    for target in targets():
        check_expression(expression(target), series)


def test_what_an_operator_looks_for_is_there() -> None:
    everything = "\n".join(expression(target) for target in targets())
    assert [name for name in WANTED if name not in everything] == []
    for quantile in ("0.5", "0.99"):
        assert (
            f"histogram_quantile({quantile}, sum by (instance, le) (rate(kvgossip_replication_lag"
            in everything
        )


def test_panels_have_titles_units_and_legends_and_no_two_lie_on_one_place() -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in panels()]
    assert len(set(map(str, ids))) == len(ids)
    for panel in panels():
        assert panel["title"]
        x, y, width, height = (cast(int, at(panel, "gridPos", side)) for side in "xywh")
        assert 0 <= x < x + width <= COLUMNS
        cells = {(column, line) for column in range(x, x + width) for line in range(y, y + height)}
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["type"] in ("stat", "timeseries")
        assert at(panel, "fieldConfig", "defaults", "unit") in KNOWN_UNITS
        refs = [target["refId"] for target in items(panel["targets"])]
        assert len(set(map(str, refs))) == len(refs)
        if panel["type"] == "timeseries":
            assert all(target["legendFormat"] for target in items(panel["targets"]))


@pytest.mark.parametrize("part", ["panels", "templating", "annotations"])
def test_everything_asks_the_data_source_that_is_provisioned(part: str) -> None:
    (source,) = items(at(load(GRAFANA / "provisioning" / "datasources" / "prometheus.yml"), "datasources"))
    asked = {json.dumps(found, sort_keys=True) for found in _data_sources(dashboard()[part])}
    assert asked == {json.dumps({"type": source["type"], "uid": source["uid"]}, sort_keys=True)}
    services = mapping(at(load(DOCKER / "compose.yaml"), "services"))
    host = str(source["url"]).removeprefix("http://").partition(":")[0]
    assert host in services


def test_the_dashboard_is_mounted_where_grafana_is_told_to_look() -> None:
    provider = load(GRAFANA / "provisioning" / "dashboards" / "kvgossip.yml")
    place = at(provider, "providers", 0, "options", "path")
    mounts = cast(list[str], at(load(DOCKER / "compose.yaml"), "services", "grafana", "volumes"))
    inside = {mount.split(":")[1]: mount.split(":")[0] for mount in mounts}
    assert inside[str(place)] == "./observability/grafana/dashboards"
    assert inside["/etc/grafana/provisioning"] == "./observability/grafana/provisioning"
    assert "." not in str(dashboard()["uid"])


def _data_sources(value: Yaml) -> list[Yaml]:
    match value:
        case dict():
            own = [value["datasource"]] if "datasource" in value else []
            return own + [found for part in value.values() for found in _data_sources(part)]
        case list():
            return [found for part in value for found in _data_sources(part)]
        case _:
            return []
