"""The part of kustomize that docker/k8s uses: resources, labels, images, replicas, namespace, JSON patches.

A field of a kustomization that is not understood here is an error, so that none is passed over in silence.
The true kustomize was run by hand, and made the same (docs/KUBERNETES.md).
"""

import copy
from pathlib import Path
from typing import cast

import yaml

from tests.deploy.documents import Yaml, at, items, load, mapping

_FIELDS = {
    "apiVersion",
    "kind",
    "resources",
    "labels",
    "images",
    "namespace",
    "replicas",
    "patches",
}


def build(folder: Path) -> list[dict[str, Yaml]]:
    """The resources that ``kubectl kustomize`` would print, in the order of the files."""
    kustomization = mapping(load(folder / "kustomization.yaml"))
    assert set(kustomization) <= _FIELDS, set(kustomization) - _FIELDS
    resources: list[dict[str, Yaml]] = []
    for name in cast(list[str], kustomization["resources"]):
        path = folder / name
        if path.is_dir():
            resources += build(path)
        else:
            resources += [mapping(document) for document in yaml.safe_load_all(path.read_text())]
    resources = copy.deepcopy(resources)
    for rule in items(kustomization.get("labels", [])):
        for resource in resources:
            mapping(at(resource, "metadata", "labels")).update(mapping(rule["pairs"]))
    for rule in items(kustomization.get("images", [])):
        assert sum(_rename_image(resource, rule) for resource in resources), rule
    for rule in items(kustomization.get("replicas", [])):
        for resource in _named(resources, "StatefulSet", rule["name"]):
            mapping(resource["spec"])["replicas"] = rule["count"]
    for rule in items(kustomization.get("patches", [])):
        target = mapping(rule["target"])
        for resource in _named(resources, target["kind"], target["name"]):
            for operation in items(cast(Yaml, yaml.safe_load(str(rule["patch"])))):
                _patch(resource, operation)
    if "namespace" in kustomization:
        for resource in resources:
            if resource["kind"] != "Namespace":
                mapping(resource["metadata"])["namespace"] = kustomization["namespace"]
    return resources


def _named(resources: list[dict[str, Yaml]], kind: Yaml, name: Yaml) -> list[dict[str, Yaml]]:
    found = [r for r in resources if r["kind"] == kind and at(r, "metadata", "name") == name]
    assert found, f"no {kind} {name}"
    return found


def _rename_image(resource: dict[str, Yaml], rule: dict[str, Yaml]) -> int:
    if resource["kind"] != "StatefulSet":
        return 0
    count = 0
    for container in items(at(resource, "spec", "template", "spec", "containers")):
        name, _, tag = str(container["image"]).partition(":")
        if name.rpartition("/")[2] == rule["name"]:
            container["image"] = f"{rule.get('newName', name)}:{rule.get('newTag', tag)}"
            count += 1
    return count


def _patch(resource: Yaml, operation: dict[str, Yaml]) -> None:
    """RFC 6902, add and replace."""
    *path, last = str(operation["path"]).lstrip("/").split("/")
    place = at(resource, *(int(step) if step.isdigit() else step for step in path))
    value = copy.deepcopy(operation["value"])
    if isinstance(place, list):
        assert (operation["op"], last) == ("add", "-"), operation
        place.append(value)
    else:
        assert operation["op"] == "add" or last in mapping(place), operation
        mapping(place)[last] = value
