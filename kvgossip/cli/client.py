"""The HTTP client of one-shot commands: one connection, http.client, nothing to wait for at import.

What a node refuses becomes a ``CommandError`` with the exit code that belongs to its status.
"""

import json
import os
from email.message import Message
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from kvgossip.cli.exit_code import CommandError, ExitCode

TIMEOUT_S = 30.0
"""Longer than a node lets a request of its own wait for a slow disk."""

_EXIT_CODES = {
    300: ExitCode.CONFLICT,
    404: ExitCode.NOT_FOUND,
    408: ExitCode.UNREACHABLE,
    409: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
    503: ExitCode.UNHEALTHY,
    507: ExitCode.UNHEALTHY,
}


class Reply(NamedTuple):
    status: int
    headers: Message
    body: bytes

    @property
    def context(self) -> str | None:
        return self.headers.get("Kv-Context")

    def json(self) -> dict[str, object]:
        document = json.loads(self.body)
        if not isinstance(document, dict):
            raise CommandError(f"the node answered {type(document).__name__} where an object was expected")
        return document

    def refusal(self) -> CommandError:
        """What the node says was wrong, in one line."""
        try:
            problem = self.json()
            message = f"{problem['title']}: {problem['detail']}"
        except (ValueError, KeyError, CommandError):
            message = f"the node answered {self.status}, which kvgossip does not understand"
        return CommandError(message, _EXIT_CODES.get(self.status, ExitCode.FAILURE))


class Client:
    """Requests to one node, over a connection that is kept while it works."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise CommandError(f"--url {url}: {error}", ExitCode.USAGE) from None
        if parts.scheme != "http" or not host or parts.path.strip("/") or parts.query or parts.fragment:
            raise CommandError(f"--url {url}: write http://host:port", ExitCode.USAGE)
        self._url = url
        self._connection = HTTPConnection(host, port or 80, timeout=TIMEOUT_S)

    def request(
        self, method: str, target: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Raises ``CommandError`` if no answer comes; a kept connection that went away is opened anew."""
        is_fresh = self._connection.sock is None
        try:
            return self._request(method, target, body, headers or {})
        except (ConnectionError, HTTPException) as error:
            self._connection.close()
            if is_fresh:
                raise self._unreachable(error) from None
        except OSError as error:
            self._connection.close()
            raise self._unreachable(error) from None
        return self.request(method, target, body=body, headers=headers)

    def expect(self, method: str, target: str) -> dict[str, object]:
        """The JSON of a 200. Raises ``CommandError``."""
        reply = self.request(method, target)
        if reply.status != 200:
            raise reply.refusal()
        return reply.json()

    def close(self) -> None:
        self._connection.close()

    def _request(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        self._connection.request(method, target, body=body, headers=headers)
        answer = self._connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())

    def _unreachable(self, error: Exception) -> CommandError:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or repr(error)
        return CommandError(f"{self._url}: {reason}", ExitCode.UNREACHABLE)


def key_target(key: str | bytes, *, is_mv: bool) -> str:
    """Where a key lives. Its bytes are taken as they are, whatever the file system or the shell says."""
    return f"/v1/{'mv' if is_mv else 'kv'}/{quote(os.fsencode(key), safe='/')}"
