"""A node of Maelstrom: the shipped ``Replica`` on a memory store, with messages instead of a network. No I/O.

Frames between nodes travel in base64 in a message of a type of their own. There are no connections: ``init``
names all nodes, so they are seeds, and each greets each. A commit to the memory store is done at once; what a
node acknowledged is gone with its process, which Maelstrom does not restart.
"""

from base64 import b64decode, b64encode
from random import Random

from kvgossip.adapters.workloads import BadRequestError, Body, Json, Put, make_workload
from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Key, StartNumber
from kvgossip.model.kv import KvEntry
from kvgossip.model.secret import ClusterSecret
from kvgossip.node.effects import Commit, Done, Event, Notify, Now, Send, Ticket, Written
from kvgossip.node.profile import NodeProfile
from kvgossip.node.replica import Replica
from kvgossip.store.memory import MemoryStore

FRAME = "kvgossip"
"""The type of the messages between nodes."""
ROWS_MAX = 1 << 30
NOT_SUPPORTED, CRASH = 10, 13
"""Error codes of Maelstrom's protocol. The second is indefinite: it may have happened."""

Message = dict[str, Json]


class MaelstromNode:
    """Takes messages and the time; hands out messages and lines for the log."""

    def __init__(self, init: Message, *, workload: str, tuning: Tuning, rng: Random, now: Now) -> None:
        """``init``: the message of that type. Its answer is the first output."""
        body = _body_of(init)
        self._id = str(body["node_id"])
        peers = body["node_ids"]
        assert isinstance(peers, list)
        self._peers = {_address(str(peer)): str(peer) for peer in peers if peer != self._id}
        secret = ClusterSecret.derive("maelstrom", None)
        self._store = MemoryStore(secret.digest_seed)
        self._outputs: list[Message] = []
        self._events: list[Event] = []
        self._waiting: dict[Ticket, tuple[Message, Put]] = {}
        self._next_message = 0
        address = _address(self._id)
        self._replica = Replica(
            NodeProfile(self._id, address, address, tuple(self._peers), tuning),
            store=self._store,
            secret=secret,
            rng=rng,
            start_number=StartNumber(rng.getrandbits(64)),
            now=now,
        )
        self._workload = make_workload(workload, self._id, self._rows)
        self._perform(now)
        for peer in self._peers:
            self._replica.handle_connected(peer, now)
        self._perform(now)
        self._answer(init, {"type": "init_ok"})

    # -- inputs

    def handle(self, message: Message, now: Now) -> None:
        """A message to this node, of a client or another node."""
        body = _body_of(message)
        if body["type"] == FRAME:
            self._replica.receive(_address(str(message["src"])), b64decode(str(body["frame"])), now)
        elif body["type"] == "topology":  # who is whose neighbour does not matter: all talk to all
            self._answer(message, {"type": "topology_ok"})
        else:
            self._handle_request(message, body, now)
        self._perform(now)

    def handle_timer(self, now: Now) -> None:
        self._replica.handle_timer(now)
        self._perform(now)

    # -- outputs

    def next_deadline_ms(self) -> int | None:
        return self._replica.next_deadline_ms()

    def take_outputs(self) -> list[Message]:
        taken, self._outputs = self._outputs, []
        return taken

    def take_events(self) -> list[Event]:
        """What a person may want to read."""
        taken, self._events = self._events, []
        return taken

    # -- private

    def _handle_request(self, message: Message, body: Body, now: Now) -> None:
        try:
            asked = self._workload.handle(body)
        except (BadRequestError, KeyError) as error:
            self._answer(message, {"type": "error", "code": NOT_SUPPORTED, "text": str(error)})
            return
        if isinstance(asked, Put):
            self._waiting[self._replica.put(asked.key, asked.value, now)] = (message, asked)
        else:
            self._answer(message, asked)

    def _perform(self, now: Now) -> None:
        while effects := self._replica.take_effects():
            for effect in effects:
                match effect:
                    case Send(to, data):
                        frame = b64encode(data).decode()
                        self._say(self._peers[to], {"type": FRAME, "frame": frame})
                    case Commit(batch):
                        self._store.write(batch)
                        self._replica.handle_committed(batch, now)
                    case Done():
                        self._end(effect)
                    case Notify(Event() as event):
                        self._events.append(event)

    def _end(self, done: Done) -> None:
        message, put = self._waiting.pop(done.ticket)
        if isinstance(done.result, Written):
            self._answer(message, put.answer(done.result))
        else:
            self._answer(message, {"type": "error", "code": CRASH, "text": str(done.result)})

    def _rows(self) -> list[tuple[Key, bytes]]:
        rows = self._replica.scan(Key(b""), None, rows_max=ROWS_MAX, bytes_max=ROWS_MAX)
        return [
            (key, entry.value.body)
            for key, entry, _ in rows
            if isinstance(entry, KvEntry) and entry.value is not None
        ]

    def _answer(self, message: Message, body: Body) -> None:
        self._say(str(message["src"]), body | {"in_reply_to": _body_of(message)["msg_id"]})

    def _say(self, to: str, body: Body) -> None:
        self._next_message += 1
        self._outputs.append({"src": self._id, "dest": to, "body": body | {"msg_id": self._next_message}})


def _address(node_id: str) -> Address:
    return Address(f"{node_id}:1")


def _body_of(message: Message) -> Body:
    body = message["body"]
    assert isinstance(body, dict)
    return body
