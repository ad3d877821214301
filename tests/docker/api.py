"""Requests to one node in its container, by the port that it publishes."""

import json
from email.message import Message
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import quote

TIMEOUT_S = 10.0


class NoAnswer(Exception):
    """The node did not answer: nobody knows whether a write took effect."""


class Reply(NamedTuple):
    status: int
    headers: Message
    body: bytes

    def json(self) -> dict[str, object]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


class Api:
    """One connection a request: a container that was started again is reached at once."""

    def __init__(self, port: int) -> None:
        self._port = port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def request(
        self, method: str, target: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Raises ``NoAnswer``."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        except (OSError, HTTPException) as error:
            raise NoAnswer(f"{method} {target}: {error!r}") from None
        finally:
            connection.close()

    def put(self, key: str, value: str, *, kind: str = "kv", context: str | None = None) -> Reply:
        headers = {"Content-Type": "text/plain"} | ({} if context is None else {"Kv-Context": context})
        reply = self.request("PUT", _target(key, kind), body=value.encode(), headers=headers)
        assert reply.status in (201, 204), reply
        return reply

    def delete(self, key: str, *, kind: str = "kv") -> Reply:
        reply = self.request("DELETE", _target(key, kind))
        assert reply.status == 204, reply
        return reply

    def get(self, key: str, *, kind: str = "kv") -> Reply:
        return self.request("GET", _target(key, kind))

    def value(self, key: str) -> str | None:
        """Of a ``kv`` key; None if it has none here."""
        reply = self.get(key)
        assert reply.status in (200, 404), reply
        return reply.body.decode() if reply.status == 200 else None

    def status(self) -> dict[str, object]:
        reply = self.request("GET", "/v1/status")
        assert reply.status == 200, reply
        return reply.json()

    def members(self) -> list[dict[str, object]]:
        """As this node sees them. A replica that was wiped is there beside the new one of that name."""
        members = self.request("GET", "/v1/cluster/members").json()["members"]
        assert isinstance(members, list)
        return members

    def names(self, state: str) -> list[str]:
        """Of the members in this state."""
        return sorted(str(member["name"]) for member in self.members() if member["state"] == state)

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz").status == 200
        except NoAnswer:
            return False


def _target(key: str, kind: str) -> str:
    return f"/v1/{kind}/{quote(key, safe='/')}"
