"""Peers that lie, with and without the cluster's secret: dropped and counted, and the data stays as it is."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from os import urandom

import pytest

from kvgossip.cli.local_cluster import NodeProcess
from kvgossip.config import FRAME_BYTES_MAX
from kvgossip.model.secret import ClusterSecret
from kvgossip.runtime.handshake import HandshakeError
from kvgossip.runtime.websocket import OPENING_TIMEOUT_S
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.faults.calls import get, put, status, until
from tests.faults.conftest import MakeCluster
from tests.faults.frame_fuzzing import fuzz
from tests.faults.hostile_frames import BOMBS, BROKEN, FRAMES, proven, told_root
from tests.faults.raw_peer import TEXT, RawPeer, cluster_secret

pytestmark = pytest.mark.faults

MEMORY_BYTES_MAX = 64 << 20
EXAMPLES, RNG_SEED = 40, 1
SILENT_S = OPENING_TIMEOUT_S + 4.0
"""A link that does not answer is given up well before."""


class Watch:
    """The node before a peer lied to it, and how it must be afterwards."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self._root = status(node)["root"]
        self._counters = dict(status(node)["counters"])
        self._memory = node.resident_bytes

    def grown(self, *names: str) -> int:
        counters = status(self._node)["counters"]
        return sum(counters[name] - self._counters.get(name, 0) for name in names if name in counters)

    def has_grown_to(self, refused: int) -> bool:
        return self.grown("frames_refused") == refused

    def check(self) -> None:
        told = status(self._node)
        assert told["root"] == self._root
        assert told["is_ready"]
        assert told["counters"]["internal_errors"] == 0
        assert "Traceback" not in self._node.log.read_text()
        assert get(self._node, "k").body == b"v"
        assert self._node.resident_bytes - self._memory < MEMORY_BYTES_MAX


@pytest.fixture
def node(make_cluster: MakeCluster) -> NodeProcess:
    node = make_cluster(1).nodes[0]
    node.start()
    node.wait_ready()
    assert put(node, "k", "v").status == 201
    return node


@pytest.fixture
def peer(node: NodeProcess) -> Iterator[RawPeer]:
    """A peer with the secret, known to the node as a replica that holds nothing."""
    with closing(proven(node)) as peer:
        yield peer


def test_bombs_from_a_peer_with_the_secret_are_dropped_and_counted(node: NodeProcess, peer: RawPeer) -> None:
    root = told_root(peer)
    watch = Watch(node)
    for name, bomb in BOMBS.items():
        before = watch.grown("frames_refused")
        began_s = time.monotonic()
        peer.send(bomb)
        until(partial(watch.has_grown_to, before + 1), f"{name} is counted", 5.0)
        assert time.monotonic() - began_s < 2, name
        watch.check()
    assert told_root(peer) == root  # the link lives on


def test_frames_made_by_hypothesis_are_dropped_and_counted(node: NodeProcess) -> None:
    """A minute's worth of ``make fuzz-frames``; replay: the module of ``fuzz`` says how."""
    watch = Watch(node)
    liar = fuzz(node, seconds=60, examples=EXAMPLES, rng_seed=RNG_SEED)
    assert set(FRAMES) <= set(liar.sent)
    assert liar.refused_count > 10 * EXAMPLES
    assert watch.grown("frames_refused") >= liar.refused_count
    assert watch.grown("entries_refused") > 0


def test_what_is_no_websocket_frame_ends_the_link_and_is_counted(node: NodeProcess) -> None:
    for kind, send in BROKEN.items():
        watch = Watch(node)
        with closing(proven(node)) as peer:
            send(peer)
            assert peer.is_closed(SILENT_S), kind
        assert watch.grown("frames_malformed", "links_silent") == 1, kind
        watch.check()


def test_text_from_a_peer_is_counted(node: NodeProcess, peer: RawPeer) -> None:
    watch = Watch(node)
    peer.send(b"hello", opcode=TEXT)
    until(lambda: watch.grown("frames_malformed") == 1, "it is counted")
    assert told_root(peer)
    watch.check()


def test_who_does_not_hold_the_secret_gets_nowhere(node: NodeProcess) -> None:
    watch = Watch(node)
    ours = cluster_secret(node)
    for secret in (
        ClusterSecret.derive(ours.cluster, None),
        ClusterSecret.derive(ours.cluster, b"another secret of some length"),
        ClusterSecret.derive("another cluster", None),
    ):
        with closing(RawPeer(node)) as peer, pytest.raises(HandshakeError):
            peer.shake_hands(secret)
    for frame in (*BOMBS.values(), urandom(500), b"\x03" + urandom(16), b"\x04", b"\x06"):
        with closing(RawPeer(node)) as peer:
            peer.send(frame)
            peer.send(codec.encode(m.RootAsk(1)))
            assert peer.is_closed(SILENT_S)
    assert watch.grown("frames_received") == 0  # nothing of it reached the replica
    watch.check()


def test_a_replayed_handshake_gets_nowhere(node: NodeProcess) -> None:
    watch = Watch(node)
    said: list[bytes] = []
    with closing(RawPeer(node)) as true:
        true.shake_hands(cluster_secret(node), said)
    assert len(said) == 2  # the hello and the proof
    received = watch.grown("frames_received")
    for _ in range(5):
        with closing(RawPeer(node)) as replayed:
            for frame in said:
                replayed.send(frame)
            replayed.send(codec.encode(m.RootAsk(1)))
            assert replayed.is_closed(SILENT_S)
    assert watch.grown("frames_received") == received
    assert "secret" in node.log.read_text()
    watch.check()


def test_a_flood_of_strangers_leaves_room_for_a_peer(node: NodeProcess) -> None:
    watch = Watch(node)
    strangers = [RawPeer(node) for _ in range(200)]
    for stranger in strangers:
        stranger.send(b"x", claimed=FRAME_BYTES_MAX)
    with closing(proven(node)) as peer:
        assert told_root(peer)
    for stranger in strangers:
        assert stranger.is_closed(SILENT_S)
        stranger.close()
    until(lambda: watch.grown("openings_failed") >= 200, "they are counted")
    watch.check()
