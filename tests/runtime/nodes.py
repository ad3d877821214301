"""Whole nodes in one process, on loopback, with their log in a string."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

from kvgossip.config import Tuning
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address, Key, Kind, make_key
from kvgossip.model.value import Value
from kvgossip.node.effects import Written
from kvgossip.runtime.log import Log
from kvgossip.runtime.node import Node
from kvgossip.runtime.settings import Settings

QUICK = Tuning(exchange_interval_ms=1_000, probe_interval_ms=300, probe_timeout_ms=100, seed_interval_ms=500)
PRODUCTION = Tuning()


class Loopback(Node):
    """A node on ports that the system chose, that remembers what it logged."""

    def __init__(
        self,
        name: str,
        *,
        seeds: tuple[str, ...] = (),
        data_dir: Path | None = None,
        trace: Path | None = None,
        peer_listen: str = "127.0.0.1:0",
        cluster: str = "test",
        tuning: Tuning = QUICK,
        tag: tuple[str, ...] = (),
    ) -> None:
        settings = Settings(
            node=name,
            cluster=cluster,
            listen="127.0.0.1:0",
            peer_listen=peer_listen,
            seeds=seeds,
            data_dir=data_dir,
            trace=trace,
            allow_faults=True,
            tuning=tuning,
            tag=tag,
        )
        self.lines = io.StringIO()
        self.log = Log(node=name, cluster=cluster, stream=self.lines)
        super().__init__(settings, log=self.log)

    @property
    def peer(self) -> Address:
        return self.replica.members(self.now())[0].member.peer

    @property
    def root(self) -> str:
        return self.replica.status().root

    async def write(self, name: str, text: str) -> Written:
        result = await self.put(kv(name), Value(text.encode()))
        assert isinstance(result, Written), result
        return result

    def read(self, name: str) -> Entry | None:
        return self.replica.get(kv(name))

    def logged(self) -> list[str]:
        """Names of events, after the log was closed."""
        self.log.close()
        return [json.loads(line)["event"] for line in self.lines.getvalue().splitlines()]


def kv(name: str) -> Key:
    return make_key(Kind.KV, name.encode())


def cut(*sides: Sequence[Node]) -> None:
    """Let no frame pass between nodes of different sides; one side heals everything."""
    for side in sides:
        others = [peer_of(node) for other in sides if other is not side for node in other]
        for node in side:
            assert node.faults is not None
            node.faults.replace(to=others, from_=others)


def peer_of(node: Node) -> Address:
    return node.replica.members(node.now())[0].member.peer
