"""The simulated network: carries the replicas' real bytes between addresses, late, twice, or not at all.

Frames on a link arrive in order, as on a connection, unless they are reordered on purpose. A *cut* link
drops everything silently, also what was on its way, as an iptables DROP does; cuts overlap, so each is
counted and undone by itself. A *narrow* network carries so many bytes a second on each link and drops what
would wait too long.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random

import msgpack

from kvgossip.model.ids import Address
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.scheduler import MS, Scheduler

Link = tuple[Address, Address]
"""(from, to): one direction."""
Deliver = Callable[[Address, Address, bytes], None]
OnFrame = Callable[[Address, Address, bytes, int | None], None]
"""A frame from one address to another, and when it will arrive; None if it was lost or dropped."""

PAST_MAX = 1_000
"""Frames kept for replay."""
QUEUE_US = 4_000 * MS
"""How long a frame may wait for a narrow link."""
STRANGE_FRAMES = (b"\x01\x92\x7b\xc0", b"\x02\x92\x01\xc0", b"\x01\x93\xcc\xc8\x01\x90")
"""Message types 123 and 200 of this wire version, and a message of version 2."""
LATE_US = 5_000 * MS
"""How late the second copy of a frame can come: long after the exchange or the start that it belonged to."""


@dataclass(slots=True)
class Quality:
    """How bad the network is at the moment: chances a frame, and times in microseconds."""

    delay_us: tuple[int, int] = (100, 2 * MS)
    loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0
    tail: float = 0.0
    """The share of frames that take longer, by a Pareto distribution of ``tail_us``: seldom by seconds."""
    tail_us: tuple[int, int] = (20 * MS, 5_000 * MS)
    """Its least value, and where it is cut off."""
    replay: float = 0.0
    """The share of frames that bring another one along, of this run's past."""
    later: frozenset[Address] = frozenset()
    """Nodes of a later version: their messages have a field more than this one knows."""
    bytes_per_s: int | None = None


class SimNetwork:
    """All links between the nodes of a cluster."""

    def __init__(self, scheduler: Scheduler, rng: Random, deliver: Deliver, injected: Injected) -> None:
        self.quality = Quality()
        self.frame_count = 0
        self.byte_count = 0
        self.on_frame: OnFrame | None = None
        """Told of every frame, for whoever watches a run."""
        self._scheduler = scheduler
        self._rng = rng
        self._deliver = deliver
        self._injected = injected
        self._cuts: dict[Link, list[Fault]] = {}
        self._last_us: dict[Link, int] = {}
        self._free_us: dict[Link, int] = {}
        """When a narrow link has carried what it was given."""
        self._past: deque[tuple[Address, Address, bytes]] = deque(maxlen=PAST_MAX)

    def send(self, source: Address, target: Address, data: bytes) -> bool:
        """Take a frame. False if it was dropped at a cut (the sender is not told in real life either)."""
        self.frame_count += 1
        self.byte_count += len(data)
        if self._is_dropped(source, target):
            self._show(source, target, data, None)
            return False
        quality, rng = self.quality, self._rng
        if quality.loss and rng.random() < quality.loss:
            self._injected[Fault.LOSS] += 1
            self._show(source, target, data, None)
            return True
        if quality.bytes_per_s is not None and self._is_overflowing((source, target), len(data)):
            self._show(source, target, data, None)
            return False
        if source in quality.later and 0x90 <= data[1] < 0x9F:
            self._injected[Fault.STRANGE] += 1
            data = _with_a_field_more(data)
        self._carry(source, target, data, self._arrival_us((source, target)))
        self._past.append((source, target, data))
        if quality.replay and rng.random() < quality.replay:
            self._replay()
        if quality.duplication and rng.random() < quality.duplication:
            self._injected[Fault.DUPLICATION] += 1
            late_us = LATE_US if rng.random() < 0.1 else 200 * MS
            self._carry(source, target, data, self._scheduler.now_us + rng.randrange(late_us))
        return True

    def cut(self, links: Iterable[Link], fault: Fault) -> None:
        for link in links:
            self._cuts.setdefault(link, []).append(fault)

    def mend(self, links: Iterable[Link], fault: Fault) -> None:
        """Undo one ``cut`` of the same links."""
        for link in links:
            faults = self._cuts[link]
            faults.remove(fault)
            if not faults:
                del self._cuts[link]

    def cut_links(self) -> list[Link]:
        """In order."""
        return sorted(self._cuts)

    def is_cut(self, source: Address, target: Address) -> bool:
        return (source, target) in self._cuts

    def forge(self, source: Address, target: Address, data: bytes, fault: Fault) -> None:
        """Let a frame arrive that nobody sent."""
        if not self._is_dropped(source, target):
            self._injected[fault] += 1
            self._carry(source, target, data, self._arrival_us((source, target)))

    def _replay(self) -> None:
        source, target, data = self._rng.choice(self._past)
        if not self._is_dropped(source, target):
            self._injected[Fault.REPLAY] += 1
            self._carry(source, target, data, self._scheduler.now_us + self._rng.randrange(2 * MS))

    def _is_overflowing(self, link: Link, size: int) -> bool:
        """Put a frame into the queue of a narrow link; True if there is no room for it."""
        assert self.quality.bytes_per_s is not None
        now_us = self._scheduler.now_us
        begins_us = max(now_us, self._free_us.get(link, 0))
        self._injected[Fault.NARROW] += begins_us > now_us
        if begins_us - now_us > QUEUE_US:
            return True
        self._free_us[link] = begins_us + size * 1_000_000 // self.quality.bytes_per_s
        return False

    def _arrival_us(self, link: Link) -> int:
        quality, rng = self.quality, self._rng
        at_us = max(self._scheduler.now_us, self._free_us.get(link, 0)) + rng.randrange(*quality.delay_us)
        if quality.tail and rng.random() < quality.tail:
            self._injected[Fault.DELAY] += 1
            least_us, most_us = quality.tail_us
            at_us += min(int(least_us * rng.paretovariate(0.7)), most_us)
        if quality.reorder and rng.random() < quality.reorder:
            self._injected[Fault.REORDER] += 1
            return at_us + rng.randrange(50 * MS)
        at_us = max(at_us, self._last_us.get(link, 0))
        self._last_us[link] = at_us
        return at_us

    def _carry(self, source: Address, target: Address, data: bytes, at_us: int) -> None:
        self._show(source, target, data, at_us)
        self._scheduler.at(at_us, partial(self._arrive, source, target, data))

    def _show(self, source: Address, target: Address, data: bytes, at_us: int | None) -> None:
        if self.on_frame is not None:
            self.on_frame(source, target, data, at_us)

    def _arrive(self, source: Address, target: Address, data: bytes) -> None:
        if not self._is_dropped(source, target):
            self._deliver(source, target, data)

    def _is_dropped(self, source: Address, target: Address) -> bool:
        faults = self._cuts.get((source, target))
        if faults is None:
            return False
        self._injected[faults[-1]] += 1
        return True


def _with_a_field_more(frame: bytes) -> bytes:
    """The same message as a later version might write it; what rides behind it stays as it is."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(frame[1:])
    unpacker.skip()
    end = 1 + unpacker.tell()
    return frame[:1] + bytes([frame[1] + 1]) + frame[2:end] + b"\xc0" + frame[end:]
