"""Broken and hostile peers: the session ends with ``RemoteError``, nothing changed, nothing hangs."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kvgossip.config import FRAME_BYTES_MAX
from kvgossip.errors import CorruptRowError, EncodingError, RemoteError
from kvgossip.model.clock import NodeClock
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import encode_clock
from kvgossip.model.ids import Key, ReplicaId
from kvgossip.protocol.exchange import Exchange, Phase
from kvgossip.protocol.exchange_agenda import COMPARED_RANGES_MAX, FETCH_WEIGHT_MAX
from kvgossip.protocol.exchange_answers import ACTIVE_MS, DESCRIBED_MAX, SESSION_IDLE_MS
from kvgossip.wire import messages as m
from tests.protocol.stores import Side, Wire, exchange_once, kv, with_tuning

GARBAGE = b"\xff\xff"
MANY = DESCRIBED_MAX + 1


def pair(count: int = 300) -> tuple[Side, Side]:
    """Two stores of which ``b`` has one entry more and one other."""
    a, b = Side(1), Side(2)
    a.put_many(f"k{i}" for i in range(count))
    exchange_once(a, b)
    b.put("k1", b"new")
    b.put("more")
    return a, b


def asked(a: Side, b: Side, until: type) -> tuple[Exchange, m.ExchangeRequest]:
    """An exchange whose last request, of type ``until``, has not reached the peer."""
    exchange = a.open(b, session=9)
    for _ in range(20):
        for _, request in a.outbox.take():
            if isinstance(request, until):
                assert isinstance(request, m.Compare | m.Fetch | m.Give | m.ClockShare)
                return exchange, request
            assert isinstance(request, m.ExchangeOpen | m.Compare | m.Fetch | m.Give | m.ClockShare)
            if isinstance(request, m.ExchangeOpen):
                b.answers.handle_open(a.address, request, 0, may_receive=True)
            else:
                b._answer(a.address, request, 0)
            for _, answer in b.outbox.take():
                a._receive(b.address, answer, 0)
    raise AssertionError(f"no {until.__name__} was sent")


def state_of(side: Side) -> tuple[dict[Key, bytes], NodeClock]:
    return side.rows(), side.clock


# -- answers to the asking side ----------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 8, 255 * 8, 257 * 8])
def test_an_opening_answered_with_too_few_or_too_many_fingerprints_breaks_the_session(length: int) -> None:
    """It must not hang: one exchange runs at a time, so a session that never ends is the last one."""
    a, b = pair()
    exchange = a.open(b)
    before = state_of(a)
    with pytest.raises(RemoteError, match="children"):
        exchange.handle_opened(m.ExchangeOpened(1, 5, 5, 5, bytes(length)), 0)
    assert exchange.phase is Phase.BROKEN
    assert state_of(a) == before
    exchange.check_invariants()


def test_an_answer_before_the_opening_was_answered_is_ignored() -> None:
    a, b = pair()
    exchange = a.open(b)
    for answer in (
        m.Compared(1, 0, (), (), (), (), b"", b""),
        m.Given(1, 0, 0),
        m.ClockShared(1, 0, 1, b"", 0),
        m.Fetched(1, 0, (), (), 1, 0, b""),
    ):
        assert exchange.handle_answer(answer, 0) is None
    assert exchange.phase is Phase.OPENING


WRONG: list[tuple[type, Callable[[m.ExchangeRequest], m.ExchangeAnswer], str]] = [
    (m.Compare, lambda r: m.Given(9, r.sequence, 0), "no answer to Compare"),
    (m.Compare, lambda r: m.ClockShared(9, r.sequence, 1, b"", 0), "no answer to Compare"),
    (m.Compare, lambda r: compared(r, children=(m.RangeChildren(0, 65, bytes(128)),)), "no range"),
    (m.Compare, lambda r: compared(r, children=(m.RangeChildren(256, 8, bytes(128)),)), "no range"),
    (m.Compare, lambda r: compared(r, children=(m.RangeChildren(0, 7, bytes(128)),)), "no range"),
    (m.Compare, lambda r: compared(r, children=(m.RangeChildren(0, 0, bytes(128)),)), "children"),
    (m.Compare, lambda r: compared(r, rows=(m.RangeRows(0, 64 + 4, b""),)), "no range"),
    (m.Compare, lambda r: compared(r, rows=(m.RangeRows(0, 12, b"\xff" * 17),)), "outside"),
    (m.Compare, lambda r: compared(r, rows=(m.RangeRows(0, 8, bytes(16)),)), "no list of rows"),
    (m.Compare, lambda r: compared(r, undescribed=bytes(8) + b"\x05"), "no range"),
    (m.Compare, lambda r: compared(r, rows=(m.RangeRows(0, 8, b""),) * MANY), "ranges described"),
    (m.Compare, lambda r: compared(r, children=(m.RangeChildren(0, 8, bytes(64)),) * MANY), "described"),
    (m.ClockShare, lambda r: m.ClockShared(9, r.sequence, 1, GARBAGE, 0), "clock"),
    (m.ClockShare, lambda r: m.Given(9, r.sequence, 0), "no answer to ClockShare"),
    (m.ClockShare, lambda r: m.ClockShared(9, r.sequence, 1 << 31, b"", 0), "parts"),
]


def compared(
    request: m.ExchangeRequest,
    *,
    children: tuple[m.RangeChildren, ...] = (),
    rows: tuple[m.RangeRows, ...] = (),
    undescribed: bytes = b"",
) -> m.Compared:
    return m.Compared(9, request.sequence, children, rows, (), (), b"", undescribed)


@pytest.mark.parametrize(("until", "answer", "match"), WRONG)
def test_an_answer_that_does_not_fit_breaks_the_session(
    until: type, answer: Callable[[m.ExchangeRequest], m.ExchangeAnswer], match: str
) -> None:
    a, b = pair()
    exchange, request = asked(a, b, until)
    before = state_of(a)
    with pytest.raises(RemoteError, match=match):
        exchange.handle_answer(answer(request), 0)
    assert exchange.phase is Phase.BROKEN
    assert state_of(a) == before
    exchange.check_invariants()
    assert exchange.handle_answer(m.Given(9, request.sequence, 0), 0) is None, "it is over"


@pytest.mark.parametrize(
    ("next_hash", "next_after", "match"),
    [(0, b"", "go on"), ((1 << 64) - 1, b"", "cut outside")],
    ids=["no progress", "outside"],
)
def test_a_fetch_cut_at_an_impossible_place_breaks_the_session(
    next_hash: int, next_after: bytes, match: str
) -> None:
    full, empty = Side(1), Side(2)
    full.put_many(f"k{i}" for i in range(10))
    exchange, request = asked(empty, full, m.Fetch)
    with pytest.raises(RemoteError, match=match):
        exchange.handle_answer(m.Fetched(9, request.sequence, (), (), 0, next_hash, next_after), 0)
    assert exchange.phase is Phase.BROKEN


def test_a_row_that_cannot_be_read_breaks_the_session_and_is_named() -> None:
    a, b = pair()
    exchange = a.open(b)
    a.outbox.take()

    def corrupt(*args: object, **kwargs: object) -> list[object]:
        raise CorruptRowError("block 7")

    a.store.scan_hashes = corrupt  # type: ignore[method-assign, assignment]
    b.answers.handle_open(a.address, opening_of(exchange), 0, may_receive=True)
    [(_, opened)] = b.outbox.take()
    assert isinstance(opened, m.ExchangeOpened)
    with pytest.raises(CorruptRowError, match="block 7"):
        exchange.handle_opened(opened, 0)
    assert exchange.phase is Phase.BROKEN


def opening_of(exchange: Exchange) -> m.ExchangeOpen:
    opening = exchange._opening
    return m.ExchangeOpen(opening.session, opening.salt, opening.root, opening.row_count, opening.clock_hash)


# -- requests to the answering side ------------------------------------------------------------------------


def open_session(a: Side, b: Side) -> None:
    exchange = a.open(b, session=9)
    b.answers.handle_open(a.address, opening_of(exchange), 0, may_receive=True)
    b.outbox.take()


BAD_REQUESTS: list[tuple[m.ExchangeRequest, str]] = [
    (m.Compare(9, 1, (m.RangeChildren(0, 8, bytes(8)),), ()), "children"),
    (m.Compare(9, 1, (m.RangeChildren(0, 64, bytes(8)),), ()), "children"),
    (m.Compare(9, 1, (m.RangeChildren(1, 0, bytes(2048)),), ()), "no range"),
    (m.Compare(9, 1, (), (m.RangeRows(0, 12, b"\xff" * 17),)), "outside"),
    (m.Compare(9, 1, (), (m.RangeRows(0, 12, bytes(16)),)), "no list of rows"),
    (m.Compare(9, 1, (), (m.RangeRows(0, 8, b""),) * (COMPARED_RANGES_MAX + 1)), "ranges to compare"),
    (m.Fetch(9, 1, bytes(16 * (FETCH_WEIGHT_MAX + 1)), b""), "ranges to fetch"),
    (m.ClockShare(9, 1, 0, GARBAGE, 0), "clock"),
]


@pytest.mark.parametrize(("request_", "match"), BAD_REQUESTS)
def test_a_request_that_no_node_of_ours_sends_is_refused_unanswered(
    request_: m.ExchangeRequest, match: str
) -> None:
    a, b = pair()
    open_session(a, b)
    before = state_of(b)
    with pytest.raises(RemoteError, match=match):
        b.answers.handle_request(a.address, request_, 0)
    assert b.outbox.take() == []
    assert state_of(b) == before


def test_a_fetch_of_reversed_ranges_brings_nothing() -> None:
    a, b = pair()
    open_session(a, b)
    reversed_ = (5).to_bytes(8, "big") + (4).to_bytes(8, "big")
    b.answers.handle_request(a.address, m.Fetch(9, 1, reversed_, b"\xff" * 1025), 0)
    [(_, fetched)] = b.outbox.take()
    assert isinstance(fetched, m.Fetched)
    assert (fetched.entries, fetched.done_count) == ((), 1)


def test_a_request_without_a_session_is_told_so() -> None:
    a, b = pair()
    for request in (m.Compare(9, 1, (), ()), m.Give(9, 1, (), ()), m.ClockShare(9, 1, 0, b"", 0)):
        assert b.answers.handle_request(a.address, request, 0) is None
        assert b.outbox.take() == [(a.address, m.ExchangeOver(9, is_busy=False))]


def test_a_session_belongs_to_the_peer_that_opened_it() -> None:
    a, b = pair()
    open_session(a, b)
    c = Side(3)
    clock = encode_clock(NodeClock({ReplicaId(1): ((1, 1_000_000),)}))
    assert b.answers.handle_request(c.address, m.ClockShare(9, 1, 0, clock, 0), 0) is None
    assert b.outbox.take() == [(c.address, m.ExchangeOver(9, is_busy=False))]


def test_sessions_are_bounded_and_idle_ones_end() -> None:
    a, b = Side(1), Side(2, tuning=with_tuning(exchange_sessions_max=2))
    a.put("x")
    opening = opening_of(a.open(b))
    for session in (1, 2, 3):
        b.answers.handle_open(a.address, replace(opening, session=session), session, may_receive=True)
    answers = [message for _, message in b.outbox.take()]
    assert [type(answer) for answer in answers] == [m.ExchangeOpened, m.ExchangeOpened, m.ExchangeOver]
    b.answers.check_invariants()
    assert b.answers.next_deadline_ms() == 1 + SESSION_IDLE_MS
    b.answers.handle_request(a.address, m.Give(1, 1, (), ()), 500)
    b.answers.handle_timer(2 + SESSION_IDLE_MS)
    assert b.answers.handle_request(a.address, m.Compare(2, 1, (), ()), 0) is None
    assert b.outbox.take() == [(a.address, m.ExchangeOver(2, is_busy=False))]
    assert b.answers.handle_request(a.address, m.Give(1, 2, (), ()), 0) is not None, "used since: kept"


def test_a_peer_that_starts_anew_has_no_sessions() -> None:
    a, b = pair()
    open_session(a, b)
    b.answers.forget_peer(a.address)
    b.answers.handle_request(a.address, m.Give(9, 1, (), ()), 0)
    assert b.outbox.take() == [(a.address, m.ExchangeOver(9, is_busy=False))]
    assert b.answers.next_deadline_ms() is None


def test_an_unknown_session_ends_the_exchange_unless_it_is_over() -> None:
    a, b = pair()
    wire = Wire(a, b)
    exchange = a.open(b)
    wire.step()
    b.answers.forget_peer(a.address)
    assert wire.run(exchange) is Phase.BROKEN
    assert not a.clock.covers(Dot(b.replica, 1))


def test_a_give_of_poisonous_entries_refuses_those_alone() -> None:
    a, b = pair()
    open_session(a, b)
    (good,) = a.load([kv("k2")])
    assert isinstance(good, m.Carried)
    poisonous = m.Carried(kv("bad"), GARBAGE)
    b._answer(a.address, m.Give(9, 1, (poisonous, good), ()), 0)
    assert b.outbox.take() == [(a.address, m.Given(9, 1, 1))]
    assert b.entry(kv("bad")) is None


def test_the_largest_clock_part_that_a_peer_can_send_is_taken_or_refused_in_bounded_time() -> None:
    a, b = pair(1)
    open_session(a, b)
    ranges = tuple((3 * i, 3 * i) for i in range(1, 257))
    clock = NodeClock({ReplicaId(r): ranges for r in range(100, 100 + FRAME_BYTES_MAX // 4_200)})
    taken = b.answers.handle_request(a.address, m.ClockShare(9, 1, 0, encode_clock(clock), 0), 0)
    assert taken == clock
    joined = b.clock.join(clock).join(NodeClock({ReplicaId(100): ((1, 1_000),)}))
    joined.check_invariants()
    with pytest.raises(EncodingError):
        b.answers.handle_request(a.address, m.ClockShare(9, 2, 0, encode_clock(clock)[:-1], 0), 0)


def test_a_session_that_asks_nothing_gives_way_to_a_new_one_where_room_is_short() -> None:
    """Seed 494: a peer whose frames come, and who hears no answer, held the only session again and again."""
    a, c, b = Side(1), Side(3), Side(2, tuning=with_tuning(exchange_sessions_max=1))
    b.put("x")
    a.put("y")
    silent = opening_of(a.open(b))
    b.answers.handle_open(a.address, silent, 0, may_receive=True)
    for now_ms, answer in ((ACTIVE_MS - 1, m.ExchangeOver), (ACTIVE_MS, m.ExchangeOpened)):
        b.outbox.take()
        b.answers.handle_open(c.address, replace(silent, session=now_ms), now_ms, may_receive=True)
        assert [type(message) for _, message in b.outbox.take()] == [answer]
    b.answers.check_invariants()
    b.answers.handle_request(a.address, m.Give(silent.session, 1, (), ()), ACTIVE_MS)
    assert b.outbox.take() == [(a.address, m.ExchangeOver(silent.session, is_busy=False))]


def test_no_clock_is_taken_over_that_is_later_than_what_was_compared() -> None:
    """A session that gave way is not opened again: its second answer would have a later clock."""
    a, b, c = Side(1), Side(2, tuning=with_tuning(exchange_sessions_max=1)), Side(3)
    b.put("x")
    a.put("y")
    exchange = a.open(b, session=5)
    [(_, opening)] = a.outbox.take()
    assert isinstance(opening, m.ExchangeOpen)
    b.answers.handle_open(a.address, opening, 0, may_receive=True)
    [(_, late)] = b.outbox.take()
    b.answers.handle_open(c.address, replace(opening, session=6), ACTIVE_MS, may_receive=True)
    b.outbox.take()
    b.answers.handle_open(a.address, opening, 2 * ACTIVE_MS, may_receive=True)
    assert b.outbox.take() == [(a.address, m.ExchangeOver(5, is_busy=False))]
    assert (c.address, 6) in b.answers._sessions, "who is refused all the same takes no room"
    b.answers.handle_over(c.address, 6)
    assert isinstance(late, m.ExchangeOpened)
    exchange.handle_opened(late, ACTIVE_MS + 2)
    for _, request in a.outbox.take():
        assert isinstance(request, m.Compare | m.ClockShare | m.Fetch | m.Give)
        b.answers.handle_request(a.address, request, ACTIVE_MS + 3)
        assert b.outbox.take() == [(a.address, m.ExchangeOver(5, is_busy=False))]
    b.answers.handle_timer(ACTIVE_MS + SESSION_IDLE_MS)
    assert b.answers._given_way == {}
