"""What a command prints: a table for people, JSON for programs, or plain lines for other commands.

Names, keys and values come from others. What could steer a terminal or break a line is therefore shown as an
escape (``\\n``, ``\\x1b``) everywhere but in JSON, and in a value that goes to a file or a pipe.
"""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def print_rows(output: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """As a table: drawn by rich on a terminal, aligned elsewhere. Plain: tabs, and no header."""
    if output == "table" and sys.stdout.isatty():
        from rich.console import Console

        Console().print(drawn(header, rows))
        return
    shown = [[escape(cell) for cell in row] for row in rows]
    if output == "plain":
        for row in shown:
            print("\t".join(row))
    else:
        widths = [max(map(len, column)) for column in zip(header, *shown, strict=True)]
        for row in (list(header), *shown):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(document: object) -> None:
    print(json.dumps(document, indent=2))


def write_value(body: bytes) -> None:
    """A value: as it is into a file or a pipe; on a terminal as text that cannot steer it."""
    if sys.stdout.isatty():
        text = body.decode("utf-8", "surrogateescape")
        print("\n".join(escape(line) for line in text.split("\n")).removesuffix("\n"))
    else:
        sys.stdout.buffer.write(body)


def escape(text: str) -> str:
    """``text`` on one line, and harmless; a backslash is doubled only where there is something to escape."""
    if text.isprintable():
        return text
    return "".join(map(_escaped, text))


def value_json(body: bytes) -> dict[str, str]:
    """``value`` if it is text, else ``value_base64``, as in a batch."""
    from base64 import b64encode

    try:
        return {"value": body.decode()}
    except UnicodeDecodeError:
        return {"value_base64": b64encode(body).decode()}


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character.isprintable() and character != "\\":
        return character
    return character.encode("unicode_escape").decode()


def drawn(header: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    """A table as rich draws it, with every cell escaped."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*(Text(escape(cell)) for cell in row))
    return table
