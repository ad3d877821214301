"""One simulated node: a replica with its disk and its clocks, that can be started, crashed and frozen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, StartNumber
from kvgossip.model.secret import ClusterSecret
from kvgossip.node.effects import Now, Ticket
from kvgossip.node.replica import NodeProfile, Replica
from kvgossip.sim.clock import SimClock
from kvgossip.sim.disk import SimDisk
from kvgossip.sim.history import Operation
from kvgossip.sim.scheduler import Action

Input = Callable[[Replica, Now], None]


@dataclass(slots=True, eq=False)
class SimNode:
    """What stays from start to start, and the replica of this one (None while the node is down)."""

    name: str
    address: Address
    seeds: tuple[Address, ...]
    tuning: Tuning
    secret: ClusterSecret
    clock: SimClock
    disk: SimDisk
    rng: Random
    replica: Replica | None = None
    start_count: int = 0
    is_started: bool = False
    """True once the first commit of this start is done."""
    deadline_ms: int | None = None
    """What the replica said last of when it is due, by its monotonic clock."""
    timer_us: int | None = None
    """The moment for which the node's one timer is set."""
    asked: dict[int, Operation] = field(default_factory=dict)
    """What clients wait for, by number; ``tickets``: those that the replica has taken."""
    tickets: dict[Ticket, Operation] = field(default_factory=dict)
    ambush: Action | None = None
    """What is to happen when the next commit begins."""
    is_frozen: bool = False
    backlog: list[Input] = field(default_factory=list)
    """What arrived while the node was frozen."""
    excused_until_us: int = 0
    """Until then clients must bear with this node."""

    @property
    def is_up(self) -> bool:
        return self.replica is not None

    def now(self, now_us: int) -> Now:
        return self.clock.read(now_us)

    def open(self, now_us: int) -> Replica:
        """Start the node on what its disk holds, with a new start number and new luck."""
        assert self.replica is None
        self.start_count += 1
        self.clock.restart(now_us, self.rng.randrange(1 << 40))
        profile = NodeProfile(
            self.name,
            self.address,
            f"{self.name}:7700",
            self.seeds,
            self.tuning,
            announces_visible=True,
        )
        self.replica = Replica(
            profile,
            store=self.disk.store,
            secret=self.secret,
            rng=Random(self.rng.getrandbits(64)),
            start_number=StartNumber(self.rng.getrandbits(64)),
            now=self.now(now_us),
        )
        return self.replica

    def crash(self, *, is_power_loss: bool) -> list[Operation]:
        """End the process. Returns the operations that it has not answered."""
        self.disk.crash(is_power_loss=is_power_loss)
        self.replica = None
        self.is_started = self.is_frozen = False
        self.deadline_ms = self.timer_us = None
        self.backlog.clear()
        self.tickets.clear()
        lost, self.asked = list(self.asked.values()), {}
        return lost
