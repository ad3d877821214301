"""docker/k8s: what a cluster would be told is valid, and agrees with itself and with the node's own code."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import kubernetes_validate
import pytest

from kvgossip import __version__
from kvgossip.api.router import EXACT
from kvgossip.cli.exit_code import CommandError
from kvgossip.runtime.endpoint import Endpoint
from kvgossip.runtime.settings import Settings
from tests.deploy.documents import DOCKER, Yaml, at, items, load, mapping, settings_of
from tests.deploy.kustomization import build

K8S = DOCKER / "k8s"
FOLDERS = (K8S / "base", K8S / "overlays" / "example")
VERSIONS = ("1.30", "1.37")
"""The oldest Kubernetes that knows all that is used (the pause of preStop), and a new one."""
STOP_S_MAX = 10
"""How long an orderly stop may take."""


def resources(kind: str, folder_index: int = 0) -> list[dict[str, Yaml]]:
    return [resource for resource in build(FOLDERS[folder_index]) if resource["kind"] == kind]


def statefulset(folder_index: int = 0) -> dict[str, Yaml]:
    (found,) = resources("StatefulSet", folder_index)
    return found


def pod_spec() -> Yaml:
    return at(statefulset(), "spec", "template", "spec")


def container() -> dict[str, Yaml]:
    (found,) = items(at(pod_spec(), "containers"))
    return found


def service(name: str) -> Yaml:
    (found,) = (r["spec"] for r in resources("Service") if at(r, "metadata", "name") == name)
    return found


def environment(folder_index: int = 0) -> dict[str, str]:
    """As the pod ``kvgossip-2`` would see it."""
    spec = at(statefulset(folder_index), "spec", "template", "spec", "containers", 0, "env")
    found: dict[str, str] = {}
    for variable in items(spec):
        if "valueFrom" in variable:
            assert at(variable, "valueFrom", "fieldRef", "fieldPath") == "metadata.name"
            text = "kvgossip-2"
        else:
            text = str(variable["value"])
            for name, value in found.items():
                text = text.replace(f"$({name})", value)
        assert "$(" not in text, "a variable is replaced only if it stands above"
        found[str(variable["name"])] = text
    return found


# -- the published schemas


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_resource_follows_the_published_schema(folder: Path, version: str) -> None:
    built = build(folder)
    assert len(built) >= 5
    for resource in built:
        assert kubernetes_validate.validate(resource, version, strict=True) == version


class Mistake(NamedTuple):
    name: str
    make: Callable[[dict[str, Yaml]], object]


MISTAKES = (
    Mistake("an unknown field", lambda d: mapping(d["spec"]).update(replica=3)),
    Mistake("a misspelt probe", lambda d: _container(d).update(livnessProbe={})),
    Mistake("a number as text", lambda d: mapping(_container(d)["livenessProbe"]).update(periodSeconds="5")),
    Mistake("a field that is needed", lambda d: mapping(d["spec"]).pop("selector")),
    Mistake("a field one level too high", lambda d: mapping(d["spec"]).update(containers=[])),
    Mistake("a list for a mapping", lambda d: mapping(d["spec"]).update(template=[])),
    Mistake("a mistake in a claim", lambda d: _claim(d).update(accessMode=["ReadWriteOnce"])),
    Mistake(
        "a mistake in a security context",
        lambda d: mapping(_container(d)["securityContext"]).update(readOnlyRootFs=True),
    ),
)


def _container(document: dict[str, Yaml]) -> dict[str, Yaml]:
    return mapping(at(document, "spec", "template", "spec", "containers", 0))


def _claim(document: dict[str, Yaml]) -> dict[str, Yaml]:
    return mapping(at(document, "spec", "volumeClaimTemplates", 0, "spec"))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_the_schemas_refuse_a_mistake(mistake: Mistake) -> None:
    document = copy.deepcopy(statefulset())
    mistake.make(document)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_values_that_the_schemas_leave_open_are_those_that_exist() -> None:
    spec = statefulset()["spec"]
    assert at(spec, "podManagementPolicy") == "Parallel"
    assert at(spec, "updateStrategy", "type") == "RollingUpdate"
    assert at(spec, "volumeClaimTemplates", 0, "spec", "accessModes") == ["ReadWriteOnce"]
    for constraint in items(at(pod_spec(), "topologySpreadConstraints")):
        assert constraint["whenUnsatisfiable"] in ("DoNotSchedule", "ScheduleAnyway")
    (budget,) = resources("PodDisruptionBudget")
    assert at(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow"


# -- kustomize


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_manifest_is_part_of_its_kustomization(folder: Path) -> None:
    named = cast(list[str], at(load(folder / "kustomization.yaml"), "resources"))
    listed = {name for name in named if name.endswith(".yaml")}
    assert listed == {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}


def test_the_overlay_changes_what_it_says() -> None:
    overlay = statefulset(1)
    assert at(overlay, "spec", "replicas") == 5
    assert at(overlay, "spec", "template", "spec", "containers", 0, "image") == (
        f"registry.example/kvgossip:{__version__}"
    )
    assert (
        at(overlay, "spec", "volumeClaimTemplates", 0, "spec", "resources", "requests", "storage") == "50Gi"
    )
    (namespace,) = resources("Namespace", 1)
    for resource in build(FOLDERS[1]):
        if resource["kind"] != "Namespace":
            assert at(resource, "metadata", "namespace") == at(namespace, "metadata", "name")


# -- agreement with the node


@pytest.mark.parametrize("folder_index", range(len(FOLDERS)))
def test_the_environment_is_one_that_a_node_starts_with(folder_index: int) -> None:
    given = environment(folder_index)
    assert all(name.startswith("KVGOSSIP_") for name in given)
    settings = settings_of(given)
    assert settings.node == "kvgossip-2"
    assert settings.peer_address() == "kvgossip-2.kvgossip-peers:7701"
    assert settings.api_address() == "kvgossip-2.kvgossip-peers:7700"
    assert not settings.allow_faults


def test_a_misspelt_variable_would_be_noticed() -> None:
    with pytest.raises(CommandError, match="KVGOSSIP_SEEDS"):
        settings_of(environment() | {"KVGOSSIP_SEED": "a:1"})


def test_ports_are_the_defaults_of_a_node_and_have_the_same_names_everywhere() -> None:
    default, given = Settings(), settings_of(environment())
    ports = {str(port["name"]): port["containerPort"] for port in items(container()["ports"])}
    assert ports == {
        "http": Endpoint.parse(default.listen).port,
        "peers": Endpoint.parse(default.peer_listen).port,
    }
    assert Endpoint.parse(given.listen).port == ports["http"]
    assert Endpoint.parse(given.peer_listen).port == ports["peers"]
    for name in ("kvgossip", "kvgossip-peers"):
        for port in items(at(service(name), "ports")):
            assert port["name"] == port["targetPort"]
            assert port["port"] == ports[str(port["name"])]
    (policy,) = resources("NetworkPolicy")
    rules = {at(rule, "ports", 0, "port"): "from" in rule for rule in items(at(policy, "spec", "ingress"))}
    assert rules == {"http": False, "peers": True}, "clients come from anywhere, peers from peers"


def test_probes_ask_for_paths_that_a_node_answers() -> None:
    asked = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = str(at(container(), probe, "httpGet", "path"))
        assert "GET" in EXACT[path]
        assert at(container(), probe, "httpGet", "port") == "http"
        asked[probe] = path
    assert asked["livenessProbe"] == "/livez"
    assert asked["readinessProbe"] == "/readyz"
    assert asked["startupProbe"] == "/livez", (
        "a node on a full disk is not ready, and must not be killed for it"
    )


def test_a_pod_has_the_time_that_an_orderly_stop_takes() -> None:
    pause_s = at(container(), "lifecycle", "preStop", "sleep", "seconds")
    grace_s = at(pod_spec(), "terminationGracePeriodSeconds")
    assert isinstance(pause_s, int)
    assert isinstance(grace_s, int)
    assert grace_s >= pause_s + STOP_S_MAX


def test_nodes_find_each_other_by_one_name_before_they_are_ready() -> None:
    settings = settings_of(environment())
    (seed,) = settings.seeds
    headless = at(statefulset(), "spec", "serviceName")
    assert Endpoint.parse(seed).host == headless
    assert at(service(str(headless)), "clusterIP") == "None"
    assert at(service(str(headless)), "publishNotReadyAddresses") is True
    assert settings.peer_address().split(":")[0] == f"kvgossip-2.{headless}", (
        "what the pod's name resolves to"
    )
    assert "publishNotReadyAddresses" not in mapping(service("kvgossip")), "clients go to ready nodes only"


def test_the_data_and_the_secret_are_mounted_where_the_settings_look() -> None:
    settings = settings_of(environment())
    mounts = {str(mount["name"]): mount for mount in items(container()["volumeMounts"])}
    assert settings.data_dir is not None
    assert settings.secret_file is not None
    assert str(settings.data_dir.parent) == mounts["data"]["mountPath"]
    assert str(settings.secret_file.parent) == mounts["secret"]["mountPath"]
    claims = [
        at(claim, "metadata", "name") for claim in items(at(statefulset(), "spec", "volumeClaimTemplates"))
    ]
    assert claims == ["data"]
    (volume,) = items(at(pod_spec(), "volumes"))
    assert volume["name"] == "secret"
    assert at(volume, "secret", "items", 0, "path") == settings.secret_file.name
    assert at(volume, "secret", "defaultMode") == 0o440


# -- agreement with itself


def test_every_selector_finds_the_pods() -> None:
    labels = mapping(at(statefulset(), "spec", "template", "metadata", "labels"))
    selectors = [at(statefulset(), "spec", "selector", "matchLabels")]
    selectors += [at(service(name), "selector") for name in ("kvgossip", "kvgossip-peers")]
    selectors += [at(r, "spec", "selector", "matchLabels") for r in resources("PodDisruptionBudget")]
    selectors += [at(r, "spec", "podSelector", "matchLabels") for r in resources("NetworkPolicy")]
    selectors += [
        at(constraint, "labelSelector", "matchLabels")
        for constraint in items(at(pod_spec(), "topologySpreadConstraints"))
    ]
    assert len(selectors) == 7
    for selector in selectors:
        assert mapping(selector)
        assert mapping(selector).items() <= labels.items()


def test_the_disruption_budget_leaves_a_majority() -> None:
    (budget,) = resources("PodDisruptionBudget")
    unavailable = at(budget, "spec", "maxUnavailable")
    assert unavailable == 1
    for folder_index in range(len(FOLDERS)):
        replicas = at(statefulset(folder_index), "spec", "replicas")
        assert isinstance(replicas, int)
        assert replicas - 1 > replicas / 2


def test_the_pod_is_as_confined_as_the_restricted_profile_asks() -> None:
    pod, own = at(pod_spec(), "securityContext"), container()["securityContext"]
    assert at(pod, "runAsNonRoot") is True
    assert at(pod, "seccompProfile", "type") == "RuntimeDefault"
    assert at(own, "allowPrivilegeEscalation") is False
    assert at(own, "readOnlyRootFilesystem") is True
    assert at(own, "capabilities") == {"drop": ["ALL"]}
    assert at(pod_spec(), "automountServiceAccountToken") is False
    (namespace,) = resources("Namespace", 1)
    assert at(namespace, "metadata", "labels", "pod-security.kubernetes.io/enforce") == "restricted"


def test_user_entry_point_and_version_are_those_of_the_image() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    user = at(pod_spec(), "securityContext", "runAsUser")
    assert f"USER {user}:{at(pod_spec(), 'securityContext', 'runAsGroup')}" in lines
    assert 'ENTRYPOINT ["kvgossip"]' in lines
    assert container()["args"] == ["serve"]
    assert container()["image"] == f"kvgossip:{__version__}"
