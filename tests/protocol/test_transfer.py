"""Large entries in chunks, by hand."""

from kvgossip.config import CHUNK_BYTES, MERGED_ENTRY_BYTES_MAX, Tuning
from kvgossip.model.digest import entry_digest
from kvgossip.model.ids import Address, Key
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.transfer import SERVED_KEPT_MS, TRIES_MAX, ChunkServer, Transfers
from kvgossip.wire.messages import Chunk, ChunkAsk, Offer
from tests.protocol.stores import kv, with_tuning

A, B = Address("a:1"), Address("b:1")
SEED = 42
KEY = kv("large")
DATA = bytes(range(256)) * 1_000  # 3.9 chunks
OFFER = Offer(KEY, entry_digest(SEED, KEY, DATA), len(DATA), ())


class Hand:
    """A node that fetches; chunks are cut from ``DATA``."""

    def __init__(self, tuning: Tuning | None = None) -> None:
        self.outbox = Outbox()
        self.transfers = Transfers(tuning or Tuning(), SEED, self.outbox)

    def asks(self) -> list[tuple[Address, int]]:
        """(whom, offset) of everything asked since the last call."""
        self.transfers.check_invariants()
        sent = self.outbox.take()
        return [(to, ask.offset) for to, ask in sent if isinstance(ask, ChunkAsk)]


def chunk(offset: int, data: bytes | None = None, *, offer: Offer = OFFER) -> Chunk:
    data = DATA[offset : offset + CHUNK_BYTES] if data is None else data
    return Chunk(offer.key, offer.digest, offset, data)


OFFSETS = list(range(0, len(DATA), CHUNK_BYTES))


def test_an_entry_is_asked_for_in_chunks_and_whole_when_all_have_come() -> None:
    hand = Hand()
    assert hand.transfers.begin(OFFER, A, 0)
    assert hand.asks() == [(A, offset) for offset in OFFSETS]
    for offset in OFFSETS[:-1]:
        assert hand.transfers.handle_chunk(A, chunk(offset), 1) is None
    outcome = hand.transfers.handle_chunk(A, chunk(OFFSETS[-1]), 1)
    assert outcome is not None
    assert (outcome.key, outcome.digest, outcome.source, outcome.data) == (KEY, OFFER.digest, A, DATA)
    assert hand.transfers.next_deadline_ms() is None


def test_chunks_may_come_in_any_order_and_twice() -> None:
    hand = Hand()
    hand.transfers.begin(OFFER, A, 0)
    for offset in (*reversed(OFFSETS[1:]), *OFFSETS[1:]):
        assert hand.transfers.handle_chunk(A, chunk(offset), 1) is None
    outcome = hand.transfers.handle_chunk(A, chunk(0), 1)
    assert outcome is not None
    assert outcome.data == DATA


def test_at_most_so_many_chunks_are_under_way() -> None:
    hand = Hand(with_tuning(chunks_in_flight_max=2))
    hand.transfers.begin(OFFER, A, 0)
    assert hand.asks() == [(A, 0), (A, CHUNK_BYTES)]
    hand.transfers.handle_chunk(A, chunk(CHUNK_BYTES), 1)
    assert hand.asks() == [(A, 2 * CHUNK_BYTES)]


def test_a_lost_chunk_is_asked_for_again_counted_from_the_last_that_came() -> None:
    hand = Hand()
    hand.transfers.begin(OFFER, A, 0)
    hand.asks()
    hand.transfers.handle_chunk(A, chunk(0), 900)
    hand.transfers.handle_chunk(A, chunk(CHUNK_BYTES), 950)
    assert hand.transfers.next_deadline_ms() == 1_950
    assert hand.transfers.handle_timer(1_949) == []
    assert hand.asks() == []
    assert hand.transfers.handle_timer(1_950) == []
    assert hand.asks() == [(A, 2 * CHUNK_BYTES), (A, 3 * CHUNK_BYTES)]


def test_a_silent_source_is_given_up_and_progress_resets_the_count() -> None:
    hand = Hand()
    hand.transfers.begin(OFFER, A, 0)
    now_ms = 0
    for _ in range(TRIES_MAX - 1):
        now_ms += 1_000
        assert hand.transfers.handle_timer(now_ms) == []
    hand.transfers.handle_chunk(A, chunk(0), now_ms)
    for _ in range(TRIES_MAX - 1):
        now_ms += 1_000
        assert hand.transfers.handle_timer(now_ms) == []
    [outcome] = hand.transfers.handle_timer(now_ms + 1_000)
    assert (outcome.digest, outcome.data) == (OFFER.digest, None)
    assert hand.transfers.next_deadline_ms() is None


def test_a_version_that_is_gone_at_its_source_ends_the_transfer() -> None:
    hand = Hand()
    hand.transfers.begin(OFFER, A, 0)
    outcome = hand.transfers.handle_chunk(A, chunk(CHUNK_BYTES, b""), 1)
    assert outcome is not None
    assert outcome.data is None
    assert hand.transfers.handle_chunk(A, chunk(0), 1) is None, "late chunks are ignored"


def test_bytes_that_are_not_what_was_offered_end_the_transfer() -> None:
    hand = Hand()
    hand.transfers.begin(OFFER, A, 0)
    for offset in OFFSETS[1:]:
        assert hand.transfers.handle_chunk(A, chunk(offset), 1) is None
    outcome = hand.transfers.handle_chunk(A, chunk(0, bytes(CHUNK_BYTES)), 1)
    assert outcome is not None
    assert outcome.data is None


def test_a_chunk_of_another_length_ends_the_transfer() -> None:
    for data in (DATA[: CHUNK_BYTES - 1], DATA[: CHUNK_BYTES + 1]):
        hand = Hand()
        hand.transfers.begin(OFFER, A, 0)
        outcome = hand.transfers.handle_chunk(A, chunk(0, data), 1)
        assert outcome is not None
        assert outcome.data is None


def test_chunks_that_nobody_asked_for_are_ignored() -> None:
    hand = Hand()
    hand.transfers.begin(OFFER, A, 0)
    other = Offer(KEY, OFFER.digest + 1, len(DATA), ())
    assert hand.transfers.handle_chunk(B, chunk(0), 1) is None
    assert hand.transfers.handle_chunk(A, chunk(1), 1) is None
    assert hand.transfers.handle_chunk(A, chunk(0, offer=other), 1) is None
    assert hand.transfers.handle_chunk(A, chunk(len(DATA) + CHUNK_BYTES, b""), 1) is None
    assert hand.transfers.next_deadline_ms() == 1_000, "none of them was progress"


def test_two_offers_of_one_version_are_one_transfer() -> None:
    hand = Hand()
    assert hand.transfers.begin(OFFER, A, 0)
    hand.asks()
    assert hand.transfers.begin(OFFER, B, 5)
    assert hand.asks() == []


def test_two_versions_of_a_key_do_not_mix() -> None:
    hand = Hand()
    other_data = DATA[::-1]
    other = Offer(KEY, entry_digest(SEED, KEY, other_data), len(other_data), ())
    hand.transfers.begin(OFFER, A, 0)
    hand.transfers.begin(other, A, 0)
    outcomes = []
    for offset in OFFSETS:
        theirs = other_data[offset : offset + CHUNK_BYTES]
        outcomes.append(hand.transfers.handle_chunk(A, chunk(offset), 1))
        outcomes.append(hand.transfers.handle_chunk(A, chunk(offset, theirs, offer=other), 1))
    assert [outcome.data for outcome in outcomes if outcome is not None] == [DATA, other_data]


def test_memory_for_unfinished_entries_is_bounded_and_given_back() -> None:
    hand = Hand(with_tuning(transfer_bytes_max=len(DATA) + 10))
    other = Offer(kv("other"), 5, CHUNK_BYTES, ())
    assert hand.transfers.begin(OFFER, A, 0)
    assert not hand.transfers.begin(other, A, 0)
    hand.transfers.check_invariants()
    hand.transfers.handle_chunk(A, chunk(0, b""), 1)
    assert hand.transfers.begin(other, A, 2)


def test_offers_of_no_or_too_many_bytes_are_not_begun() -> None:
    hand = Hand()
    for size in (0, MERGED_ENTRY_BYTES_MAX + 1):
        assert not hand.transfers.begin(Offer(KEY, 1, size, ()), A, 0)
    assert hand.asks() == []


def test_many_tiny_offers_cost_room_as_well() -> None:
    """Or a hostile peer could begin transfers without end."""
    hand = Hand(with_tuning(transfer_bytes_max=10 * CHUNK_BYTES))
    begun = [hand.transfers.begin(Offer(KEY, digest, 1, ()), A, 0) for digest in range(100)]
    assert begun.count(True) == 10


# -- the other side ------------------------------------------------------------------------------------------


class Source:
    """A node that serves; counts how often it reads the entry."""

    def __init__(self, data: bytes | None = DATA) -> None:
        self.data = data
        self.read_count = 0
        self.outbox = Outbox()
        self.server = ChunkServer(SEED, self.outbox)

    def load(self, key: Key) -> bytes | None:
        self.read_count += 1
        return self.data if key == KEY else None

    def ask(self, offset: int, *, digest: int = OFFER.digest, now_ms: int = 0) -> bytes:
        self.server.answer(A, ChunkAsk(KEY, digest, offset), self.load, now_ms)
        [(to, message)] = self.outbox.take()
        assert isinstance(message, Chunk)
        assert (to, message.key, message.digest, message.offset) == (A, KEY, digest, offset)
        return message.data


def test_chunks_are_cut_from_one_read() -> None:
    source = Source()
    assert b"".join(source.ask(offset) for offset in OFFSETS) == DATA
    assert source.read_count == 1
    assert source.ask(len(DATA) + 1) == b""


def test_a_version_that_is_not_held_is_answered_by_an_empty_chunk() -> None:
    assert Source().ask(0, digest=1) == b""
    assert Source(data=None).ask(0) == b""


def test_a_version_that_is_being_served_stays_though_a_newer_one_is_here() -> None:
    source = Source()
    source.ask(0)
    source.data = b"newer"
    assert source.ask(CHUNK_BYTES) == DATA[CHUNK_BYTES : 2 * CHUNK_BYTES]


def test_what_is_served_no_longer_is_dropped_after_a_while() -> None:
    source = Source()
    assert source.server.next_deadline_ms() is None
    source.ask(0, now_ms=100)
    source.ask(0, now_ms=200)
    assert source.server.next_deadline_ms() == 200 + SERVED_KEPT_MS
    source.server.handle_timer(199 + SERVED_KEPT_MS)
    source.ask(0, now_ms=300)
    assert source.read_count == 1
    source.server.handle_timer(300 + SERVED_KEPT_MS)
    assert source.server.next_deadline_ms() is None
    source.ask(0, now_ms=9_000)
    assert source.read_count == 2
