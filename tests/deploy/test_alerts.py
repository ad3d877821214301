"""docker/observability: Prometheus takes its files, and each alert reads what a node tells, and fires."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest

from kvgossip.node.effects import Refusal
from kvgossip.runtime.settings import Settings
from kvgossip.store.rocks_open import RESERVE_BYTES
from tests.deploy.documents import DOCKER, Yaml, at, items, load, mapping
from tests.deploy.metrics import check_expression, selectors, series_of_a_node
from tests.docs.markdown import read, rows, section

FOLDER = DOCKER / "observability"
CASES = Path(__file__).parent / "alerts.test.yml"


@pytest.fixture(scope="module")
def series() -> dict[str, set[str]]:
    return series_of_a_node()


def rules() -> list[dict[str, Yaml]]:
    groups = items(at(load(FOLDER / "alerts.yml"), "groups"))
    return [rule for group in groups for rule in items(group["rules"])]


def expression_of(alert: str) -> str:
    (found,) = (str(rule["expr"]) for rule in rules() if rule["alert"] == alert)
    return found


def test_every_alert_reads_what_a_node_tells(series: dict[str, set[str]]) -> None:
    assert len(rules()) >= 20
    for rule in rules():
        check_expression(str(rule["expr"]), series)


@pytest.mark.parametrize(
    "wrong",
    [
        "kvgossip_redy == 0",
        "kvgossip_loop_stalls > 0",
        "rate(kvgossip_replication_lag_seconds[5m])",
        'kvgossip_members{status="down"} > 0',
        "sum by (node) (kvgossip_ready)",
        "rate(kvgossip_entries[5m])",
        "vector(1)",
    ],
)
def test_an_expression_that_asks_for_what_is_not_there_is_refused(
    wrong: str, series: dict[str, set[str]]
) -> None:
    with pytest.raises(AssertionError):
        check_expression(wrong, series)


@pytest.mark.parametrize(
    "wrong", ["kvgossip_ready ==", "rate(kvgossip_dials_total)", "sum by instance (up)", ""]
)
def test_an_expression_that_does_not_parse_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        selectors(wrong)


def test_alerts_have_one_name_each_and_say_how_grave_they_are_and_what_to_do() -> None:
    names = [str(rule["alert"]) for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert str(rule["alert"]).startswith("Kvgossip")
        assert at(rule, "labels", "severity") in ("critical", "warning")
        assert set(mapping(rule["annotations"])) == {"summary", "description"}


def test_values_in_expressions_are_those_of_the_code() -> None:
    assert f"< {RESERVE_BYTES}" in expression_of("KvgossipDiskFull")
    assert f"< {RESERVE_BYTES}" in expression_of("KvgossipDiskFilling")
    faults_of_the_node = {
        Refusal.DISK_FULL,
        Refusal.DISK_FAILED,
        Refusal.READ_ONLY,
        Refusal.OVERLOADED,
        Refusal.OUTCOME_UNKNOWN,
    }
    named = "|".join(refusal.value for refusal in Refusal if refusal in faults_of_the_node)
    listed = expression_of("KvgossipWritesRefused").partition('=~"')[2].partition('"')[0]
    assert sorted(listed.split("|")) == sorted(named.split("|"))


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    fired: set[str] = set()
    for case in items(at(load(CASES), "tests")):
        for check in items(case["promql_expr_test"]):
            for sample in items(check["exp_samples"]):
                fired.add(str(sample["labels"]).partition('alertname="')[2].partition('"')[0])
    assert fired == {str(rule["alert"]) for rule in rules()}


def test_the_documentation_lists_every_alert_with_its_severity() -> None:
    listed = {row[0].strip("`"): row[1] for row in rows(section(read("docs/OBSERVABILITY.md"), "Alerts"))}
    assert listed == {str(rule["alert"]): at(rule, "labels", "severity") for rule in rules()}


def test_promtool_accepts_the_files_and_the_alerts_fire_when_they_should() -> None:
    for arguments in (
        ("check", "config", str(FOLDER / "prometheus.yml")),
        ("check", "rules", str(FOLDER / "alerts.yml")),
        ("test", "rules", str(CASES)),
    ):
        answer = promtool(*arguments)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_promtool_notices_an_alert_that_fires_at_the_wrong_time(tmp_path: Path) -> None:
    text = (FOLDER / "alerts.yml").read_text()
    wrong = text.replace("expr: kvgossip_ready == 0", "expr: kvgossip_ready == 1")
    assert wrong != text
    (tmp_path / "alerts.yml").write_text(wrong)
    (tmp_path / CASES.name).write_text(
        CASES.read_text().replace("../../docker/observability/alerts.yml", "alerts.yml")
    )
    assert promtool("test", "rules", str(tmp_path / CASES.name)).returncode != 0


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        missing = "promtool is missing, so no alert was tried: install Debian's package prometheus"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_prometheus_asks_every_node_of_compose_by_its_name() -> None:
    services = mapping(at(load(DOCKER / "compose.yaml"), "services"))
    port = Settings().listen.rpartition(":")[2]
    config = load(FOLDER / "prometheus.yml")
    assert at(config, "rule_files") == ["alerts.yml"]
    assert (FOLDER / "alerts.yml").is_file()
    (job,) = items(at(config, "scrape_configs"))
    named = {str(target) for target in cast(list[str], at(job, "static_configs", 0, "targets"))}
    named |= {
        f"{name}:{at(job, 'dns_sd_configs', 0, 'port')}"
        for name in cast(list[str], at(job, "dns_sd_configs", 0, "names"))
    }
    nodes = {
        name
        for name, service in services.items()
        if "KVGOSSIP_SEEDS" in mapping(mapping(service).get("environment", {}))
    }
    assert named == {f"{name}:{port}" for name in nodes}
    networks = [set(_names(mapping(services[name])["networks"])) for name in (*nodes, "prometheus")]
    assert set.intersection(*networks), "Prometheus and the nodes share a network"


def _names(value: Yaml) -> list[str]:
    return [str(name) for name in (value if isinstance(value, list) else mapping(value))]
