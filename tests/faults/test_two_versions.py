"""Two versions in one cluster: one that says more is understood, another wire version is refused."""

from functools import partial
from pathlib import Path

import pytest

from kvgossip.cli.local_cluster import NodeProcess
from kvgossip.sim.mutant import Mutant
from kvgossip.sim.mutation import mutated_package
from tests.faults.calls import call, check_kept, converged, get, members, put, status, until
from tests.faults.conftest import MakeCluster

pytestmark = pytest.mark.faults

LATER_MINOR = Mutant(
    name="later-minor",
    path="wire/codec.py",
    old="packed: bytes = _pack((number, *_ENCODERS[number](message)))\n    return packed",
    new="""if isinstance(message, m.RootAsk):
        return msgpack.packb((125, "a message that is not invented yet"))
    packed: bytes = _pack((number, *_ENCODERS[number](message), "a field of a later version", 7))
    return packed""",
    promise="P1",
)
"""Appends two fields to each message, and says something new where an older version asks for a root."""
NEXT_WIRE = Mutant(
    name="next-wire", path="config.py", old="WIRE_VERSION = 1", new="WIRE_VERSION = 2", promise="P1"
)


def run_as(node: NodeProcess, directory: str, environment: dict[str, str]) -> None:
    node.command = ["env", "-C", directory, f"PYTHONPATH={environment['PYTHONPATH']}", *node.command]


def test_fields_and_messages_of_a_later_version_are_ignored_and_counted(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3)
    old, later, _ = cluster.nodes
    with mutated_package(LATER_MINOR) as (directory, environment):
        run_as(later, directory, environment)
        cluster.start()
        cluster.wait_ready()
        until(lambda: all(len(members(node)) == 3 for node in cluster.nodes), "all know each other")
        written = {}
        for number in range(40):
            for node in cluster.nodes:
                assert put(node, f"{node.name}-{number}", str(number)).status == 201
                written[f"{node.name}-{number}"] = str(number)
        later.kill()  # and an exchange
        for number in range(40, 80):
            assert put(old, f"{old.name}-{number}", str(number)).status == 201
            written[f"{old.name}-{number}"] = str(number)
        later.start()
        later.wait_ready()
        until(lambda: converged(cluster.nodes), "all agree")
        for node in cluster.nodes:
            check_kept(node, written)
        assert status(old)["counters"].get("frames_refused", 0) == 0  # fields alone refuse no frame
        ask_for_roots(later)
        until(lambda: status(old)["counters"].get("frames_refused", 0) >= 1, "the new message is counted")
        assert "frame-refused" in old.log.read_text()
        assert put(later, "after", "v").status == 201
        until(lambda: get(old, "after").status == 200, "they go on")
        for node in cluster.nodes:
            assert status(node)["counters"]["internal_errors"] == 0
        later.kill()


def ask_for_roots(node: NodeProcess) -> None:
    """Let a node ask the others for their roots."""
    assert call(node, "GET", "/v1/cluster/check").status == 200


def test_another_wire_version_is_refused_on_both_sides_and_both_go_on(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3)
    one, two, next_one = cluster.nodes
    with mutated_package(NEXT_WIRE) as (directory, environment):
        run_as(next_one, directory, environment)
        cluster.start()
        cluster.wait_ready()
        assert put(one, "one", "v").status == 201
        assert put(next_one, "next", "v").status == 201
        until(lambda: get(two, "one").status == 200, "those of one version gossip")
        for node in cluster.nodes:
            until(partial(says_version, node.log), f"{node.name} names both versions")
        assert get(one, "next").status == get(next_one, "one").status == 404
        assert "n3" not in members(one)
        next_one.kill()


def says_version(log: Path) -> bool:
    text = log.read_text()
    return "wire version" in text and "upgrade the older one" in text
