"""What a Maelstrom workload asks of a node, as puts and scans of a replicated key-value store.

Only workloads that eventual consistency can keep are here; a linearizable register (``lin-kv``) or a log is
not what this store is. How each is kept:

* ``broadcast``, ``g-set``: an element is a key. Nothing is deleted, so the set is the union of all.
* ``g-counter``, ``pn-counter``: each node adds to a key of its own, and a read sums over all. A key has one
  writer, so last-write-wins loses nothing. The total lives as long as the process, as all that is here.
* ``unique-ids``: the id is the dot of a write, which names it for ever.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from kvgossip.config import KEY_BYTES_MAX
from kvgossip.model.ids import Key, Kind, format_id, make_key
from kvgossip.model.value import Value
from kvgossip.node.effects import Written

Json = bool | int | float | str | None | list["Json"] | dict[str, "Json"]
Body = dict[str, Json]
Rows = Callable[[], list[tuple[Key, bytes]]]
"""All committed keys with their bytes."""


class BadRequestError(Exception):
    """A client asked for what this workload does not have. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Put:
    """A write that a request makes, and the answer once it is durable."""

    key: Key
    value: Value
    answer: Callable[[Written], Body]


class Workload:
    """``echo``, and the base of the others: what is not known is refused."""

    def __init__(self, node_id: str, rows: Rows) -> None:
        self._node_id = node_id
        self._rows = rows

    def handle(self, body: Body) -> Put | Body:
        """The answer to a request, or the write that must come before it. Raises ``BadRequestError``."""
        if body["type"] == "echo":
            return {"type": "echo_ok", "echo": body["echo"]}
        raise BadRequestError(f"{body['type']} is not supported here")


class Elements(Workload):
    """``broadcast`` and ``g-set``: they differ in the words only."""

    def __init__(self, node_id: str, rows: Rows, *, add: str, element: str, listed: str) -> None:
        super().__init__(node_id, rows)
        self._add, self._element, self._listed = add, element, listed

    def handle(self, body: Body) -> Put | Body:
        if body["type"] == "read":
            return {"type": "read_ok", self._listed: [json.loads(value) for _, value in self._rows()]}
        if body["type"] != self._add:
            return super().handle(body)
        text = json.dumps(body[self._element], sort_keys=True).encode()
        if len(text) >= KEY_BYTES_MAX:
            raise BadRequestError("an element is a key, and this one is too long for one")
        answer: Body = {"type": f"{self._add}_ok"}
        return Put(make_key(Kind.KV, text), Value(text), lambda written: answer)


class Counter(Workload):
    """``g-counter`` and ``pn-counter``."""

    def __init__(self, node_id: str, rows: Rows) -> None:
        super().__init__(node_id, rows)
        self._total = 0

    def handle(self, body: Body) -> Put | Body:
        if body["type"] == "read":
            return {"type": "read_ok", "value": sum(int(value) for _, value in self._rows())}
        if body["type"] != "add":
            return super().handle(body)
        delta = body["delta"]
        if not isinstance(delta, int):
            raise BadRequestError("delta is not a whole number")
        self._total += delta
        key = make_key(Kind.KV, self._node_id.encode())
        return Put(key, Value(b"%d" % self._total), lambda written: {"type": "add_ok"})


class UniqueIds(Workload):
    """One key, overwritten again and again: only the dots matter."""

    def handle(self, body: Body) -> Put | Body:
        if body["type"] != "generate":
            return super().handle(body)
        return Put(make_key(Kind.KV, self._node_id.encode()), Value(b""), self._answer)

    def _answer(self, written: Written) -> Body:
        return {"type": "generate_ok", "id": f"{format_id(written.dot.replica)}-{written.dot.counter}"}


def make_workload(name: str, node_id: str, rows: Rows) -> Workload:
    """Raises ``KeyError`` for a name that is not in ``WORKLOADS``."""
    return WORKLOADS[name](node_id, rows)


def _broadcast(node_id: str, rows: Rows) -> Workload:
    return Elements(node_id, rows, add="broadcast", element="message", listed="messages")


def _g_set(node_id: str, rows: Rows) -> Workload:
    return Elements(node_id, rows, add="add", element="element", listed="value")


WORKLOADS: dict[str, Callable[[str, Rows], Workload]] = {
    "broadcast": _broadcast,
    "echo": Workload,
    "g-counter": Counter,
    "g-set": _g_set,
    "pn-counter": Counter,
    "unique-ids": UniqueIds,
}
