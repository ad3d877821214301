"""The workload: clients that write and read a few keys at several nodes, so that conflicts are common.

A client does one thing at a time. It carries the last context that it got of each ``mv`` key, sends it or
not, moves between nodes with it, and gives up waiting after a second (its operation goes on without it).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from kvgossip.config import CHUNK_BYTES
from kvgossip.model.dot import VersionVector
from kvgossip.model.ids import Key, Kind, kind_of, make_key
from kvgossip.model.mv import MvEntry
from kvgossip.model.value import Value
from kvgossip.sim.clock import EPOCH_MS
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.history import Operation
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import MS, SECOND

PATIENCE_US = 1 * SECOND


@dataclass(slots=True, eq=False)
class _Client:
    """``waits_for``: the number of the operation in flight."""

    node: SimNode
    contexts: dict[Key, VersionVector] = field(default_factory=dict)
    waits_for: int | None = None


class Workload:
    """``operation_count`` writes by ``client_count`` clients on ``keys``."""

    def __init__(
        self,
        cluster: Cluster,
        rng: Random,
        *,
        keys: Sequence[Key],
        client_count: int,
        operation_count: int,
        pause_ms: int,
    ) -> None:
        self._cluster = cluster
        self._rng = rng
        self._keys = keys
        self._left = operation_count
        self._pause_ms = pause_ms
        self._clients = [_Client(rng.choice(cluster.nodes)) for _ in range(client_count)]

    @property
    def is_done(self) -> bool:
        """True if all writes were made and all clients have stopped waiting."""
        return self._left == 0 and all(client.waits_for is None for client in self._clients)

    def start(self) -> None:
        for client in self._clients:
            self._pause(client)

    def _pause(self, client: _Client) -> None:
        """Think for a while; now and then not at all, so that writes share a batch."""
        rng = self._rng
        pause_ms = 0.0 if rng.random() < 0.2 else rng.expovariate(1 / self._pause_ms)
        self._cluster.scheduler.after(int(pause_ms * MS), partial(self._act, client))

    def _act(self, client: _Client) -> None:
        if self._left == 0:
            return
        rng = self._rng
        up = self._cluster.up_nodes()
        if not up:
            self._pause(client)
            return
        if not client.node.is_up or rng.random() < 0.2:
            client.node = rng.choice(up)
        key = rng.choice(self._keys)
        if rng.random() < 0.25:
            self._read(client, key)
            self._pause(client)
        else:
            self._write(client, key)

    def _read(self, client: _Client, key: Key) -> None:
        if client.node.is_frozen:
            return
        entry = self._cluster.requests.read(client.node, key)
        if isinstance(entry, MvEntry):
            client.contexts[key] = entry.vector

    def _write(self, client: _Client, key: Key) -> None:
        rng = self._rng
        self._left -= 1
        context = None
        if kind_of(key) is Kind.MV and rng.random() < 0.7:
            if rng.random() < 0.3:
                self._read(client, key)
            context = client.contexts.get(key)
        value = None if rng.random() < 0.28 else self._make_value()
        operation = self._cluster.requests.write(
            client.node, key, value, context, partial(self._finish, client)
        )
        client.waits_for = operation.number
        self._cluster.scheduler.after(PATIENCE_US, partial(self._give_up, client, operation))

    def _make_value(self) -> Value:
        """A body that names its operation; now and then one that is large or huge, typed, or expires."""
        rng = self._rng
        body = b"%d" % len(self._cluster.history.operations)
        size = rng.random()
        if size < 0.01:
            body += b"." * rng.randrange(CHUNK_BYTES, 3 * CHUNK_BYTES)
        elif size < 0.05:
            body += b"." * rng.randrange(200, 2_000)
        content_type = "text/plain" if rng.random() < 0.1 else ""
        expires_ms = 0
        if rng.random() < 0.05:
            expires_ms = EPOCH_MS + self._cluster.scheduler.now_us // MS + rng.randrange(1, 5_000)
        return Value(body, content_type, expires_ms)

    def _finish(self, client: _Client, operation: Operation) -> None:
        if operation.written is not None and operation.written.context is not None:
            client.contexts[operation.key] = operation.written.context
        self._give_up(client, operation)

    def _give_up(self, client: _Client, operation: Operation) -> None:
        if client.waits_for == operation.number:
            client.waits_for = None
            self._pause(client)


def make_keys(count: int) -> list[Key]:
    """Half of them ``kv``, half ``mv``."""
    return [make_key(Kind.KV if i % 2 else Kind.MV, b"k%d" % i) for i in range(count)]
