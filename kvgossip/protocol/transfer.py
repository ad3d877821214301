"""Transfer: an entry too large for a batch is fetched in chunks by who needs it, and merged when whole.

It is never split by sibling: merging some siblings under the whole vector would erase the absent ones. The
receiver pulls, so it bounds its own memory; an entry is named by its digest, so chunks of two versions never
mix; what came stays, so a broken connection costs the chunks that were in flight.

Invariants: the sizes of unfinished entries, each counted as a chunk at least, add up to at most
``transfer_bytes_max``; further offers are not begun (their exchange or rumor is tried again later). At most
``chunks_in_flight_max`` asks are unanswered an entry. A time-out counts from the last chunk that came.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from kvgossip.config import CHUNK_BYTES, MERGED_ENTRY_BYTES_MAX, Tuning
from kvgossip.model.digest import entry_digest
from kvgossip.model.ids import Address, Key
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import Chunk, ChunkAsk, Offer

TRIES_MAX = 5
SERVED_KEPT_MS = 5_000
Name = tuple[Key, int]
"""A version of an entry: key and digest."""


@dataclass(slots=True)
class Transfer:
    """One entry on its way."""

    offer: Offer
    source: Address
    deadline_ms: int
    chunks: dict[int, bytes] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    next_offset: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A transfer that ended. ``data`` is None if it failed: too slow, gone, or not what was offered."""

    key: Key
    digest: int
    source: Address
    data: bytes | None


class Transfers:
    """All large entries that a node is fetching."""

    def __init__(self, tuning: Tuning, digest_seed: int, outbox: Outbox) -> None:
        self._tuning = tuning
        self._seed = digest_seed
        self._outbox = outbox
        self._active: dict[Name, Transfer] = {}
        self._bytes_reserved = 0

    def begin(self, offer: Offer, source: Address, now_ms: int) -> bool:
        """Fetch what ``source`` offered; joins a transfer of the same version. False if there is no room."""
        if (offer.key, offer.digest) in self._active:
            return True
        if not 0 < offer.size <= MERGED_ENTRY_BYTES_MAX:
            return False
        if self._bytes_reserved + _reserved_for(offer) > self._tuning.transfer_bytes_max:
            return False
        self._bytes_reserved += _reserved_for(offer)
        transfer = Transfer(offer, source, now_ms + self._tuning.exchange_timeout_ms)
        self._active[(offer.key, offer.digest)] = transfer
        self._ask(transfer)
        return True

    def handle_chunk(self, sender: Address, chunk: Chunk, now_ms: int) -> Outcome | None:
        """The end of the transfer, if this chunk brings it about."""
        transfer = self._active.get((chunk.key, chunk.digest))
        if transfer is None or transfer.source != sender or chunk.offset not in transfer.asked:
            return None
        expected = min(CHUNK_BYTES, transfer.offer.size - chunk.offset)
        if len(chunk.data) != expected:  # empty: the source has moved on; else it cuts chunks otherwise
            return self._end(transfer, None)
        transfer.asked.discard(chunk.offset)
        transfer.chunks[chunk.offset] = chunk.data
        transfer.tries = 0
        transfer.deadline_ms = now_ms + self._tuning.exchange_timeout_ms
        if sum(map(len, transfer.chunks.values())) < transfer.offer.size:
            self._ask(transfer)
            return None
        data = b"".join(transfer.chunks[offset] for offset in sorted(transfer.chunks))
        is_whole = entry_digest(self._seed, chunk.key, data) == chunk.digest
        return self._end(transfer, data if is_whole else None)

    def handle_timer(self, now_ms: int) -> list[Outcome]:
        """Ask again for what did not come; give up what never will."""
        outcomes = []
        for transfer in [t for t in self._active.values() if t.deadline_ms <= now_ms]:
            transfer.tries += 1
            if transfer.tries >= TRIES_MAX:
                outcomes.append(self._end(transfer, None))
                continue
            transfer.deadline_ms = now_ms + self._tuning.exchange_timeout_ms
            for offset in sorted(transfer.asked):
                self._send_ask(transfer, offset)
        return outcomes

    def next_deadline_ms(self) -> int | None:
        return min((transfer.deadline_ms for transfer in self._active.values()), default=None)

    def check_invariants(self) -> None:
        assert self._bytes_reserved == sum(_reserved_for(t.offer) for t in self._active.values())
        assert self._bytes_reserved <= self._tuning.transfer_bytes_max
        for transfer in self._active.values():
            assert 0 < len(transfer.asked) <= self._tuning.chunks_in_flight_max

    def _ask(self, transfer: Transfer) -> None:
        while (
            transfer.next_offset < transfer.offer.size
            and len(transfer.asked) < self._tuning.chunks_in_flight_max
        ):
            offset = transfer.next_offset
            transfer.next_offset += CHUNK_BYTES
            transfer.asked.add(offset)
            self._send_ask(transfer, offset)

    def _send_ask(self, transfer: Transfer, offset: int) -> None:
        offer = transfer.offer
        self._outbox.send(transfer.source, ChunkAsk(offer.key, offer.digest, offset))

    def _end(self, transfer: Transfer, data: bytes | None) -> Outcome:
        offer = transfer.offer
        del self._active[(offer.key, offer.digest)]
        self._bytes_reserved -= _reserved_for(offer)
        return Outcome(offer.key, offer.digest, transfer.source, data)


def _reserved_for(offer: Offer) -> int:
    """Small ones cost too: a peer could offer a great many."""
    return max(offer.size, CHUNK_BYTES)


class ChunkServer:
    """Answers ``ChunkAsk`` from committed entries.

    Keeps the entry served last, or every chunk of it would cost a read and a digest of the whole. Serving it
    although a newer version is here is right: it was durable here, and a merge takes it as well.
    """

    def __init__(self, digest_seed: int, outbox: Outbox) -> None:
        self._seed = digest_seed
        self._outbox = outbox
        self._name: Name | None = None
        self._data = b""
        self._drop_at_ms = 0

    def answer(
        self, sender: Address, ask: ChunkAsk, load: Callable[[Key], bytes | None], now_ms: int
    ) -> None:
        """Send the chunk, or an empty one if this node does not hold the version asked for."""
        name = (ask.key, ask.digest)
        if self._name != name:
            data = load(ask.key)
            is_held = data is not None and entry_digest(self._seed, ask.key, data) == ask.digest
            if data is None or not is_held:
                self._outbox.send(sender, Chunk(ask.key, ask.digest, ask.offset, b""))
                return
            self._name, self._data = name, data
        self._drop_at_ms = now_ms + SERVED_KEPT_MS
        self._outbox.send(
            sender, Chunk(ask.key, ask.digest, ask.offset, self._data[ask.offset : ask.offset + CHUNK_BYTES])
        )

    def handle_timer(self, now_ms: int) -> None:
        if self._name is not None and now_ms >= self._drop_at_ms:
            self._name, self._data = None, b""

    def next_deadline_ms(self) -> int | None:
        return None if self._name is None else self._drop_at_ms
