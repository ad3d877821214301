"""One rumor among many nodes in synchronous cycles: the model of Demers et al. 1987, section 1.4.

The rumor machine and the codec are those that ship; the nodes around them hold nothing but the rumor. In the
paper's model what is news is judged against the state at the start of the cycle, contacts and feedback take
no time, and every node may contact every other.
"""

from dataclasses import dataclass
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Key, Kind, make_key
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.rumor import RumorMonger
from kvgossip.wire import codec
from kvgossip.wire import messages as m

KEY: Key = make_key(Kind.KV, b"rumor")
CYCLE_MS = 10
CYCLES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Spread:
    """What the paper measures. ``traffic``: updates sent, by node. Times are in cycles."""

    residue: float
    traffic: float
    t_avg: float
    t_last: int


class Epidemic:
    """``node_count`` nodes, of which the first begins with the rumor."""

    def __init__(self, node_count: int, tuning: Tuning, seed: int) -> None:
        self._addresses = [Address(f"n{number}:1") for number in range(node_count)]
        self._index = {address: number for number, address in enumerate(self._addresses)}
        self._outboxes = [Outbox() for _ in self._addresses]
        self._reached_at: list[int | None] = [None] * node_count
        self._sent_count = 0
        carried = m.Carried(KEY, b"an update")
        self._mongers = [
            RumorMonger(tuning, Random(f"{seed} {number}"), self._outboxes[number], lambda key: carried)
            for number in range(node_count)
        ]
        for number, monger in enumerate(self._mongers):
            monger.set_targets([a for a in self._addresses if a != self._addresses[number]])
        self._tell(0, None, cycle=0)

    def run(self) -> Spread:
        """Until no node is hot."""
        for cycle in range(1, CYCLES_MAX):
            self._cycle(cycle)
            if not any(monger.hot_count for monger in self._mongers):
                break
        reached = [cycle for cycle in self._reached_at if cycle is not None]
        count = len(self._addresses)
        return Spread(
            residue=1 - len(reached) / count,
            traffic=self._sent_count / count,
            t_avg=sum(reached) / len(reached),
            t_last=max(reached),
        )

    def _cycle(self, cycle: int) -> None:
        for monger in self._mongers:
            monger.handle_timer(cycle * CYCLE_MS)
        news: list[tuple[int, Address]] = []
        while frames := self._take_frames():
            for sender, to, frame in frames:
                self._deliver(sender, to, codec.decode(frame), cycle, news)
        for number, source in news:
            if self._reached_at[number] is None:
                self._tell(number, source, cycle=cycle)

    def _take_frames(self) -> list[tuple[Address, Address, bytes]]:
        return [
            (address, to, codec.encode(message))
            for address, outbox in zip(self._addresses, self._outboxes, strict=True)
            for to, message in outbox.take()
        ]

    def _deliver(
        self, sender: Address, to: Address, message: m.Message, cycle: int, news: list[tuple[int, Address]]
    ) -> None:
        number = self._index[to]
        monger = self._mongers[number]
        match message:
            case m.RumorPush():
                self._sent_count += 1
                was_news = self._reached_at[number] is None
                if was_news:
                    news.append((number, sender))
                self._outboxes[number].send(sender, m.RumorAnswer(message.sequence, bytes([was_news])))
            case m.RumorAnswer():
                monger.handle_answer(sender, message, cycle * CYCLE_MS)
            case m.RumorPull():
                monger.handle_pull(sender, cycle * CYCLE_MS)
            case _:
                raise AssertionError(f"no rumor message: {message}")

    def _tell(self, number: int, source: Address | None, *, cycle: int) -> None:
        self._reached_at[number] = cycle
        self._mongers[number].make_hot(KEY, 1, source, cycle * CYCLE_MS)
