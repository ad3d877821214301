"""Connections between simulated nodes: opened when a frame needs one, gone with either end's process.

As over TCP, both sides hear ``handle_connected`` when one opens. Who cannot be reached is reported by
``handle_send_failed``: at once by a host that refuses, after a time-out by one that is cut off, once for all
frames that waited; the connection is gone with them.
"""

from collections.abc import Callable
from functools import partial

from kvgossip.sim.node import Input, SimNode
from kvgossip.sim.scheduler import MS, SECOND, Scheduler

CONNECT_TIMEOUT_US = 1 * SECOND
"""Half of what the runtime gives it: more failures are told in a partition of some seconds."""
REFUSED_US = 1 * MS
"""How long it takes to hear that nobody listens."""

Feed = Callable[[SimNode, Input], None]
Note = Callable[[SimNode, str], None]
Pair = tuple[str, str]


class Connections:
    """All connections of a cluster. ``feed`` gives a node an input, ``note`` writes the trace."""

    def __init__(self, scheduler: Scheduler, feed: Feed, note: Note) -> None:
        self._scheduler = scheduler
        self._feed = feed
        self._note = note
        self._open: dict[Pair, tuple[int, int]] = {}
        """The starts of both ends, by their names in order."""
        self._failing: set[Pair] = set()
        """(from, to) of frames that wait for a connection which will not come."""

    def is_open(self, one: SimNode, other: SimNode) -> bool:
        pair, starts = _ends(one, other)
        return self._open.get(pair) == starts

    def open(self, sender: SimNode, receiver: SimNode) -> None:
        """The first frame of ``sender`` arrives: there is a connection, and both know."""
        pair, starts = _ends(sender, receiver)
        self._open[pair] = starts
        self._note(receiver, f"connected with {sender.name}")
        self._feed(sender, lambda replica, now: replica.handle_connected(receiver.address, now))
        self._feed(receiver, lambda replica, now: replica.handle_connected(sender.address, now))

    def refuse(self, sender: SimNode, receiver: SimNode) -> None:
        """Nobody listens at ``receiver``."""
        self._fail_later(sender, receiver, REFUSED_US)

    def time_out(self, sender: SimNode, receiver: SimNode) -> None:
        """Nothing comes back from ``receiver``, not even a refusal."""
        self._fail_later(sender, receiver, CONNECT_TIMEOUT_US)

    def _fail_later(self, sender: SimNode, receiver: SimNode, delay_us: int) -> None:
        link = (sender.name, receiver.name)
        if link not in self._failing:
            self._failing.add(link)
            self._scheduler.after(delay_us, partial(self._fail, sender, receiver))

    def _fail(self, sender: SimNode, receiver: SimNode) -> None:
        self._failing.discard((sender.name, receiver.name))
        self._open.pop(_ends(sender, receiver)[0], None)
        self._note(sender, f"cannot send to {receiver.name}")
        self._feed(sender, lambda replica, now: replica.handle_send_failed(receiver.address, now))


def _ends(one: SimNode, other: SimNode) -> tuple[Pair, tuple[int, int]]:
    if one.name < other.name:
        return (one.name, other.name), (one.start_count, other.start_count)
    return (other.name, one.name), (other.start_count, one.start_count)
