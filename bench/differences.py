"""What clients do on both sides of a cut, and what each node lacks because of it when the cut heals.

Of the keys that come to differ, most are put or deleted on one side; the others are written on both: put
and put, put and delete, and ``mv`` keys that become siblings. The join of all acknowledged writes is computed
here, from the stamps and dots in the answers, by the merges of the model.
"""

import json
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from random import Random

from bench.http_load import Answer, Connection
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import encode_entry
from kvgossip.model.entry import Entry, merge_entries
from kvgossip.model.ids import Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value

VALUE_BYTES = 100
BATCH_LINES = 500
SHARES = (("put", 0.6), ("delete", 0.1), ("put put", 0.1), ("put delete", 0.1), ("mv mv", 0.1))
"""What is done with a key that comes to differ, and with which share of them. Two words: one a side."""

Name = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Operation:
    """One request; ``body`` is None in a delete."""

    side: int
    name: Name
    body: bytes | None


@dataclass(slots=True)
class Differences:
    """The acknowledged writes of both sides, by key and side."""

    entries: dict[Name, dict[int, Entry]] = field(default_factory=lambda: defaultdict(dict))

    def note(self, operation: Operation, answer: Answer) -> None:
        """An acknowledged write. Each side writes a key once."""
        value = None if operation.body is None else Value(operation.body)
        dot, stamp = parse_dot(answer.header("Kv-Dot")), parse_stamp(answer.header("Kv-Stamp"))
        kind, _ = operation.name
        entry: Entry = (
            KvEntry(dot, stamp, value)
            if kind is Kind.KV
            else MvEntry(VersionVector.of([dot]), (Sibling(dot, stamp, value),))
        )
        self.entries[operation.name][operation.side] = entry

    def joined(self) -> dict[Name, Entry]:
        """What every node must hold in the end."""
        joined = {}
        for name, by_side in self.entries.items():
            entry: Entry | None = None
            for theirs in by_side.values():
                entry = merge_entries(entry, theirs)
            assert entry is not None
            joined[name] = entry
        return joined

    def lacked(self, side: int) -> dict[Name, Entry]:
        """What the nodes of ``side`` lack when the cut heals: the entries of the other side that survive."""
        joined = self.joined()
        return {
            name: by_side[1 - side]
            for name, by_side in self.entries.items()
            if 1 - side in by_side and set(by_side[1 - side].dots()) & set(joined[name].dots())
        }


def encoded_bytes(entries: Mapping[Name, Entry]) -> int:
    return sum(len(make_key(*_raw(name))) + len(encode_entry(entry)) for name, entry in entries.items())


def draw_operations(names: list[str], share: float, rng: Random) -> list[Operation]:
    """Operations by which ``share`` of ``names`` come to differ, in the order in which they are sent."""
    changed = rng.sample(names, max(2, round(len(names) * share)))
    operations: list[Operation] = []
    start, summed = 0, 0.0
    for what, part in SHARES:
        summed += part
        end = round(len(changed) * summed)
        for at, name in enumerate(changed[start:end]):
            operations += _operations(what.split(), name, at, rng)
        start = end
    rng.shuffle(operations)
    return operations


def _operations(what: list[str], name: str, at: int, rng: Random) -> Iterator[Operation]:
    for side, word in enumerate(what, start=at % 2):
        kind = Kind.MV if word == "mv" else Kind.KV
        body = None if word == "delete" else rng.randbytes(VALUE_BYTES)
        yield Operation(side % 2, (kind, name), body)


async def perform(connection: Connection, operation: Operation) -> Answer:
    method = b"DELETE" if operation.body is None else b"PUT"
    kind, name = operation.name
    return await connection.request(method, f"/v1/{kind.name.lower()}/{name}".encode(), operation.body)


def count_wrong(api: str, joined: Mapping[Name, Entry]) -> int:
    """How many keys a node answers otherwise than ``joined`` has them."""
    return sum(answer != _values(joined[name]) for name, answer in _read_all(api, list(joined)))


def _read_all(api: str, names: list[Name]) -> Iterator[tuple[Name, set[bytes]]]:
    connection = HTTPConnection(api, timeout=60.0)
    for start in range(0, len(names), BATCH_LINES):
        page = names[start : start + BATCH_LINES]
        lines = [json.dumps({"op": "get", "kind": kind.name.lower(), "key": key}) for kind, key in page]
        connection.request("POST", "/v1/batch", "\n".join(lines))
        answers = connection.getresponse().read().splitlines()
        yield from ((name, _found(json.loads(line))) for name, line in zip(page, answers, strict=True))
    connection.close()


def _found(line: dict[str, object]) -> set[bytes]:
    if "siblings" in line:
        siblings = line["siblings"]
        assert isinstance(siblings, list)
        return {b64decode(sibling["value"]) for sibling in siblings}
    return {b64decode(str(line["value_base64"]))} if line["status"] == 200 else set()


def _values(entry: Entry) -> set[bytes]:
    values: Iterable[Value | None]
    values = [entry.value] if isinstance(entry, KvEntry) else [sibling.value for sibling in entry.siblings]
    return {value.body for value in values if value is not None}


def _raw(name: Name) -> tuple[Kind, bytes]:
    return name[0], name[1].encode()


def parse_dot(text: str) -> Dot:
    replica, _, counter = text.rpartition("-")
    return Dot(ReplicaId(int(replica, 16)), int(counter))


def parse_stamp(text: str) -> Stamp:
    ms, _, logic = text.partition(".")
    return Stamp(int(ms) << 16 | int(logic))
