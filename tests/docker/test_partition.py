"""Cuts on the network of the peers: both sides serve, each a cluster, and after a heal they are one."""

import base64
import json
from itertools import cycle

import pytest

from tests.docker.api import Api
from tests.docker.cluster import NODES, Cluster, wait_until, wait_value
from tests.docker.engine import DOCKER, attempt
from tests.docker.load import load

pytestmark = pytest.mark.docker

LEFT, RIGHT = ("n1", "n2"), ("n3", "n4", "n5")


def test_both_sides_of_a_cut_serve_and_converge_after_the_heal(cluster: Cluster) -> None:
    apis = cluster.apis()
    apis["n1"].put("cut/deleted-left", "old")
    apis["n1"].put("cut/deleted-right", "old")
    apis["n1"].put("cut/cart", "base", kind="mv")
    for api in apis.values():
        wait_value(api, "cut/deleted-left", "old")
        wait_value(api, "cut/deleted-right", "old")
    cluster.wait_whole()
    with load(list(apis.values()), "cut-load", retries=False) as written:
        cluster.partition("cut", ",".join(LEFT), ",".join(RIGHT))
        left, right = apis["n1"], apis["n4"]
        left.put("cut/left", "written on the left")
        right.put("cut/right", "written on the right")
        wait_value(apis["n2"], "cut/left", "written on the left")  # each side gossips within itself
        wait_value(apis["n5"], "cut/right", "written on the right")
        left.put("cut/both", "left")
        right.put("cut/both", "right, later")
        left.delete("cut/deleted-left")
        right.delete("cut/deleted-right")
        for side in (left, right):
            side.put("cut/cart", f"from {side is left}", kind="mv", context=_context(side, "cut/cart"))
        _both_sides_notice(cluster)
        for name in LEFT:
            assert apis[name].value("cut/right") is None
            assert apis[name].value("cut/both") == "left"
            assert apis[name].value("cut/deleted-right") == "old"
        for name in RIGHT:
            assert apis[name].value("cut/left") is None
            assert apis[name].value("cut/both") == "right, later"
            assert apis[name].value("cut/deleted-left") == "old"
        shown = cluster.partition("status").splitlines()
        assert [line.partition(" (")[0] for line in shown] == [
            "n1: does not hear n3 n4 n5",
            "n2: does not hear n3 n4 n5",
            "n3: does not hear n1 n2",
            "n4: does not hear n1 n2",
            "n5: does not hear n1 n2",
        ]
        assert all("(0 packets" not in line for line in shown), shown
        cluster.partition("heal")
    assert not written.errors
    assert len(written.acknowledged) > 100
    cluster.wait_whole()
    for api in apis.values():
        assert api.value("cut/left") == "written on the left"
        assert api.value("cut/right") == "written on the right"
        assert api.value("cut/both") == "right, later"
        assert api.value("cut/deleted-left") is None
        assert api.value("cut/deleted-right") is None
        assert _siblings(api.get("cut/cart", kind="mv").body) == {"from True", "from False"}
        for key in written.acknowledged:
            written.expect(key, api.value(key))


def test_a_cut_one_way_stops_no_data(cluster: Cluster) -> None:
    """n2 does not hear n1: no connection between the two holds, and all goes by way of the others."""
    cluster.partition("cut", "--one-way", "n1", "n2")
    for number in range(20):
        cluster.api("n1").put(f"one-way/{number}", "to n2")
        cluster.api("n2").put(f"one-way/back/{number}", "to n1")
    wait_value(cluster.api("n2"), "one-way/19", "to n2")
    wait_value(cluster.api("n1"), "one-way/back/19", "to n1")
    wait_until(lambda: "(0 packets" not in cluster.partition("status"), "packets were dropped")
    (deaf,) = (line for line in cluster.partition("status").splitlines() if "does not hear" in line)
    assert deaf.startswith("n2: does not hear n1 (")


def test_a_node_without_its_network_serves_clients_and_comes_back(cluster: Cluster) -> None:
    cluster.partition("cut", "--disconnect", "n3")
    assert "n3: disconnected" in cluster.partition("status")
    cluster.wait_state("n3", "down", seen_by=("n1",))
    cluster.api("n3").put("alone/n3", "written alone")
    cluster.api("n1").put("alone/others", "written meanwhile")
    assert cluster.api("n3").value("alone/n3") == "written alone"
    assert cluster.api("n3").value("alone/others") is None
    cluster.partition("heal")
    cluster.wait_whole()
    for api in cluster.apis().values():
        assert api.value("alone/n3") == "written alone"
        assert api.value("alone/others") == "written meanwhile"


def test_a_link_that_comes_and_goes_costs_nothing_but_time(cluster: Cluster) -> None:
    apis = cluster.apis()
    with load(list(apis.values()), "flap-load", retries=False) as written:
        for _, side in zip(range(6), cycle(("n1,n2", "n2,n3", "n5")), strict=False):
            cluster.partition("cut", side)
            cluster.partition("heal")
    assert not written.errors
    cluster.wait_whole()
    for name in NODES:
        for key in written.acknowledged:
            written.expect(key, apis[name].value(key))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("cut", "n1", "n9"), 1, "no node n9 runs"),
        (("cut", "n1,n2,n3,n4,n5"), 1, "is the whole cluster"),
        (("cut", "n1,n2", "n2,n3"), 1, "n2 is named twice"),
        (("cut",), 2, "partition.sh cut"),
        (("cut", "--one-way", "n1"), 2, "partition.sh cut"),
        (("mend",), 2, "partition.sh heal"),
    ],
)
def test_what_cannot_be_cut_is_said_and_changes_nothing(
    cluster: Cluster, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = attempt(DOCKER / "partition.sh", *words, env=cluster.environment)
    assert ended.returncode == code
    assert said in ended.stderr
    assert cluster.partition("status").splitlines() == [f"{name}: hears all" for name in NODES]


def _both_sides_notice(cluster: Cluster) -> None:
    """Until each node misses all of the other side, so that the cut is a cut."""
    for side, others in ((LEFT, RIGHT), (RIGHT, LEFT)):
        for name in others:
            cluster.wait_state(name, "down", seen_by=side)
        assert all(cluster.api(one).names("alive") == list(side) for one in side)


def _context(api: Api, key: str) -> str:
    context = api.get(key, kind="mv").headers["Kv-Context"]
    assert context is not None
    return str(context)


def _siblings(body: bytes) -> set[str]:
    return {base64.b64decode(one["value"]).decode() for one in json.loads(body)}
