"""Who waits for a batch: what a machine is told once the rows that a message brought are durable."""

from dataclasses import dataclass, field

from kvgossip.model.ids import Address, Key


@dataclass(frozen=True, slots=True)
class RumorOrigin:
    """Entries came by a rumor push; its sender waits for the feedback."""

    sequence: int


@dataclass(frozen=True, slots=True)
class FetchOrigin:
    """Entries came as an answer in our own exchange."""

    session: int
    sequence: int


@dataclass(frozen=True, slots=True)
class GiveOrigin:
    """Entries were given to us in an exchange of the sender."""

    session: int
    sequence: int


Origin = RumorOrigin | FetchOrigin | GiveOrigin


@dataclass(slots=True)
class MergeJob:
    """The entries of one message on their way to the disk. It is told to ``origin`` when all are durable."""

    sender: Address
    origin: Origin
    was_news: bytearray
    """One byte an item, in the order of the message: 1 if it changed anything."""
    refused_count: int = 0
    lagging: list[Key] = field(default_factory=list)
    """Keys of which the merge is not what the sender holds."""
    news: list[tuple[Key, int]] = field(default_factory=list)
    """(key, digest) of each merge that was news."""
    fetching: dict[tuple[Key, int], int] = field(default_factory=dict)
    """Large entries that were offered and are being fetched: (key, digest) to the item's index."""

    @property
    def news_count(self) -> int:
        return sum(self.was_news)


Waiter = MergeJob
