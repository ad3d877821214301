"""A peer that holds the secret and lies for as long as one likes, to one running node.

    python -m tests.faults.frame_fuzzing --seconds 1200             what ``make fuzz-frames`` runs
    python -m tests.faults.frame_fuzzing --rng-seed 7 --examples 1  replays a failure

An *example* is one connection: a true handshake, some frames drawn by hypothesis (``hostile_frames.py``) and
some that were sent or heard before, then an honest question, whose answer shows that the node took them all.
Some connections end with what is no WebSocket frame, some are replays of an earlier handshake. Meanwhile:

* a client reads all the time, and each answer comes within ``READ_S_MAX`` and is right;
* the Merkle root changes only if an entry was sent that is well-formed;
* nothing fails inside the node, and its memory grows by ``GROWN_BYTES_MAX`` at most.
"""

import argparse
import time
from collections import Counter
from contextlib import closing
from random import Random
from threading import Event, Thread

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from kvgossip.cli.local_cluster import LocalCluster, NodeProcess
from kvgossip.runtime.websocket import OPENING_TIMEOUT_S
from tests.faults.calls import Client, get, put, status
from tests.faults.hostile_frames import BROKEN, FRAMES, decoded, is_hello, may_write, proven, told_root
from tests.faults.memory import MemoryWatch
from tests.faults.raw_peer import RawPeer, cluster_secret

READ_S_MAX = 5.0
GROWN_BYTES_MAX = 64 << 20
SILENT_S = OPENING_TIMEOUT_S + 4.0
FRAMES_KEPT = 200
EXAMPLES_A_ROUND = 50
HONEST = {f"honest{number}": "v" * number for number in range(50)}

_examples = st.lists(
    st.sampled_from(sorted(FRAMES)).flatmap(lambda kind: st.tuples(st.just(kind), FRAMES[kind])),
    min_size=30,
    max_size=150,
)


class Reader:
    """An honest client that reads all the time."""

    def __init__(self, node: NodeProcess) -> None:
        self.count = 0
        self.slowest_s = 0.0
        self.failure: str | None = None
        self._node = node
        self._stopped = Event()
        self._thread = Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        client = Client(self._node, timeout_s=READ_S_MAX)
        keys = sorted(HONEST)
        while not self._stopped.wait(0.02):
            key = keys[self.count % len(keys)]
            began_s = time.monotonic()
            try:
                body = client.get(key).body
            except Exception as error:
                self.failure = f"GET {key}: {error!r} after {time.monotonic() - began_s:.2f} s"
                return
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            if body != HONEST[key].encode():
                self.failure = f"GET {key} answers {body!r}"
                return
            self.count += 1


class Liar:
    """Tells one node lies, and holds it to what it may do about them."""

    def __init__(self, node: NodeProcess, rng: Random) -> None:
        self.sent: Counter[str] = Counter()
        self.refused_count = 0
        """Frames that are no message, so the node must count at least as many."""
        self._node = node
        self._rng = rng
        self._kept: list[bytes] = []
        self._handshake: list[bytes] = []
        self._root = self._settled_root()

    def lie(self, frames: list[tuple[str, bytes]]) -> None:
        """One example."""
        rng = self._rng
        frames += [("replay", rng.choice(self._kept)) for _ in range(5) if self._kept]
        wrote = False
        with closing(proven(self._node)) as peer:
            for kind, frame in frames:
                if not is_hello(frame):
                    peer.send(frame)
                    self._note(kind, frame)
                    wrote |= may_write(frame)
            root = told_root(peer)
            if rng.random() < 0.05:
                self._break(peer)
        if wrote:
            self._root = self._settled_root()
        else:
            assert root == self._root, "the root has changed, and no well-formed entry was sent"
        if rng.random() < 0.02:
            self._replay_handshake()

    def check(self) -> None:
        """After all: what the node says of itself."""
        told = status(self._node)
        assert told["is_ready"]
        assert told["read_only_because"] is None
        assert told["counters"]["internal_errors"] == 0
        assert told["counters"]["frames_refused"] >= self.refused_count
        assert "Traceback" not in self._node.log.read_text()
        for key, value in HONEST.items():
            assert get(self._node, key).body == value.encode()

    def _note(self, kind: str, frame: bytes) -> None:
        self.sent[kind] += 1
        self.refused_count += decoded(frame) is None
        if len(frame) < 10_000:
            self._kept.append(frame)
        if len(self._kept) > FRAMES_KEPT:
            del self._kept[self._rng.randrange(FRAMES_KEPT)]

    def _break(self, peer: RawPeer) -> None:
        kind = self._rng.choice(sorted(BROKEN))
        BROKEN[kind](peer)
        assert peer.is_closed(SILENT_S), f"the node bears {kind}"
        self.sent[f"no frame: {kind}"] += 1

    def _replay_handshake(self) -> None:
        if not self._handshake:
            with closing(RawPeer(self._node)) as peer:
                peer.shake_hands(cluster_secret(self._node), self._handshake)
        with closing(RawPeer(self._node)) as peer:
            for frame in self._handshake:
                peer.send(frame)
            assert peer.is_closed(SILENT_S), "the node bears a replayed handshake"
        self.sent["replayed handshake"] += 1

    def _settled_root(self) -> int:
        """The root once all that was sent so far is committed: an honest write waits for it."""
        assert put(self._node, "settled", f"{self.sent.total()}").status in (201, 204)
        with closing(proven(self._node)) as peer:
            return told_root(peer)


def fuzz(node: NodeProcess, *, seconds: float, examples: int, rng_seed: int) -> Liar:
    """Lie for so many seconds, or examples if that is less. Raises on the first violation."""
    for key, value in HONEST.items():
        assert put(node, key, value).status == 201
    rng = Random(rng_seed)
    liar, memory, began_s = Liar(node, rng), MemoryWatch(node), time.monotonic()
    with Reader(node) as reader:
        while examples > 0 and time.monotonic() - began_s < seconds and reader.failure is None:
            _lie_some(liar, min(examples, EXAMPLES_A_ROUND), rng.getrandbits(32))
            examples -= EXAMPLES_A_ROUND
            node.check_alive()
            memory.look(f"{liar.sent.total():,} frames")
    assert reader.failure is None, reader.failure
    liar.check()
    assert reader.slowest_s < READ_S_MAX, f"a read took {reader.slowest_s:.1f} s"
    print(f"{reader.count:,} honest reads, the slowest {reader.slowest_s:.2f} s")
    print(memory)
    assert memory.grown_bytes < GROWN_BYTES_MAX, "the memory has grown"
    return liar


def _lie_some(liar: Liar, examples: int, rng_seed: int) -> None:
    @seed(rng_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(frames=_examples)
    def lie(frames: list[tuple[str, bytes]]) -> None:
        liar.lie(frames)

    lie()


def main() -> None:
    parser = argparse.ArgumentParser(description="Lie to a node as a peer that holds the secret.")
    parser.add_argument("--seconds", type=float, default=1_200, help="begin no round later (default 1200)")
    parser.add_argument("--examples", type=int, default=1 << 30, help="connections at most")
    parser.add_argument("--rng-seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"--rng-seed {arguments.rng_seed}", flush=True)
    began_s = time.monotonic()
    with LocalCluster(1) as cluster:
        node = cluster.nodes[0]
        cluster.start()
        cluster.wait_ready()
        liar = fuzz(node, seconds=arguments.seconds, examples=arguments.examples, rng_seed=arguments.rng_seed)
        counters = status(node)["counters"]
    for kind, count in sorted(liar.sent.items()):
        print(f"sent     {kind:36} {count:10,}")
    for name, count in sorted(counters.items()):
        if count and not name.startswith(("bytes", "rumors", "exchanges", "recount")):
            print(f"counted  {name:36} {count:10,}")
    print(f"{liar.sent.total():,} frames in {time.monotonic() - began_s:.0f} s, no violation")


if __name__ == "__main__":
    main()
