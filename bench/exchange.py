"""What a repair costs: comparison bytes and messages between two nodes that differ in few of many entries.

Two replicas over memory stores, and a wire that counts, delivers in a millisecond, and can be cut or made to
lose frames. Nothing here depends on the machine but the time that it takes: the figures are bytes and counts.
*Comparison* is everything that an exchange sends but the keys and values of the entries that it carries.
"""

import argparse
import time
from dataclasses import dataclass, field
from random import Random

from bench.environment import Figures, write_result
from kvgossip.config import Tuning
from kvgossip.model.ids import Address, Key, Kind, StartNumber, make_key
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.value import Value
from kvgossip.node.effects import Commit, Now, Send
from kvgossip.node.replica import NodeProfile, Replica
from kvgossip.store.memory import MemoryStore
from kvgossip.wire import codec
from kvgossip.wire import messages as m

TARGETS = {
    "comparison_bytes": 48_000.0,
    "messages": 10.0,
    "equal_bytes": 200.0,
    "bytes_with_loss_ratio": 2.0,
}
EXCHANGE = (
    m.ExchangeOpen
    | m.ExchangeOpened
    | m.Compare
    | m.Compared
    | m.Fetch
    | m.Fetched
    | m.Give
    | m.Given
    | m.ClockShare
    | m.ClockShared
    | m.ExchangeOver
)
SECRET = ClusterSecret.derive("bench", None)
BATCH_ROWS = 512
CUT_MS = 20_000
"""Long enough for each side to give the other one up."""
SETTLE_MS_MAX = 120_000


class Node:
    """A replica whose commits are performed at once; what it sends waits for the wire."""

    def __init__(self, name: str, seeds: tuple[str, ...], seed: int, now: Now) -> None:
        self.address = Address(f"{name}:1")
        self.store = MemoryStore(SECRET.digest_seed)
        self.sends: list[Send] = []
        profile = NodeProfile(name, self.address, f"{name}:2", tuple(Address(s) for s in seeds))
        self.replica = Replica(
            profile,
            store=self.store,
            secret=SECRET,
            rng=Random(f"{seed} {name}"),
            start_number=StartNumber(seed + 1),
            now=now,
        )
        self.perform(now)

    def perform(self, now: Now) -> None:
        while effects := self.replica.take_effects():
            for effect in effects:
                if isinstance(effect, Commit):
                    self.store.write(effect.batch)
                    self.replica.handle_committed(effect.batch, now)
                elif isinstance(effect, Send):
                    self.sends.append(effect)


@dataclass
class Tally:
    """The exchange frames that were sent since it was begun."""

    messages: int = 0
    bytes_sent: int = 0
    entry_bytes: int = 0
    dropped: int = 0
    sessions: set[int] = field(default_factory=set)

    @property
    def comparison_bytes(self) -> int:
        return self.bytes_sent - self.entry_bytes

    def count(self, message: EXCHANGE, size: int) -> None:
        self.messages += 1
        self.bytes_sent += size
        self.sessions.add(message.session)
        if isinstance(message, m.Compared | m.Fetched | m.Give):
            self.entry_bytes += sum(len(entry.key) + len(entry.data) for entry in message.entries)


class Pair:
    """Two nodes and the wire between them."""

    def __init__(self, seed: int) -> None:
        self.ms = 0
        self.is_cut = True
        self.drop_every = 0
        self.tally = Tally()
        self._exchange_frames = 0
        self.nodes = (Node("a", (), seed, self.now), Node("b", ("a:1",), seed, self.now))

    @property
    def now(self) -> Now:
        return Now(self.ms, 1_700_000_000_000 + self.ms)

    @property
    def is_converged(self) -> bool:
        one, two = (node.replica.status() for node in self.nodes)
        return one.root == two.root and one.clock == two.clock

    def write(self, node: Node, names: list[str], body: bytes) -> None:
        """Put all of ``names`` at one node, in batches."""
        for start in range(0, len(names), BATCH_ROWS):
            for name in names[start : start + BATCH_ROWS]:
                node.replica.put(key_of(name), Value(body + name.encode()), self.now)
            node.perform(self.now)
            self.ms += 1

    def run(self, ms: int) -> None:
        end = self.ms + ms
        while self.ms < end:
            self._step(end)

    def converge(self) -> Tally:
        """Mend the wire; the exchange frames until both hold the same, and of a second more."""
        self.tally = Tally()
        self.is_cut = False
        end = self.ms + SETTLE_MS_MAX
        while not self.is_converged:
            assert self.ms < end, "not converged in time"
            self._step(end)
        self.run(1_000)
        tally, self.tally = self.tally, Tally()
        return tally

    def cut(self) -> None:
        """Nothing arrives any more, and both sides have noticed."""
        self.is_cut = True
        self.run(CUT_MS)

    def _step(self, end: int) -> None:
        """One millisecond; or, with nothing on the wire, up to the next deadline."""
        in_transit = [(node, send) for node in self.nodes for send in node.sends]
        for node in self.nodes:
            node.sends = []
        deadlines = [node.replica.next_deadline_ms() for node in self.nodes]
        next_ms = min((d for d in deadlines if d is not None), default=end)
        self.ms = self.ms + 1 if in_transit else max(self.ms + 1, min(next_ms, end))
        for sender, send in in_transit:
            self._carry(sender, send)
        for node in self.nodes:
            node.replica.handle_timer(self.now)
            node.perform(self.now)

    def _carry(self, sender: Node, send: Send) -> None:
        if self.is_cut:
            return
        message = codec.decode(send.data)
        if isinstance(message, EXCHANGE):
            self.tally.count(message, len(send.data))
            self._exchange_frames += 1
            if self.drop_every and self._exchange_frames % self.drop_every == 0:
                self.tally.dropped += 1
                return
        receiver = self.nodes[0] if send.to == self.nodes[0].address else self.nodes[1]
        receiver.replica.receive(sender.address, send.data, self.now)
        receiver.perform(self.now)


def key_of(name: str) -> Key:
    return make_key(Kind.KV, name.encode())


def measure(*, entries: int = 100_000, differing: int = 100, seed: int = 1) -> Figures:
    """One run: fill, join, differ, repair; the same again with every third exchange frame lost."""
    rng = Random(seed)
    pair = Pair(seed)
    one, two = pair.nodes
    names = [f"k/{i:018d}" for i in range(entries)]
    started_s = time.monotonic()
    pair.write(one, names, b"x" * 80)
    pair.write(one, rng.sample(names, entries // 2), b"y" * 80)
    joined = pair.converge()
    pair.run(2_000)

    def differ(body: bytes) -> None:
        pair.cut()
        changed = rng.sample(names, differing)
        pair.write(one, changed[: differing // 2], body)
        pair.write(two, changed[differing // 2 :], body)

    differ(b"1" * 80)
    repair = pair.converge()
    pair.run(2_000)
    pair.tally = Tally()
    pair.run(3 * Tuning().exchange_interval_ms)
    equal = pair.tally
    pair.drop_every = 3
    differ(b"2" * 80)
    lossy = pair.converge()
    assert lossy.dropped > 0
    return {
        "comparison_bytes": repair.comparison_bytes,
        "messages": repair.messages,
        "sessions": len(repair.sessions),
        "entry_bytes": repair.entry_bytes,
        "equal_bytes": equal.bytes_sent / len(equal.sessions),
        "equal_messages": equal.messages / len(equal.sessions),
        "comparison_bytes_with_loss": lossy.comparison_bytes,
        "messages_with_loss": lossy.messages,
        "dropped": lossy.dropped,
        "bytes_with_loss_ratio": lossy.comparison_bytes / repair.comparison_bytes,
        "join_comparison_bytes": joined.comparison_bytes,
        "join_messages": joined.messages,
        "run_s": time.monotonic() - started_s,
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench exchange")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--differing", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    runs = [
        measure(entries=options.entries, differing=options.differing, seed=seed)
        for seed in range(1, options.runs + 1)
    ]
    parameters: dict[str, object] = {
        "entries": options.entries,
        "differing": options.differing,
        "value_bytes": 100,
        "seeds": f"1 to {options.runs}",
    }
    write_result("exchange", parameters, runs, TARGETS)
