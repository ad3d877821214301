"""A large entry that could not be fetched: no clock speaks for what was not merged (found by seed 77)."""

from kvgossip.node.effects import Send
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.node.hand import Hand, mv, run, with_tuning


def test_a_clock_is_not_given_for_an_entry_that_the_failed_fetch_would_have_given_back() -> None:
    tuning = with_tuning(inline_bytes_max=100, exchange_interval_ms=1_000)
    hand, peer = Hand("n1", tuning=tuning), Hand("n2", seeds=["n1"], tuning=tuning)
    small = hand.write(mv("a"), b"1")
    large = peer.write(mv("a"), b"2" * 200)

    def is_dropped(send: Send) -> bool:
        """Only ``hand`` asks; the chunks of the large entry never come, and no rumor tells."""
        message = codec.decode(send.data)
        asks_hand = isinstance(message, m.ExchangeOpen) and send.to == hand.address
        return asks_hand or isinstance(message, m.Chunk | m.RumorPush)

    run([hand, peer], 20_000, drops=is_dropped)
    assert hand.replica.status().counters["exchanges_broken"] > 0
    assert hand.bodies(mv("a")) == [b"1"]
    assert peer.bodies(mv("a")) == [b"2" * 200]
    assert not peer.replica.status().clock.covers(small.dot)
    assert not hand.replica.status().clock.covers(large.dot)

    run([hand, peer], 20_000)
    assert sorted(hand.bodies(mv("a"))) == sorted(peer.bodies(mv("a"))) == [b"1", b"2" * 200]
