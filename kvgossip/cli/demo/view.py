"""What the audience sees: a live table on a terminal, the same as plain lines anywhere else."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

ROOT_CHARS_SHOWN = 12
HEADER = ("node", "keys", "root", "hot rumors", "exchange bytes")


@dataclass(frozen=True, slots=True)
class Row:
    """One node at one moment. ``root`` is None if it did not answer."""

    name: str
    keys: int = 0
    root: str | None = None
    hot_rumors: int = 0
    exchange_bytes: int = 0

    def cells(self) -> tuple[str, ...]:
        if self.root is None:
            return (self.name, "-", "no answer", "-", "-")
        return (
            self.name,
            f"{self.keys:,}",
            self.root[:ROOT_CHARS_SHOWN],
            f"{self.hot_rumors:,}",
            f"{self.exchange_bytes:,}",
        )


class View(Protocol):
    def say(self, line: str) -> None:
        """A line that stays."""

    def show(self, rows: Sequence[Row], *, period_s: float = 0.0) -> None:
        """The nodes as they are now; where every table stays, at most one in ``period_s``."""

    def close(self) -> None: ...


def open_view() -> View:
    return _LiveView() if sys.stdout.isatty() else _PlainView()


class _Clock:
    """Seconds since the start, before every line."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    def stamp(self, line: str) -> str:
        return f"{time.monotonic() - self._started_s:5.1f} s  {line}"


class _LiveView:
    def __init__(self) -> None:
        self._clock = _Clock()
        self._live = Live(console=Console(highlight=False), auto_refresh=False)
        self._live.start()

    def say(self, line: str) -> None:
        self._live.console.print(self._clock.stamp(line), markup=False, soft_wrap=True)

    def show(self, rows: Sequence[Row], *, period_s: float = 0.0) -> None:
        table = Table()
        for name in HEADER:
            table.add_column(
                name, justify="left" if name in ("node", "root") else "right", min_width=len(name)
            )
        roots = [row.root for row in rows]
        for row in rows:
            name, keys, root, *rest = row.cells()
            color = "green" if roots.count(row.root) == len(rows) else "yellow"
            table.add_row(name, keys, f"[{color}]{root}[/]", *rest)
        self._live.update(table, refresh=True)

    def close(self) -> None:
        self._live.stop()


class _PlainView:
    """A table whenever something changed."""

    def __init__(self) -> None:
        self._clock = _Clock()
        self._shown: list[Row] = []
        self._shown_s = 0.0

    def say(self, line: str) -> None:
        print(self._clock.stamp(line), flush=True)

    def show(self, rows: Sequence[Row], *, period_s: float = 0.0) -> None:
        now_s = time.monotonic()
        if rows == self._shown or now_s < self._shown_s + period_s:
            return
        self._shown, self._shown_s = list(rows), now_s
        lines = [HEADER, *(row.cells() for row in rows)]
        for name, keys, root, hot, exchanged in lines:
            print(f"{'':9}{name:<5}{keys:>7}  {root:<{ROOT_CHARS_SHOWN}}  {hot:>10}  {exchanged:>14}")
        sys.stdout.flush()

    def close(self) -> None:
        return
