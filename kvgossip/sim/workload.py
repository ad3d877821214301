"""The workload: clients that write and read a few keys at several nodes, so that conflicts are common.

A client does one thing at a time. It carries the last context and version that it got of each key, sends them
or not, moves between nodes with them, and gives up waiting after a second (its operation goes on without it).
Sometimes it sends a conditional write twice at once, as two clients would that race for one version. It works
in the storms, and a little in between. Each client has luck of its own, and the seed draws how often it does
what, so runs differ in kind.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from kvgossip.config import CHUNK_BYTES
from kvgossip.model.dot import VersionVector
from kvgossip.model.ids import Key, Kind, kind_of, make_key
from kvgossip.model.mv import MvEntry
from kvgossip.model.value import Value
from kvgossip.node.effects import Condition
from kvgossip.sim.clock import EPOCH_MS
from kvgossip.sim.cluster import Cluster
from kvgossip.sim.history import Operation
from kvgossip.sim.node import SimNode
from kvgossip.sim.scheduler import MS, SECOND
from kvgossip.sim.storms import WORK_US, Storm

PATIENCE_US = 1 * SECOND
CALM_WRITES = 6
"""Writes of each client at any time of the run."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How often clients do what, as shares."""

    deletes: float
    contexts: float
    conditions: float
    moves: float
    pause_ms: int


def draw_habits(rng: Random) -> Habits:
    return Habits(
        deletes=rng.choice((0.1, 0.28, 0.5)),
        contexts=rng.choice((0.3, 0.7, 0.95)),
        conditions=rng.choice((0.0, 0.1, 0.3)),
        moves=rng.choice((0.05, 0.2, 0.6)),
        pause_ms=rng.choice((100, 200, 400)),
    )


@dataclass(slots=True, eq=False)
class _Client:
    """``waits_for``: the number of the operation in flight; ``left``: writes to be made by now."""

    rng: Random
    node: SimNode
    left: int = 0
    is_thinking: bool = False
    waits_for: int | None = None
    contexts: dict[Key, VersionVector] = field(default_factory=dict)
    etags: dict[Key, str] = field(default_factory=dict)


class Workload:
    """``writes_each`` writes by each of the clients whose numbers are given, on ``keys``."""

    def __init__(
        self,
        cluster: Cluster,
        make_rng: Callable[[str], Random],
        habits: Habits,
        *,
        keys: Sequence[Key],
        clients: Sequence[int],
        writes_each: int,
        storms: Sequence[Storm],
    ) -> None:
        self._cluster = cluster
        self._habits = habits
        self._keys = keys
        self._writes_each = writes_each
        self._storms = storms
        self._clients = []
        for number in clients:
            rng = make_rng(f"client {number}")
            self._clients.append(_Client(rng, rng.choice(cluster.nodes)))

    @property
    def is_done(self) -> bool:
        """True if all writes were made that are due by now, and all clients have stopped waiting."""
        return all(client.left == 0 and client.waits_for is None for client in self._clients)

    def start(self) -> None:
        scheduler = self._cluster.scheduler
        for client in self._clients:
            calm = min(CALM_WRITES, self._writes_each)
            for _ in range(calm):
                scheduler.at(client.rng.randrange(SECOND, WORK_US), partial(self._work, client, 1))
            for i, storm in enumerate(self._storms):
                share = (self._writes_each - calm + i) // len(self._storms)
                scheduler.at(storm.start_us, partial(self._work, client, share))

    def _work(self, client: _Client, writes: int) -> None:
        """Make so many writes more."""
        client.left += writes
        if client.waits_for is None and not client.is_thinking:
            self._think(client)

    def _think(self, client: _Client) -> None:
        """Pause for a while; now and then not at all, so that writes share a batch."""
        if client.left <= 0:
            client.left = 0
            return
        rng = client.rng
        client.is_thinking = True
        pause_ms = 0.0 if rng.random() < 0.2 else rng.expovariate(1 / self._habits.pause_ms)
        self._cluster.scheduler.after(int(pause_ms * MS), partial(self._act, client))

    def _act(self, client: _Client) -> None:
        client.is_thinking = False
        rng = client.rng
        up = self._cluster.up_nodes()
        if not up:
            self._think(client)
            return
        if not client.node.is_up or rng.random() < self._habits.moves:
            client.node = rng.choice(up)
        key = rng.choice(self._keys)
        if rng.random() < 0.25:
            self._read(client, key)
            self._think(client)
        else:
            self._write(client, key)

    def _read(self, client: _Client, key: Key) -> None:
        if client.node.is_frozen:
            return
        entry, etag = self._cluster.requests.read(client.node, key)
        client.etags[key] = etag
        if isinstance(entry, MvEntry):
            client.contexts[key] = entry.vector

    def _write(self, client: _Client, key: Key) -> None:
        rng = client.rng
        if rng.random() < 0.2:
            self._read(client, key)
        context = None
        if kind_of(key) is Kind.MV and rng.random() < self._habits.contexts:
            context = client.contexts.get(key)
        condition = None
        if rng.random() < self._habits.conditions:
            if rng.random() < 0.5:
                self._read(client, key)
            condition = self._make_condition(client, key)
        operation = self._send(client, key, context, condition)
        if condition is not None and rng.random() < 0.5:
            self._send(client, key, context, condition)
        client.waits_for = operation.number
        self._cluster.scheduler.after(PATIENCE_US, partial(self._give_up, client, operation))

    def _send(
        self, client: _Client, key: Key, context: VersionVector | None, condition: Condition | None
    ) -> Operation:
        client.left -= 1
        value = None if client.rng.random() < self._habits.deletes else self._make_value(client.rng)
        on_answer = partial(self._finish, client)
        return self._cluster.requests.write(client.node, key, value, context, on_answer, condition=condition)

    def _make_condition(self, client: _Client, key: Key) -> Condition:
        etag = client.etags.get(key)
        return Condition(if_match=(etag,)) if etag else Condition(if_none_match=("*",))

    def _make_value(self, rng: Random) -> Value:
        """A body that names its operation; now and then one that is large or huge, typed, or expires."""
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
        if operation.written is not None:
            client.etags[operation.key] = operation.written.etag
            if operation.written.context is not None:
                client.contexts[operation.key] = operation.written.context
        self._give_up(client, operation)

    def _give_up(self, client: _Client, operation: Operation) -> None:
        if client.waits_for == operation.number:
            client.waits_for = None
            self._think(client)


def make_keys(count: int) -> list[Key]:
    """Half of them ``kv``, half ``mv``."""
    return [make_key(Kind.KV if i % 2 else Kind.MV, b"k%d" % i) for i in range(count)]
