"""Both sides of the exchange against each other: every difference is settled, whatever the network does."""

from collections.abc import Sequence
from random import Random

import pytest

from kvgossip.config import CLOCK_RANGES_MAX, FRAME_BYTES_MAX
from kvgossip.model.clock import NodeClock
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import decode_entry
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.model.mv import MvEntry, Sibling
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.protocol.exchange import Exchange, Phase
from kvgossip.protocol.exchange_flight import PATIENCE_TIMEOUTS
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.protocol.stores import (
    Side,
    Wire,
    assert_converged,
    exchange_once,
    kv,
    mv,
    true_hash,
    with_tuning,
)

Written = dict[Dot, tuple[Key, bytes]]
"""Every write that was ever made: its key and the entry as its replica first held it."""


def diverged(seed: int, *, keys: int = 60, hash_count: int = 0) -> tuple[Side, Side]:
    """Two stores with a common past and random differences; with ``hash_count``, that few key hashes."""
    rng = Random(seed)

    def tied_hash(key: Key) -> int:
        return (true_hash(key) % hash_count) << 57 if hash_count else true_hash(key)

    a, b = Side(1, hash_key=tied_hash), Side(2, hash_key=tied_hash)
    for _ in range(rng.randrange(3)):
        a.put_many(f"k{i}" for i in range(rng.randrange(keys)))
        exchange_once(a, b, session=rng.getrandbits(32))
    for _ in range(rng.randrange(keys)):
        rng.choice((a, b)).put(f"k{rng.randrange(keys)}", rng.choice((b"x", b"y", b"z" * 200)))
    for _ in range(rng.randrange(4)):
        side = rng.choice((a, b))
        dot = Dot(side.replica, side.clock.greatest(side.replica) + 1)
        sibling = Sibling(dot, Stamp(dot.counter), Value(b"s"))
        side.hold({mv(f"m{rng.randrange(2)}"): MvEntry(VersionVector.of([dot]), (sibling,))})
    return a, b


def written_by(*sides: Side) -> Written:
    held: Written = {}
    for side in sides:
        for key, data in side.rows().items():
            for dot in decode_entry(key, data).dots():
                held[dot] = (key, data)
    return held


def assert_honest(side: Side, written: Written) -> None:
    """The clock covers no dot whose effect the store lacks."""
    for dot, (key, data) in written.items():
        if side.clock.covers(dot):
            held = side.entry(key)
            assert held is not None, f"{side.address} covers {dot} and holds nothing at {key!r}"
            assert held.merge(decode_entry(key, data)) is held, f"{side.address} covers {dot}, which it lacks"  # type: ignore[arg-type]


# -- cost --------------------------------------------------------------------------------------------------


def test_equal_stores_cost_two_messages_and_at_most_200_bytes() -> None:
    a, b = Side(1), Side(2)
    a.put_many(f"k{i}" for i in range(1_000))
    exchange_once(a, b)
    wire = exchange_once(a, b, session=2)
    assert a.exchange is not None
    assert a.exchange.phase is Phase.COMPLETE
    assert not a.exchange.found_difference
    assert wire.message_count == 2
    assert wire.bytes_sent <= 200


def test_two_empty_stores_are_equal() -> None:
    a, b = Side(1), Side(2)
    assert exchange_once(a, b).message_count == 2


@pytest.mark.parametrize(("value_bytes", "reads_max", "rows_max"), [(10, 40, 300), (30_000, 75, 410)])
def test_entries_are_read_together_and_few_of_them_in_vain(
    value_bytes: int, reads_max: int, rows_max: int
) -> None:
    """Of 10 bytes 128 fit one answer, of 30 kB nine: after four and eight of those, three are read anew."""
    a, b = Side(1), Side(2)
    b.put_many((f"k{i}" for i in range(300)), b"v" * value_bytes)
    reads: list[int] = []
    load = b.answers._load

    def counted(keys: Sequence[Key]) -> list[m.Carried | m.Offer | None]:
        reads.append(len(keys))
        return load(keys)

    b.answers._load = counted
    exchange_once(a, b)
    assert a.rows() == b.rows()
    assert len(reads) <= reads_max, reads
    assert 300 <= sum(reads) <= rows_max, reads


def test_what_an_empty_side_lacks_is_streamed_to_it_whoever_asks() -> None:
    for asks_empty in (True, False):
        full, empty = Side(1), Side(2)
        full.put_many((f"k{i}" for i in range(3_000)), b"x" * 100)
        asking, answering = (empty, full) if asks_empty else (full, empty)
        wire = exchange_once(asking, answering)
        assert_converged(full, empty)
        assert empty.clock == full.clock
        assert wire.messages[m.Compare] == 0
        assert wire.comparison_bytes < 10 * 3_000, "a stream costs framing only"


def test_an_entry_crosses_the_wire_once() -> None:
    a, b = Side(1), Side(2)
    a.put_many((f"k{i}" for i in range(2_000)), b"old")
    exchange_once(a, b)
    for i in range(40):
        (a if i % 2 else b).put(f"k{i * 7}", b"new")
    a.put("only here")
    b.put("only there")
    wire = exchange_once(a, b, session=2)
    assert_converged(a, b)
    carried = [entry for message in decoded(wire) for entry in getattr(message, "entries", ())]
    assert len(carried) <= 42 + 20, "an entry that is older at its sender comes back once, merged"


def test_the_cost_is_that_of_the_difference_not_of_the_data() -> None:
    costs = []
    for size in (1_000, 8_000):
        a, b = Side(1), Side(2)
        a.put_many(f"k{i}" for i in range(size))
        exchange_once(a, b)
        b.put("k7", b"new")
        costs.append(exchange_once(a, b, session=2).comparison_bytes)
    assert costs[1] < 1.5 * costs[0]


# -- convergence -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_random_differences_are_settled_by_one_exchange(seed: int) -> None:
    a, b = diverged(seed)
    written = written_by(a, b)
    exchange_once(a, b)
    assert_converged(a, b)
    assert a.clock == b.clock
    assert_honest(a, written)
    assert a.exchange is not None
    assert not a.exchange.roots_differ_at_end
    a.store.check_invariants()
    b.store.check_invariants()


@pytest.mark.parametrize("hash_count", [1, 2, 5, 40])
@pytest.mark.parametrize("seed", range(10))
def test_keys_with_one_hash_are_settled_by_a_repeat_at_most(seed: int, hash_count: int) -> None:
    a, b = diverged(seed, keys=90, hash_count=hash_count)
    exchange_once(a, b)
    assert a.exchange is not None
    if a.rows() != b.rows():
        assert a.exchange.roots_differ_at_end
        exchange_once(a, b, session=2)
    assert_converged(a, b)


@pytest.mark.parametrize("seed", range(12))
def test_with_every_third_frame_lost_one_exchange_settles_all_the_same(seed: int) -> None:
    a, b = diverged(seed, keys=400)
    written = written_by(a, b)
    count = 0

    def is_third(message: m.Message) -> bool:
        nonlocal count
        count += 1
        return count % 3 == 0

    wire = exchange_once(a, b, drops=is_third)
    assert wire.dropped > 0
    assert_converged(a, b)
    assert_honest(a, written)
    assert_honest(b, written)


@pytest.mark.parametrize("seed", range(12))
def test_half_of_all_frames_lost_is_a_matter_of_time_and_no_clock_lies(seed: int) -> None:
    rng = Random(seed)
    a, b = diverged(seed, keys=100)
    written = written_by(a, b)
    for session in range(1, 30):
        wire = exchange_once(a, b, session=session, drops=lambda message: rng.random() < 0.5)
        assert wire.dropped > 0
        assert_honest(a, written)
        assert_honest(b, written)
        if a.rows() == b.rows() and a.clock == b.clock:
            return
    pytest.fail("not settled after 30 sessions")


@pytest.mark.parametrize("seed", range(20))
def test_duplicated_and_reordered_frames_are_harmless(seed: int) -> None:
    a, b = diverged(seed, keys=200)
    written = written_by(a, b)
    wire = Wire(a, b, disorder=Random(seed))
    for session in range(1, 4):
        wire.run(a.open(b, session=session))
    assert wire.duplicated > 0
    assert_converged(a, b)
    assert a.clock == b.clock
    assert_honest(a, written)


def test_a_large_entry_is_offered_and_settled_like_the_others() -> None:
    for asks_holder in (True, False):
        a, b = (Side(i, tuning=with_tuning(inline_bytes_max=100)) for i in (1, 2))
        a.put_many(f"k{i}" for i in range(50))
        exchange_once(a, b)
        for i in range(9):
            a.put(f"k{i}", b"large" * 50)
        wire = exchange_once(a, b, session=2) if asks_holder else exchange_once(b, a, session=2)
        assert_converged(a, b)
        assert a.clock == b.clock
        assert sum(len(getattr(message, "offers", ())) for message in decoded(wire)) >= 9


def test_no_frame_is_too_large_however_large_the_rows_of_one_range() -> None:
    """Two small ranges with rows just below the inline limit, all of which differ."""

    def two_ranges(key: Key) -> int:
        return (true_hash(key) >> 8) | (1 << 63 if key.endswith(b"+") else 0)

    a, b = Side(1, hash_key=two_ranges), Side(2, hash_key=two_ranges)
    names = [f"k{i}" for i in range(15)] + [f"k{i}+" for i in range(15)]
    a.put_many(names)
    exchange_once(a, b)
    b.put_many(names, bytes(65_500))
    wire = exchange_once(a, b, session=2)
    assert max(len(frame) for frame in wire.frames) <= FRAME_BYTES_MAX // 2
    assert_converged(a, b)


# -- writes meanwhile, and the clock -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
def test_writes_during_an_exchange_cost_a_repeat_at_most_and_no_clock_lies(seed: int) -> None:
    rng = Random(seed)
    a, b = diverged(seed, keys=100)
    written = written_by(a, b)

    def write_a_little(message: m.Message) -> None:
        if rng.random() < 0.5 and not isinstance(message, m.ClockShared):  # with that it is over
            side = rng.choice((a, b))
            name = f"k{rng.randrange(120)}"
            dot = side.put(name, b"meanwhile")
            data = side.store.get(kv(name))
            assert data is not None
            written[dot] = (kv(name), data)
        assert_honest(a, written)
        assert_honest(b, written)

    Wire(a, b, before=write_a_little).run(a.open(b))
    assert_honest(a, written)
    assert_honest(b, written)
    assert a.exchange is not None
    assert a.exchange.phase is Phase.COMPLETE
    if a.rows() != b.rows():
        assert a.exchange.roots_differ_at_end
        exchange_once(a, b, session=2)
    assert_converged(a, b)
    exchange_once(a, b, session=3)  # what lost meanwhile was not sent, but the clocks are shared
    assert a.clock == b.clock


@pytest.mark.parametrize("writes_at_asker", [True, False])
def test_the_clock_that_is_shared_is_that_of_the_opening(writes_at_asker: bool) -> None:
    a, b = Side(1), Side(2)
    a.put_many(f"k{i}" for i in range(100))
    b.put("other")
    writer, reader = (a, b) if writes_at_asker else (b, a)
    late: list[Dot] = []

    def write_at_the_end(message: m.Message) -> None:
        if isinstance(message, m.ClockShare) and not late:
            late.append(writer.put("late"))

    Wire(a, b, before=write_at_the_end).run(a.open(b))
    assert late
    assert writer.clock.covers(late[0])
    assert not reader.clock.covers(late[0])
    assert reader.entry(kv("late")) is None


def test_an_opening_that_comes_twice_gets_the_answer_of_the_first() -> None:
    """Or the clock could be later than the fingerprints that are compared."""
    a, b = Side(1), Side(2)
    a.put("x")
    b.put("y")
    a.open(b)
    [(_, opening)] = a.outbox.take()
    assert isinstance(opening, m.ExchangeOpen)
    b.answers.handle_open(a.address, opening, 0, may_receive=True)
    b.put("z")
    b.answers.handle_open(a.address, opening, 0, may_receive=True)
    (_, first), (_, second) = b.outbox.take()
    assert first is second


def test_equal_trees_with_unequal_clocks_share_the_clocks_alone() -> None:
    """Rumors coalesce overwrites, so without this equal trees would have clocks full of holes for ever."""
    a, b = Side(1), Side(2)
    a.put("x", b"1")
    a.put("x", b"2")
    entry = a.entry(kv("x"))
    assert entry is not None
    b.hold({kv("x"): entry})
    assert b.clock.hole_count() == 1
    wire = exchange_once(b, a)
    assert wire.message_count == 4
    assert b.clock == a.clock
    assert b.clock.hole_count() == 0


@pytest.mark.parametrize("refuses_at_asker", [True, False])
def test_an_exchange_with_a_refused_entry_takes_no_clock_over(refuses_at_asker: bool) -> None:
    a, b = Side(1), Side(2)
    a.put_many(f"a{i}" for i in range(5))
    b.put_many(f"b{i}" for i in range(5))
    refuser, other = (a, b) if refuses_at_asker else (b, a)
    poisonous = kv("b2") if refuses_at_asker else kv("a2")
    held = other.entry(poisonous)
    assert held is not None
    [lost] = held.dots()
    refuser.refuses = lambda key: key == poisonous
    exchange_once(a, b)
    assert refuser.entry(poisonous) is None
    assert not refuser.clock.covers(lost)
    assert refuser.entry(kv("b3")) is not None, "the others of the message went on"
    assert refuser.entry(kv("a3")) is not None
    refuser.refuses = lambda key: False
    exchange_once(a, b, session=2)
    assert_converged(a, b)
    assert refuser.clock == other.clock


def test_a_clock_of_many_replicas_and_ranges_travels_in_parts_that_fit_a_frame() -> None:
    a, b = Side(1), Side(2)
    ranges = tuple((2 * i, 2 * i) for i in range(1, CLOCK_RANGES_MAX + 1))
    a.clock = NodeClock({ReplicaId(r): ranges for r in range(10, 310)})
    b.clock = NodeClock({ReplicaId(r): ranges for r in range(1_000, 1_010)})
    wire = exchange_once(a, b)
    assert max(len(frame) for frame in wire.frames) <= FRAME_BYTES_MAX
    assert wire.messages[m.ClockShare] > 1
    assert a.clock == b.clock
    assert len(a.clock.ranges) == 310


# -- pace, silence, and merges that take time --------------------------------------------------------------


def test_a_request_to_a_silent_peer_is_sent_again_until_the_session_is_given_up() -> None:
    a, b = Side(1, tuning=with_tuning(exchange_tries_max=3)), Side(2)
    wire = Wire(a, b, drops=lambda message: True)
    assert wire.run(a.open(b)) is Phase.BROKEN
    assert wire.messages[m.ExchangeOpen] == 3
    assert wire.now_ms == 3 * a.tuning.exchange_timeout_ms


def asked_to_compare(a: Side, b: Side) -> Exchange:
    """An exchange whose first ``Compare`` was lost."""
    a.put("x", b"1")
    b.put("x", b"2")
    exchange = a.open(b)
    wire = Wire(a, b)
    wire.step()
    wire.step()
    [(_, compare)] = a.outbox.take()
    assert isinstance(compare, m.Compare)
    return exchange


def test_time_outs_begin_anew_with_every_frame_of_the_peer() -> None:
    a, b = Side(1), Side(2)
    exchange = asked_to_compare(a, b)
    exchange.handle_heard(900)
    exchange.handle_timer(1_000)
    assert a.outbox.take() == []
    exchange.handle_timer(1_900)
    assert len(a.outbox.take()) == 1


def test_a_lost_request_is_sent_again_although_the_peer_keeps_talking() -> None:
    """Its rumors must not keep the exchange waiting for ever."""
    a, b = Side(1), Side(2)
    exchange = asked_to_compare(a, b)
    due_ms = PATIENCE_TIMEOUTS * a.tuning.exchange_timeout_ms
    for now_ms in range(0, due_ms, 100):
        exchange.handle_heard(now_ms)
        exchange.handle_timer(now_ms)
        assert a.outbox.take() == []
    assert exchange.next_deadline_ms() == due_ms
    exchange.handle_timer(due_ms)
    assert [type(message) for _, message in a.outbox.take()] == [m.Compare]
    exchange.check_invariants()


def test_an_opening_is_sent_again_after_a_second_although_the_peer_keeps_talking() -> None:
    """Its answer overtakes bulk, so it is not on its way."""
    a, b = Side(1), Side(2)
    exchange = a.open(b)
    a.outbox.take()
    exchange.handle_heard(900)
    assert exchange.next_deadline_ms() == a.tuning.exchange_timeout_ms
    exchange.handle_timer(a.tuning.exchange_timeout_ms)
    assert [type(message) for _, message in a.outbox.take()] == [m.ExchangeOpen]


def test_a_peer_that_talks_is_not_given_up_however_long_an_answer_takes() -> None:
    a, b = Side(1, tuning=with_tuning(exchange_tries_max=2)), Side(2)
    exchange = a.open(b)
    sends = 0
    for now_ms in range(0, 100_000, 100):
        exchange.handle_heard(now_ms)
        exchange.handle_timer(now_ms)
        sends += len(a.outbox.take())
    assert not exchange.is_over
    assert sends <= 8, "the waits double, so a slow link is not filled with copies"


def test_what_was_fetched_is_durable_before_the_clock_is_asked_for() -> None:
    a, b = Side(1), Side(2)
    b.put_many(f"k{i}" for i in range(3))
    exchange = a.open(b)
    waiting: list[tuple[int, m.ExchangeAnswer]] = []
    now_ms = 0
    while True:
        for _, request in a.outbox.take():
            b.receive(a.address, encoded(request), now_ms)
        answers = b.outbox.take()
        if not answers:
            break
        for _, answer in answers:
            if isinstance(answer, m.ExchangeOpened):
                exchange.handle_opened(answer, now_ms)
                continue
            assert isinstance(answer, m.Fetched)
            taken = exchange.handle_answer(answer, now_ms)
            if taken is not None:
                assert exchange.handle_answer(answer, now_ms) is None, "doubled while it is merged"
                waiting.append((answer.sequence, answer))
            exchange.check_invariants()
    assert a.outbox.take() == []
    for sequence, _ in waiting:
        exchange.handle_merged(sequence, news_count=1, refused_count=0, lagging=[], now_ms=now_ms)
    assert exchange.phase is Phase.SHARING
    assert exchange.brought_count == len(waiting)


def test_a_session_that_is_given_up_takes_nothing_more() -> None:
    a, b = Side(1), Side(2)
    b.put("x")
    exchange = a.open(b)
    exchange.break_off()
    exchange.break_off()
    wire = Wire(a, b)
    assert wire.run(exchange) is Phase.BROKEN
    assert a.rows() == {}
    assert exchange.next_deadline_ms() is None


def test_what_is_under_way_is_bounded_although_everything_differs() -> None:
    a, b = Side(1), Side(2)
    a.put_many(f"a{i}" for i in range(6_000))
    b.put_many(f"b{i}" for i in range(6_000))
    exchange = a.open(b)
    longest = 0

    def measure(message: m.Message) -> None:
        nonlocal longest
        longest = max(longest, len(exchange._agenda))

    Wire(a, b, before=measure).run(exchange)
    assert_converged(a, b)
    assert longest < 6_000, "not one place for each of 12,000 differences"


def encoded(message: m.Message) -> bytes:
    return codec.encode(message)


def decoded(wire: Wire) -> list[m.Message]:
    return [codec.decode(frame) for frame in wire.frames]
