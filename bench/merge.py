"""Merging: entries a second on one core, from the frame of a peer to the disk and the answer.

Two replicas on RocksDB in this process. First one gets all entries from the other by an exchange. Then frames
of rumors come, 512 entries each: new keys, overwrites of random ones, and the same again, which is no news.
What is counted is processor time of all threads, RocksDB's too, so a slow disk changes nothing; of the
exchange it is that of the node that gets the entries. Keys are uniform over what the store holds.
``python -m bench join --entries 1000000`` is the exchange between two processes.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from random import Random

from bench.environment import Figures, write_result
from bench.filled import KEY_BYTES, VALUE_BYTES, WALL_MS, entry_of, fill, key_of
from kvgossip.config import Tuning
from kvgossip.model.ids import Address, StartNumber
from kvgossip.model.secret import ClusterSecret
from kvgossip.node.effects import Commit, Now, Send
from kvgossip.node.profile import NodeProfile
from kvgossip.node.replica import Replica
from kvgossip.runtime.collector import freeze_what_started
from kvgossip.store.rocks import RocksStore
from kvgossip.wire import codec
from kvgossip.wire.messages import Carried, RumorPush

BATCH_ROWS = 512
SECRET = ClusterSecret.derive("bench", None)
TARGETS_MIN = {"exchanged_per_s": 40_000.0, "new_per_s": 40_000.0, "overwritten_per_s": 40_000.0}
QUIET = Tuning(exchange_interval_ms=10**9, recount_pause_ms=10**9, aggregate_interval_ms=10**9)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench merge")
    parser.add_argument("--entries", type=int, default=1_000_000, help="held while merging")
    parser.add_argument("--merges", type=int, default=100_000, help="entries of each kind of rumor")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    runs = [measure(options.entries, options.merges, seed) for seed in range(options.runs)]
    parameters: dict[str, object] = {
        "entries": options.entries,
        "merges": options.merges,
        "key_bytes": KEY_BYTES,
        "value_bytes": VALUE_BYTES,
        "entries_a_rumor": BATCH_ROWS,
    }
    write_result("merge", parameters, runs, {}, targets_min=TARGETS_MIN)


def measure(entries: int, merges: int, seed: int) -> Figures:
    rng = Random(seed)
    directory = Path(tempfile.mkdtemp(prefix="kvgossip-merge-"))
    stores = [RocksStore(directory / name, SECRET.digest_seed) for name in "ab"]
    try:
        fill(stores[1], SECRET.digest_seed, entries)
        pair = Pair(stores, seed, counter=entries)
        freeze_what_started()  # as a node does
        exchanged_s = pair.exchange()
        new = list(range(entries, entries + merges))
        rng.shuffle(new)
        new_s = pair.receive(new, pair.counter)
        overwritten = rng.sample(range(entries), merges)
        before = pair.counter
        overwritten_s = pair.receive(overwritten, before)
        known_s = pair.receive(overwritten, before)
        assert stores[0].tree.root.row_count == entries + merges
    finally:
        for store in stores:
            store.close()
        shutil.rmtree(directory)
    return {
        "exchanged_per_s": entries / exchanged_s,
        "new_per_s": merges / new_s,
        "overwritten_per_s": merges / overwritten_s,
        "known_per_s": merges / known_s,
    }


class Pair:
    """The replica that is measured, number 0, and a peer."""

    def __init__(self, stores: list[RocksStore], seed: int, *, counter: int) -> None:
        """``counter``: of the last write that the peer holds."""
        self.counter = counter
        self._ms = 0
        self._sequence = 0
        self._stores = stores
        self._replicas = [self._make(number, seed) for number in range(2)]
        self.replica = self._replicas[0]
        self._spent_s = 0.0
        self._meet()

    @property
    def now(self) -> Now:
        return Now(self._ms, WALL_MS + self._ms)

    def commit(self) -> None:
        """Make durable what clients wrote at the first one."""
        self._perform(0)

    def exchange(self) -> float:
        """Until both hold the same; processor seconds of the first one."""
        self._spent_s = 0.0
        while self._stores[0].tree.root != self._stores[1].tree.root:
            self._ms += 1
            for number in range(2):
                self._step(number)
        return self._spent_s

    def receive(self, numbers: list[int], counter: int) -> float:
        """Writes behind ``counter`` to the keys of ``numbers`` come as rumors; processor seconds."""
        self._spent_s = 0.0
        for start in range(0, len(numbers), BATCH_ROWS):
            self._sequence += 1
            carried = [
                Carried(key_of(number), entry_of(write, b"%0*d" % (VALUE_BYTES, write)))
                for write, number in enumerate(numbers[start : start + BATCH_ROWS], counter + start + 1)
            ]
            frame = codec.encode(RumorPush(self._sequence, tuple(carried), ()))
            self._ms += 10
            self._take(0, frame)
            self._step(0, answers=False)
        self.counter = max(self.counter, counter + len(numbers))
        return self._spent_s

    def _make(self, number: int, seed: int) -> Replica:
        name, other = ("a", "b") if number == 0 else ("b", "a")
        profile = NodeProfile(name, Address(f"{name}:1"), f"{name}:2", (Address(f"{other}:1"),), QUIET)
        return Replica(
            profile,
            store=self._stores[number],
            secret=SECRET,
            rng=Random(f"{seed} {name}"),
            start_number=StartNumber(number + 1),
            now=self.now,
        )

    def _meet(self) -> None:
        """Until each has the other one's word."""
        while min(len(replica.members(self.now)) for replica in self._replicas) < 2:
            self._ms += 1
            for number in range(2):
                self._step(number)

    def _step(self, number: int, *, answers: bool = True) -> None:
        """What is due at one replica, and what it sends to the other, if that is to get it."""
        started_s = time.process_time()
        self._replicas[number].handle_timer(self.now)
        sends = self._perform(number)
        if number == 0:
            self._spent_s += time.process_time() - started_s
        for send in sends:
            if answers:
                self._take(1 - number, send.data)

    def _take(self, number: int, frame: bytes) -> None:
        """A frame arrives; what it makes durable is; answers wait for the next step."""
        started_s = time.process_time()
        self._replicas[number].receive(Address("b:1" if number == 0 else "a:1"), frame, self.now)
        if number == 0:
            self._spent_s += time.process_time() - started_s

    def _perform(self, number: int) -> list[Send]:
        """Commit at once what a replica wants to commit; what it wants to send."""
        replica, sends = self._replicas[number], []
        while effects := replica.take_effects():
            for effect in effects:
                if isinstance(effect, Commit):
                    self._stores[number].write(effect.batch)
                    replica.handle_committed(effect.batch, self.now)
                elif isinstance(effect, Send):
                    sends.append(effect)
        return sends
