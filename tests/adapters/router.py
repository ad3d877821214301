"""A small Maelstrom: starts adapters, carries their messages, cuts them apart, and plays the client."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

CLIENT = "c1"
DEADLINE_S = 30.0

Json = dict[str, Any]


class Router:
    """The network and its one client. Every wait carries messages meanwhile."""

    def __init__(self, node_count: int, workload: str, tuning: Sequence[str] = ()) -> None:
        self.node_ids = [f"n{number}" for number in range(1, node_count + 1)]
        self.frame_count = 0
        self.dropped_count = 0
        self._cut: set[frozenset[str]] = set()
        self._next = 0
        self._answers: dict[int, Json] = {}
        self._rests: dict[str, bytes] = dict.fromkeys(self.node_ids, b"")
        command = [sys.executable, "-m", "kvgossip.adapters.maelstrom", "--workload", workload]
        command += [word for change in tuning for word in ("--tuning", change)]
        self._nodes = {
            node_id: subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
            )
            for node_id in self.node_ids
        }
        self._pipes: dict[int, str] = {}
        for node_id, process in self._nodes.items():
            assert process.stdout is not None
            self._pipes[process.stdout.fileno()] = node_id

    def __enter__(self) -> "Router":
        for node_id in self.node_ids:
            body = {"type": "init", "node_id": node_id, "node_ids": self.node_ids}
            assert self.ask(node_id, body)["type"] == "init_ok"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._nodes.values():
            assert process.stdin is not None
            process.stdin.close()
        for process in self._nodes.values():
            assert process.stdout is not None
            process.stdout.read()
            assert process.wait(DEADLINE_S) == 0, "a node ends with its stdin"
            process.stdout.close()

    def ask(self, node_id: str, body: Json) -> Json:
        """A request of a client, and the body of its answer."""
        number = self.tell(node_id, body)
        deadline_s = time.monotonic() + DEADLINE_S
        while number not in self._answers:
            assert time.monotonic() < deadline_s, f"{node_id} does not answer {body}"
            self.carry(0.05)
        return self._answers.pop(number)

    def tell(self, node_id: str, body: Json) -> int:
        """The same without waiting. Returns the number of the request."""
        self._next += 1
        self._deliver({"src": CLIENT, "dest": node_id, "body": {**body, "msg_id": self._next}})
        return self._next

    def cut(self, one_side: Sequence[str], other_side: Sequence[str]) -> None:
        self._cut = {frozenset((one, other)) for one in one_side for other in other_side}

    def heal(self) -> None:
        self._cut.clear()

    def carry(self, seconds: float) -> None:
        """Carry what is there within ``seconds``."""
        ready, _, _ = select.select(list(self._pipes), [], [], seconds)
        for pipe in ready:
            node_id = self._pipes[pipe]
            data = os.read(pipe, 1 << 16)
            assert data, f"{node_id} has died"
            *lines, self._rests[node_id] = (self._rests[node_id] + data).split(b"\n")
            for line in lines:
                self._take(node_id, json.loads(line))

    def _take(self, node_id: str, message: Json) -> None:
        assert message["src"] == node_id
        if message["dest"] == CLIENT:
            self._answers[message["body"]["in_reply_to"]] = message["body"]
        elif frozenset((node_id, message["dest"])) in self._cut:
            self.dropped_count += 1
        else:
            self.frame_count += 1
            self._deliver(message)

    def _deliver(self, message: Json) -> None:
        pipe = self._nodes[message["dest"]].stdin
        assert pipe is not None
        pipe.write(json.dumps(message).encode() + b"\n")
