"""The HTTP client of one-shot commands: one connection, http.client, nothing to wait for at import.

What a node refuses becomes a ``CommandError`` with the exit code that belongs to its status.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.message import Message
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from kvgossip.cli.exit_code import CommandError, ExitCode

if TYPE_CHECKING:
    from socket import socket

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
        return CommandError(message, exit_code_of(self.status))


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

    def converse(self, target: str, parts: Iterable[bytes]) -> Iterator[bytes]:
        """POST ``parts`` as they come, and yield the lines of a 200 as they come. Raises ``CommandError``.

        A node answers while it is still asked, and stops reading from a client that does not take its
        answers, so a thread sends while this one reads.
        """
        from threading import Thread

        connection = self._connection
        try:
            connection.putrequest("POST", target)
            connection.putheader("Content-Type", "application/x-ndjson")
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            Thread(target=_send_chunks, args=(connection.sock, parts), daemon=True).start()
            answer = connection.getresponse()
            if answer.status != 200:
                raise Reply(answer.status, answer.headers, answer.read()).refusal()
            while line := answer.readline():
                yield line
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def follow(self, target: str) -> Iterator[bytes]:
        """The lines of a 200 as they come, for as long as they come. Raises ``CommandError``.

        A node that is silent for ``TIMEOUT_S`` is gone: it says at least that there is nothing new.
        """
        try:
            self._connection.request("GET", target)
            answer = self._connection.getresponse()
            if answer.status != 200:
                raise Reply(answer.status, answer.headers, answer.read()).refusal()
            while line := answer.readline():
                yield line
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            self._connection.close()

    def close(self) -> None:
        self._connection.close()

    def _request(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        self._connection.request(method, target, body=body, headers=headers)
        answer = self._connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())

    def _unreachable(self, error: Exception) -> CommandError:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or repr(error)
        return CommandError(f"{self._url}: {reason}", ExitCode.UNREACHABLE)


def _send_chunks(sock: "socket", parts: Iterable[bytes]) -> None:
    """What goes wrong here shows in the answer, or in that there is none."""
    with suppress(OSError, ValueError):  # ValueError: the file was closed when the answer ended early
        for part in parts:
            sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        sock.sendall(b"0\r\n\r\n")


def exit_code_of(status: int) -> ExitCode:
    """How a command ends that was answered with ``status``."""
    if status < 300:
        return ExitCode.OK
    return _EXIT_CODES.get(status, ExitCode.FAILURE)


def key_target(key: str | bytes, *, is_mv: bool) -> str:
    """Where a key lives. Its bytes are taken as they are, whatever the file system or the shell says."""
    return f"/v1/{'mv' if is_mv else 'kv'}/{quote(os.fsencode(key), safe='/')}"
