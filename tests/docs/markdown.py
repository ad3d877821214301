"""What the tests of the documentation read out of a Markdown page: tables, headings, links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

_CELL_BORDER = re.compile(r"(?<!\\)\|")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def read(name: str) -> str:
    return (ROOT / name).read_text()


def section(page: str, title: str) -> str:
    """The text below a heading, down to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$", page, re.MULTILINE)
    assert found, f"no heading {title!r}"
    end = re.search(rf"^#{{1,{len(found[1])}}} ", page[found.end() :], re.MULTILINE)
    return page[found.end() :][: end.start() if end else None]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row in ``text``, headers and rulers left out."""
    found: list[list[str]] = []
    lines = text.splitlines()
    for at, line in enumerate(lines):
        is_header = at + 1 < len(lines) and lines[at + 1].startswith("|--")
        if line.startswith("|") and not line.startswith("|--") and not is_header:
            found.append([cell.strip() for cell in _CELL_BORDER.split(line.strip().strip("|"))])
    return found


def links(page: str) -> list[str]:
    return _LINK.findall(_FENCE.sub("", page))


def anchors(page: str) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
