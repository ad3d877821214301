"""One rumor among many nodes in synchronous cycles: the model of Demers et al. 1987, section 1.4.

The rumor machine and the codec are those that ship: every contact is a frame that is encoded and decoded.
Simplified is what is around them. The nodes share one read-only table of members; a node's store is whether
and when it was told; contacts and feedback take no time; and a node has a machine only once it has something
to say (all have one where nodes pull). ``sim/experiments/whole.py`` holds this against whole replicas.

Two rules of what is news. ``AS_SHIPPED``: whoever holds the rumor says so at once. ``AS_IN_PAPER``: what
counts is the state at the start of the cycle, so two contacts of one cycle with a node that did not know are
both useful; and of all that pull from a node in a cycle a useful one resets its counter, and useless ones add
one to it together (the footnote of the paper's Table 3).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from random import Random

from kvgossip.config import RumorDirection, RumorTargets, Tuning
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import encode_entry
from kvgossip.model.ids import Address, Key, Kind, ReplicaId, make_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.stamp import stamp_at
from kvgossip.model.value import Value
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.rumor import RumorMonger
from kvgossip.wire import codec
from kvgossip.wire import messages as m

KEY: Key = make_key(Kind.KV, b"rumor")
ENTRY = KvEntry(Dot(ReplicaId(1 << 63), 1), stamp_at(1_700_000_000_000), Value(b"an update"))
VERSION = 1
CYCLE_MS = 10
CYCLES_MAX = 10_000


class News(Enum):
    """When a node that is told twice says "knew that"."""

    AS_SHIPPED = "as shipped"
    AS_IN_PAPER = "as in the paper"


def in_cycles(tuning: Tuning) -> Tuning:
    """One contact with ``fanout`` peers a cycle, the first one too."""
    return replace(tuning, own_fanout=0, rumor_coalesce_ms=CYCLE_MS, rumor_interval_ms=CYCLE_MS)


PAPER = in_cycles(Tuning(fanout=1, rumor_k=1, rumor_targets=RumorTargets.UNIFORM))
"""Push, feedback, counter; the other variants of the paper are ``replace``d."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What the paper measures. ``traffic``: updates sent, by node. Times are in cycles."""

    residue: float
    traffic: float
    t_avg: float
    t_last: int
    reached: tuple[int, ...]
    """How many nodes hold the rumor, after each cycle; first the one that begins."""
    sent: tuple[int, ...]
    """How many updates were sent by then."""
    bytes_sent: int
    """Of all frames, answers and pulls too."""


class Others(Sequence[Address]):
    """All addresses but one, in the memory of none."""

    __slots__ = ("_all", "_index", "_me")

    def __init__(self, addresses: Sequence[Address], index: dict[Address, int], me: int) -> None:
        self._all = addresses
        self._index = index
        self._me = me

    def __len__(self) -> int:
        return len(self._all) - 1

    def __getitem__(self, number: int) -> Address:  # type: ignore[override]
        return self._all[number + (number >= self._me)] if number < len(self) else self._all[len(self._all)]

    def __contains__(self, address: object) -> bool:
        number = self._index.get(address)  # type: ignore[call-overload]
        return number is not None and number != self._me


@dataclass(slots=True)
class _Node:
    """The machine of one node, and where it puts what it wants sent."""

    monger: RumorMonger
    outbox: Outbox


class Epidemic:
    """``node_count`` nodes, of which the first begins with the rumor."""

    def __init__(self, node_count: int, tuning: Tuning, seed: int, *, news: News = News.AS_SHIPPED) -> None:
        self._tuning = tuning
        self._rng = Random(f"epidemic {seed}")
        self._is_paper = news is News.AS_IN_PAPER
        self._is_pull = tuning.rumor_direction is RumorDirection.PULL
        self._addresses = [Address(f"n{number}:1") for number in range(node_count)]
        self._index = {address: number for number, address in enumerate(self._addresses)}
        self._nodes: dict[int, _Node] = {}
        self._reached_at: dict[int, int] = {}
        self._frames: deque[tuple[int, Address, bytes]] = deque()
        self._told: list[tuple[int, Address]] = []
        """Who was told in this cycle, and by whom; taken note of at its end, in the paper's model."""
        self._feedback: dict[int, list[tuple[Address, m.RumorAnswer]]] = {}
        """Answers to who was pulled from in this cycle, likewise."""
        self._sent_count = 0
        self._bytes_sent = 0
        self._carried = m.Carried(KEY, encode_entry(ENTRY))
        if tuning.rumor_direction is not RumorDirection.PUSH:
            for number in range(node_count):
                self._node(number)
        self._tell(0, None, cycle=0)

    def run(self, *, until_all: bool = False) -> Spread:
        """Until no node is hot; or only until all hold it."""
        reached, sent, count = [1], [0], len(self._addresses)
        for cycle in range(1, CYCLES_MAX):
            self._cycle(cycle)
            reached.append(len(self._reached_at))
            sent.append(self._sent_count)
            if until_all and len(self._reached_at) == count:
                break
            if not any(node.monger.hot_count for node in self._nodes.values()):
                break
        return Spread(
            residue=1 - len(self._reached_at) / count,
            traffic=self._sent_count / count,
            t_avg=sum(self._reached_at.values()) / len(self._reached_at),
            t_last=max(self._reached_at.values()),
            reached=tuple(reached),
            sent=tuple(sent),
            bytes_sent=self._bytes_sent,
        )

    def _cycle(self, cycle: int) -> None:
        now_ms = cycle * CYCLE_MS
        for number, node in list(self._nodes.items()):
            deadline_ms = node.monger.next_deadline_ms()
            if deadline_ms is not None and deadline_ms <= now_ms:
                node.monger.handle_timer(now_ms)
                self._collect(number, node)
        while self._frames:
            sender, to, frame = self._frames.popleft()
            self._deliver(sender, self._index[to], codec.decode(frame), cycle)
        for number, answers in self._feedback.items():
            self._feed_back(self._nodes[number].monger, answers, now_ms)
        self._feedback.clear()
        for number, source in self._told:
            if number not in self._reached_at:
                self._tell(number, source, cycle=cycle)
        self._told.clear()

    def _collect(self, number: int, node: _Node) -> None:
        """Frames of what a machine wants sent."""
        for to, message in node.outbox.take():
            frame = codec.encode(message)
            self._bytes_sent += len(frame)
            self._frames.append((number, to, frame))

    def _deliver(self, sender: int, number: int, message: m.Message, cycle: int) -> None:
        node, source, now_ms = self._node(number), self._addresses[sender], cycle * CYCLE_MS
        node.monger.handle_heard(source, now_ms)
        match message:
            case m.RumorPush():
                self._sent_count += 1
                was_news = self._take(number, source, cycle)
                node.outbox.send(source, m.RumorAnswer(message.sequence, bytes([was_news])))
            case m.RumorAnswer() if self._is_paper and self._is_pull:
                self._feedback.setdefault(number, []).append((source, message))
            case m.RumorAnswer():
                node.monger.handle_answer(source, message, now_ms)
            case m.RumorPull():
                node.monger.handle_pull(source, now_ms)
            case _:
                raise AssertionError(f"no rumor message: {message}")
        self._collect(number, node)

    def _take(self, number: int, source: Address, cycle: int) -> bool:
        """``number`` is told by ``source``. True if that is news to it."""
        if number in self._reached_at:
            self._nodes[number].monger.note_known(KEY, VERSION, source)
            return False
        if self._is_paper:
            self._told.append((number, source))
        else:
            self._tell(number, source, cycle=cycle)
        return True

    def _feed_back(
        self, monger: RumorMonger, answers: list[tuple[Address, m.RumorAnswer]], now_ms: int
    ) -> None:
        """What all that pulled in one cycle add to the counter: nothing if it was news to one, else one.

        To the machine the other contacts did not happen.
        """
        useful = [answer for answer in answers if any(answer[1].was_news)]
        counted = useful or answers[:1]
        for source, answer in counted:
            monger.handle_answer(source, answer, now_ms)
        for source, _ in answers:
            monger.handle_send_failed(source, now_ms)

    def _tell(self, number: int, source: Address | None, *, cycle: int) -> None:
        self._reached_at[number] = cycle
        self._node(number).monger.make_hot(KEY, VERSION, source, cycle * CYCLE_MS)

    def _node(self, number: int) -> _Node:
        node = self._nodes.get(number)
        if node is None:
            outbox = Outbox()
            node = _Node(RumorMonger(self._tuning, self._rng, outbox, lambda key: self._carried), outbox)
            node.monger.set_targets(Others(self._addresses, self._index, number))
            self._nodes[number] = node
        return node
