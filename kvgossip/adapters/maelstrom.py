"""``python -m kvgossip.adapters.maelstrom``: a node that Maelstrom starts, on stdin and stdout.

Messages are lines of JSON. One thread: it waits for stdin until the replica's next deadline, hands on what
came, and writes what is to be said. Neither asyncio nor aiohttp is imported, so that a node starts in a tenth
of a second. What stderr gets, Maelstrom keeps in its log.
"""

import argparse
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from random import SystemRandom
from typing import Any

from kvgossip.adapters.maelstrom_node import MaelstromNode, Message
from kvgossip.adapters.workloads import WORKLOADS
from kvgossip.config import RumorDirection, RumorTargets, Tuning
from kvgossip.node.effects import Now

READ_BYTES = 1 << 16
_KINDS: dict[type, Callable[[str], object]] = {
    kind: kind for kind in (int, float, RumorDirection, RumorTargets)
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run until stdin ends."""
    arguments = _parser().parse_args(argv)
    messages = _Lines(0)
    came: list[Message] = []
    while (init := next(filter(_is_init, came), None)) is None:
        if messages.has_ended:
            return
        came += messages.wait(None)  # frames of nodes that were told earlier may come first
    came.remove(init)
    node = MaelstromNode(
        init, workload=arguments.workload, tuning=_tuning(arguments.tuning), rng=SystemRandom(), now=_now()
    )
    while not messages.has_ended:
        for message in came:
            node.handle(message, _now())
        deadline_ms = node.next_deadline_ms()
        if deadline_ms is not None and deadline_ms <= _now().monotonic_ms:
            node.handle_timer(_now())
            deadline_ms = node.next_deadline_ms()
        _say(node)
        came = messages.wait(None if deadline_ms is None else max(0, deadline_ms - _now().monotonic_ms))


class _Lines:
    """The messages of a pipe."""

    def __init__(self, descriptor: int) -> None:
        self.has_ended = False
        self._descriptor = descriptor
        self._rest = b""

    def wait(self, timeout_ms: int | None) -> list[Message]:
        """What came in time, perhaps nothing; without a time-out, at least one, unless the pipe ends."""
        while True:
            timeout_s = None if timeout_ms is None else timeout_ms / 1_000
            ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
            if not ready:
                return []
            data = os.read(self._descriptor, READ_BYTES)
            if not data:
                self.has_ended = True
                return []
            found = list(self._split(data))
            if found or timeout_ms is not None:
                return found

    def _split(self, data: bytes) -> Iterator[Message]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return map(json.loads, filter(None, lines))


def _is_init(message: Message) -> bool:
    body = message["body"]
    return isinstance(body, dict) and body["type"] == "init"


def _say(node: MaelstromNode) -> None:
    for event in node.take_events():
        print(event.name, *(f"{name}={value}" for name, value in event.fields.items()), file=sys.stderr)
    for message in node.take_outputs():
        sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _now() -> Now:
    return Now(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kvgossip.adapters.maelstrom", description=__doc__)
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default="broadcast")
    parser.add_argument(
        "--tuning",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a field of Tuning; may be repeated",
    )
    return parser


def _tuning(given: Sequence[str]) -> Tuning:
    """Raises ``SystemExit`` for what no field of ``Tuning`` takes."""
    defaults = {field.name: field.default for field in fields(Tuning)}
    changes: dict[str, Any] = {}
    for text in given:
        name, _, value = text.partition("=")
        default = defaults.get(name)
        try:
            changes[name] = value == "true" if isinstance(default, bool) else _KINDS[type(default)](value)
        except (KeyError, ValueError):
            raise SystemExit(f"--tuning {text}: there is no such setting or value") from None
    return Tuning(**changes)


if __name__ == "__main__":
    main()
