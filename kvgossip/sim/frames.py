"""What a frame tells: the entries, clocks, roots and counters that its sender lets others see."""

from dataclasses import dataclass

from kvgossip.model.clock import NodeClock
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import decode_clock
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key
from kvgossip.sim.ledger import Ledger
from kvgossip.wire import messages as m
from kvgossip.wire.codec import decode


@dataclass(frozen=True, slots=True)
class Told:
    """The contents of one frame that a commit must have come before."""

    name: str
    entries: tuple[tuple[Key, Entry], ...] = ()
    digests: tuple[tuple[Key, int], ...] = ()
    clocks: tuple[NodeClock, ...] = ()
    roots: tuple[int, ...] = ()
    dots: tuple[Dot, ...] = ()
    """Dots whose effect the sender says it holds."""
    heard_of: tuple[Dot, ...] = ()
    """Dots that it says exist."""


def read_frame(ledger: Ledger, data: bytes) -> Told:
    """Decode a frame as a peer would."""
    message = decode(data)
    name = type(message).__name__
    match message:
        case m.RumorPush() | m.Compared() | m.Fetched() | m.Give():
            entries = tuple((item.key, ledger.decode(item.key, item.data)) for item in message.entries)
            digests = tuple((offer.key, offer.digest) for offer in message.offers)
            dots = tuple(dot for offer in message.offers for dot in offer.dots)
            return Told(name, entries=entries, digests=digests, dots=dots)
        case m.Chunk():
            return Told(name, digests=((message.key, message.digest),) if message.data else ())
        case m.ClockShare() | m.ClockShared():
            clocks = (decode_clock(message.clock),) if message.clock else ()
            return Told(name, clocks=clocks, roots=(message.root,))
        case m.ExchangeOpen() | m.ExchangeOpened() | m.RootAnswer():
            return Told(name, roots=(message.root,))
        case m.Hello():
            return Told(name, dots=_dots(message.me), heard_of=_dots(message.you))
        case _:
            return Told(name)


def _dots(known: m.Known | None) -> tuple[Dot, ...]:
    return (Dot(known.replica, known.counter),) if known is not None and known.counter else ()
