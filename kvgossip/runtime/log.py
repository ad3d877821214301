"""Log lines on stderr: one a change of state. JSON for machines; text where a person looks at a terminal.

A thread writes them: whoever reads our stderr may stop reading, and a node must not stop with him. The lines
that wait are bounded, and so are the lines of one event (a burst of ``BURST``, then one a second), so that a
hostile peer cannot fill a disk; what was left out is counted in the next line.
"""

import json
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from queue import Full, Queue
from threading import Thread
from time import monotonic
from typing import TextIO

from kvgossip.node.effects import Event

LINES_WAITING_MAX = 1_000
BURST = 200
CLOSE_TIMEOUT_S = 1.0


class Level(Enum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_WARNINGS = frozenset(
    (
        "data-not-kept",
        "entry-refused",
        "member-record-garbled",
        "frame-refused",
        "member-down",
        "member-record-garbled",
        "peer-is-self",
        "peer-refused",
        "peer-unreachable",
        "peer-was-copy",
        "secret-is-default",
        "seed-unresolved",
        "writes-reissued",
    )
)
_ERRORS = frozenset(
    (
        "commit-failed",
        "copy-found",
        "internal-error",
        "log-lost",
        "loop-stalled",
        "row-corrupt",
        "stop-hung",
        "tree-mended",
    )
)


def level_of(event_name: str) -> Level:
    if event_name in _ERRORS:
        return Level.ERROR
    return Level.WARNING if event_name in _WARNINGS else Level.INFO


@dataclass(slots=True)
class _Allowance:
    """How many lines of one event may still be written, and how many were not."""

    lines: float
    counted_s: float
    left_out: int = 0


class Log:
    """See the module."""

    def __init__(self, *, node: str, cluster: str, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_text = self._stream.isatty()
        self._who = {"node": node, "cluster": cluster}
        self._allowances: dict[str, _Allowance] = {}
        self._lines: Queue[str | None] = Queue(LINES_WAITING_MAX)
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, event: Event, level: Level | None = None) -> None:
        """Never blocks."""
        left_out = self._admit(event.name)
        if left_out is None:
            return
        fields: dict[str, str | int] = {**event.fields, "left_out": left_out} if left_out else event.fields
        level = level or level_of(event.name)
        now = datetime.now(UTC)
        line = (
            self._text(now, level, event.name, fields)
            if self._is_text
            else self._json(now, level, event, fields)
        )
        try:
            self._lines.put_nowait(line)
        except Full:
            self._allowances[event.name].left_out += left_out + 1

    def close(self) -> None:
        """Write what waits, for ``CLOSE_TIMEOUT_S`` at most."""
        try:
            self._lines.put_nowait(None)
        except Full:
            return  # nobody reads
        self._thread.join(CLOSE_TIMEOUT_S)

    def _admit(self, name: str) -> int | None:
        """How many lines of this event were left out before this one; None to leave it out, too."""
        now_s = monotonic()
        allowance = self._allowances.setdefault(name, _Allowance(BURST, now_s))
        allowance.lines = min(BURST, allowance.lines + now_s - allowance.counted_s)
        allowance.counted_s = now_s
        if allowance.lines < 1:
            allowance.left_out += 1
            return None
        allowance.lines -= 1
        left_out, allowance.left_out = allowance.left_out, 0
        return left_out

    def _json(self, now: datetime, level: Level, event: Event, fields: dict[str, str | int]) -> str:
        ts = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"ts": ts, "level": level.value, "event": event.name, **self._who}
        return json.dumps({**head, **{name: fields[name] for name in fields if name not in head}})

    def _text(self, now: datetime, level: Level, name: str, fields: dict[str, str | int]) -> str:
        ts = now.astimezone().strftime("%H:%M:%S.%f")[:-3]
        told = " ".join(f"{field}={_printable(value)}" for field, value in fields.items())
        return f"{ts} {level.value:7} {name} {told}".rstrip()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # stderr is closed: there is nobody to tell
                return


class LogHandler(logging.Handler):
    """Brings what libraries say through ``logging`` into the same lines."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, str | int] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["trace"] = logging.Formatter().formatException(record.exc_info)
        level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
        self._log.write(Event("library", fields), level)


def _printable(value: str | int) -> str:
    """On one line, and without what moves a terminal's cursor."""
    text = str(value)
    return text if text.isprintable() else repr(text)
