"""HTTP as the rows speak it: one call a connection or many, writes whose acknowledgements are remembered."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from typing import Any
from urllib.parse import quote

from kvgossip.cli.local_cluster import NodeProcess

CALL_TIMEOUT_S = 10.0
ACKNOWLEDGED = (201, 204)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The name of the problem that the body tells."""
        return str(self.json()["type"]).removeprefix("/problems/")


class Client:
    """One kept connection to one node. Raises ``OSError`` or ``HTTPException`` if the node is not there."""

    def __init__(self, node: NodeProcess, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._connection = HTTPConnection(node.api, timeout=timeout_s)

    def call(self, method: str, target: str, body: bytes | None = None) -> Answer:
        try:
            self._connection.request(method, target, body)
            response = self._connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        except (OSError, HTTPException):
            self._connection.close()
            raise

    def put(self, key: str, value: str) -> Answer:
        return self.call("PUT", f"/v1/kv/{quote(key)}", value.encode())

    def get(self, key: str) -> Answer:
        return self.call("GET", f"/v1/kv/{quote(key)}")

    def close(self) -> None:
        self._connection.close()


def call(node: NodeProcess, method: str, target: str, body: bytes | None = None) -> Answer:
    """One call on a connection of its own."""
    client = Client(node)
    try:
        return client.call(method, target, body)
    finally:
        client.close()


def put(node: NodeProcess, key: str, value: str) -> Answer:
    return call(node, "PUT", f"/v1/kv/{quote(key)}", value.encode())


def get(node: NodeProcess, key: str) -> Answer:
    return call(node, "GET", f"/v1/kv/{quote(key)}")


def holds(node: NodeProcess, key: str) -> bool:
    return get(node, key).status == 200


def status(node: NodeProcess) -> dict[str, Any]:
    return dict(_json(node, "/v1/status"))


def members(node: NodeProcess) -> dict[str, dict[str, Any]]:
    """What a node says of the members, by name."""
    return {member["name"]: member for member in _json(node, "/v1/cluster/members")["members"]}


def _json(node: NodeProcess, target: str) -> Any:
    client = Client(node)
    try:
        answer = client.call("GET", target)
        assert answer.status == 200, answer
        return answer.json()
    finally:
        client.close()


def until(claim: Callable[[], object], what: str, timeout_s: float = 20.0) -> float:
    """Ask until ``claim`` is true; the seconds that took."""
    began_s = time.monotonic()
    while not claim():
        assert time.monotonic() < began_s + timeout_s, f"after {timeout_s:.0f} s still not: {what}"
        time.sleep(0.02)
    return time.monotonic() - began_s


def converged(nodes: Iterable[NodeProcess]) -> bool:
    """True if all the nodes tell the same root, and clocks without holes."""
    told = [status(node) for node in nodes]
    return len({str(one["root"]) for one in told}) == 1 and not any(one["clock_holes"] for one in told)


def check_kept(node: NodeProcess, acknowledged: dict[str, str]) -> None:
    """Every acknowledged write is read from ``node``, with its value."""
    client = Client(node)
    lost = [key for key, value in acknowledged.items() if client.get(key).body != value.encode()]
    client.close()
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes are lost: {lost[:5]}"


@dataclass
class Load:
    """Writes new keys to one node from a few threads, and remembers what was acknowledged."""

    node: NodeProcess
    prefix: str
    threads: int = 4
    value: str = "v"
    pause_s: float = 0.0
    acknowledged: dict[str, str] = field(default_factory=dict)
    dots: dict[str, str] = field(default_factory=dict)
    refused: list[Answer] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopped = Event()
        self._workers = [Thread(target=self._work, args=(i,), daemon=True) for i in range(self.threads)]

    def __enter__(self) -> "Load":
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()

    def join(self, timeout_s: float = 30.0) -> None:
        """Wait for the end: after ``stop``, or when the node does not answer any more."""
        deadline_s = time.monotonic() + timeout_s
        for worker in self._workers:
            worker.join(max(0.0, deadline_s - time.monotonic()))
            assert not worker.is_alive(), "a client of the load hangs"

    def _work(self, worker: int) -> None:
        client, number = Client(self.node), 0
        while not self._stopped.wait(self.pause_s):
            key, number = f"{self.prefix}-{worker}-{number}", number + 1
            value = f"{key} {self.value}"
            try:
                answer = client.put(key, value)
            except (OSError, HTTPException):
                self.unanswered.append(key)
                break
            if answer.status in ACKNOWLEDGED:
                self.dots[key] = answer.headers["kv-dot"]
                self.acknowledged[key] = value
            else:
                self.refused.append(answer)
        client.close()
