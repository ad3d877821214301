"""The demo's own HTTP client: one for each node, all of them in one session."""

import json
from dataclasses import dataclass
from mimetypes import guess_type
from urllib.parse import quote

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from kvgossip.cli.demo.view import Row
from kvgossip.cli.local_cluster import NodeProcess

REQUESTS_IN_FLIGHT = 32
"""To one node, beside those that look at its state."""
TIMEOUT_S = 20.0

Stamp = tuple[int, int]


class DemoError(Exception):
    """The demo cannot go on, or found a difference. The message is one line."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def rank(self) -> tuple[Stamp, str]:
        """The order in which ``kv`` writes win: stamp, then replica id."""
        milliseconds, logic = self.headers["Kv-Stamp"].split(".")
        return (int(milliseconds), int(logic)), self.headers["Kv-Dot"].partition("-")[0]


class NodeClient:
    """Requests to one node. Raises ``DemoError`` if no answer comes, ``ClusterError`` if it died."""

    def __init__(self, session: ClientSession, node: NodeProcess) -> None:
        self._session = session
        self._node = node
        self.name = node.name
        self.url = node.url

    async def get(self, key: str, *, kind: str = "kv") -> Answer:
        return await self.request("GET", key_target(key, kind))

    async def put(self, key: str, body: bytes, *, kind: str = "kv", context: str | None = None) -> Answer:
        headers = {"Content-Type": guess_type(key)[0] or "text/plain"}
        if context is not None:
            headers["Kv-Context"] = context
        answer = await self.request("PUT", key_target(key, kind), body=body, headers=headers)
        return self._expect(answer, (201, 204), f"PUT {key}")

    async def delete(self, key: str) -> Answer:
        return self._expect(await self.request("DELETE", key_target(key, "kv")), (204,), f"DELETE {key}")

    async def is_ready(self) -> bool:
        try:
            return (await self._request("GET", "/readyz", None, {})).status == 200
        except (ClientError, TimeoutError):
            self._node.check_alive()
            return False

    async def row(self) -> Row:
        """A line of the table; empty for a node that does not answer in time."""
        try:
            status = json.loads((await self._request("GET", "/v1/status", None, {})).body)
        except (ClientError, TimeoutError):
            self._node.check_alive()
            return Row(self.name)
        return Row(
            name=self.name,
            keys=status["entries"],
            root=status["root"],
            hot_rumors=status["hot_rumors"],
            exchange_bytes=status["counters"]["exchange_bytes_sent"],
        )

    async def json(self, method: str, path: str, document: object = None) -> dict[str, object]:
        """For what operators ask: the JSON of a 200."""
        body = None if document is None else json.dumps(document).encode()
        answer = self._expect(await self.request(method, path, body=body), (200,), f"{method} {path}")
        answered = json.loads(answer.body)
        assert isinstance(answered, dict)
        return answered

    async def request(
        self, method: str, target: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        try:
            return await self._request(method, target, body, headers or {})
        except (ClientError, TimeoutError) as error:
            self._node.check_alive()
            raise DemoError(f"{self.name} did not answer {method} {target}: {error!r}") from None

    async def _request(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        url = URL(self.url + target, encoded=True)  # a key is no path: nothing may rewrite it
        async with self._session.request(method, url, data=body, headers=headers) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    def _expect(self, answer: Answer, statuses: tuple[int, ...], what: str) -> Answer:
        if answer.status not in statuses:
            shown = answer.body[:200].decode(errors="replace")
            raise DemoError(f"{self.name} answered {answer.status} to {what}: {shown}")
        return answer


def new_session() -> ClientSession:
    connector = TCPConnector(limit=0, limit_per_host=2 * REQUESTS_IN_FLIGHT)
    return ClientSession(
        connector=connector, timeout=ClientTimeout(total=TIMEOUT_S), auto_decompress=False, trust_env=False
    )


def key_target(key: str, kind: str) -> str:
    return f"/v1/{kind}/{quote(key, safe='/')}"
