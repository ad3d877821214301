"""The simulated network: carries the replicas' real bytes between addresses, late, twice, or not at all.

Frames on a link arrive in order, as on a connection, unless they are reordered on purpose. A *cut* link
drops everything silently, also what was on its way, as an iptables DROP does; cuts overlap, so each is
counted and undone by itself.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random

from kvgossip.model.ids import Address
from kvgossip.sim.fault import Fault, Injected
from kvgossip.sim.scheduler import MS, Scheduler

Link = tuple[Address, Address]
"""(from, to): one direction."""
Deliver = Callable[[Address, Address, bytes], None]

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
    """The share of frames that take up to ``tail_us`` longer."""
    tail_us: int = 2_000 * MS


class SimNetwork:
    """All links between the nodes of a cluster."""

    def __init__(self, scheduler: Scheduler, rng: Random, deliver: Deliver, injected: Injected) -> None:
        self.quality = Quality()
        self.frame_count = 0
        self.byte_count = 0
        self._scheduler = scheduler
        self._rng = rng
        self._deliver = deliver
        self._injected = injected
        self._cuts: dict[Link, list[Fault]] = {}
        self._last_us: dict[Link, int] = {}

    def send(self, source: Address, target: Address, data: bytes) -> bool:
        """Take a frame. False if it was dropped at a cut (the sender is not told in real life either)."""
        self.frame_count += 1
        self.byte_count += len(data)
        if self._is_dropped(source, target):
            return False
        quality, rng = self.quality, self._rng
        if quality.loss and rng.random() < quality.loss:
            self._injected[Fault.LOSS] += 1
            return True
        self._carry(source, target, data, self._arrival_us((source, target)))
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

    def is_cut(self, source: Address, target: Address) -> bool:
        return (source, target) in self._cuts

    def _arrival_us(self, link: Link) -> int:
        quality, rng = self.quality, self._rng
        at_us = self._scheduler.now_us + rng.randrange(*quality.delay_us)
        if quality.tail and rng.random() < quality.tail:
            self._injected[Fault.DELAY] += 1
            at_us += rng.randrange(quality.tail_us)
        if quality.reorder and rng.random() < quality.reorder:
            self._injected[Fault.REORDER] += 1
            return at_us + rng.randrange(50 * MS)
        at_us = max(at_us, self._last_us.get(link, 0))
        self._last_us[link] = at_us
        return at_us

    def _carry(self, source: Address, target: Address, data: bytes, at_us: int) -> None:
        self._scheduler.at(at_us, partial(self._arrive, source, target, data))

    def _arrive(self, source: Address, target: Address, data: bytes) -> None:
        if not self._is_dropped(source, target):
            self._deliver(source, target, data)

    def _is_dropped(self, source: Address, target: Address) -> bool:
        faults = self._cuts.get((source, target))
        if faults is None:
            return False
        self._injected[faults[-1]] += 1
        return True
