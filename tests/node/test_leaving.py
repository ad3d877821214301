"""A node that leaves hands on its news, tells its peers, and is alive again at once when it comes back."""

from kvgossip.node.effects import Left
from kvgossip.node.leaving import LEAVE_TIMEOUT_MS
from tests.node.hand import Hand, kv, run


def state_of(name: str, seen_by: Hand) -> str:
    members = seen_by.replica.members(seen_by.now)
    return next(status.state for status in members if status.member.name == name)


def pair() -> tuple[Hand, Hand]:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 3_000)
    assert state_of("n2", one) == state_of("n1", two) == "alive"
    return one, two


def leave(hand: Hand, others: list[Hand], *, within_ms: int) -> Left:
    ticket = hand.replica.leave(hand.now)
    hand.pump()
    for _ in range(within_ms):
        if ticket in hand.results:
            break
        run([hand, *others], 1)
    left = hand.results[ticket]
    assert isinstance(left, Left)
    return left


def test_a_node_that_leaves_hands_on_its_news_before_it_tells_its_peers() -> None:
    one, two = pair()
    for number in range(50):
        two.put(kv(f"k{number}"), b"v")
    two.commit()
    left = leave(two, [one], within_ms=100)
    assert left == Left(told_count=1, unshared_count=0)
    run([one, two], 2)
    assert one.bodies(kv("k49")) == [b"v"]
    assert state_of("n2", one) == "left"


def test_a_node_alone_leaves_at_once_with_what_it_holds() -> None:
    hand = Hand("n1")
    hand.write(kv("a"), b"1")
    assert leave(hand, [], within_ms=1) == Left(told_count=0, unshared_count=1)


def test_a_node_whose_peers_are_silent_leaves_after_its_time() -> None:
    _, two = pair()
    two.write(kv("a"), b"1")
    ticket = two.replica.leave(two.now)
    two.advance(LEAVE_TIMEOUT_MS - 10)
    assert ticket not in two.results
    two.advance(20)
    assert two.results[ticket] == Left(told_count=1, unshared_count=1)


def test_a_crash_is_not_a_leave() -> None:
    one, _ = pair()
    run([one], 10_000)
    assert state_of("n2", one) == "down"


def test_a_node_that_comes_back_after_a_leave_is_alive_at_once() -> None:
    one, two = pair()
    leave(two, [one], within_ms=100)
    run([one, two], 2)
    assert state_of("n2", one) == "left"
    again = two.crashed(start=2)
    run([one, again], 100)
    assert state_of("n2", one) == "alive"
    assert state_of("n1", again) == "alive"
