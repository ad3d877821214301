"""The value that a command writes: from an argument, a file or stdin, with the type that these tell."""

import sys
from pathlib import Path
from typing import NamedTuple

from kvgossip.cli.exit_code import CommandError


class Given(NamedTuple):
    body: bytes
    content_type: str | None

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": self.content_type} if self.content_type else {}


def from_text(text: str) -> Given:
    return Given(text.encode("utf-8", "surrogateescape"), "text/plain; charset=utf-8")


def from_file(name: str) -> Given:
    """``-`` is stdin. Raises ``CommandError``."""
    from mimetypes import guess_type

    from kvgossip.config import VALUE_BYTES_MAX

    if name == "-":
        given = Given(sys.stdin.buffer.read(VALUE_BYTES_MAX + 1), None)
    else:
        try:
            with Path(name).open("rb") as file:
                given = Given(file.read(VALUE_BYTES_MAX + 1), guess_type(name)[0])
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror}") from None
    if len(given.body) > VALUE_BYTES_MAX:
        raise CommandError(f"{name}: a value has at most {VALUE_BYTES_MAX} bytes")
    return given
