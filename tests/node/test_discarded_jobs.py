"""A commit that fails for certain: nobody is told that what it held was merged (found by seed 174)."""

from kvgossip.errors import CommitRefusedError
from kvgossip.wire import messages as m
from tests.node.hand import Hand, kv, with_tuning


def test_a_message_whose_large_entry_came_after_the_small_ones_were_discarded_is_not_answered() -> None:
    small_inline = with_tuning(inline_bytes_max=100)
    hand, peer = Hand("n1", tuning=small_inline), Hand("n2", tuning=small_inline)
    peer.write(kv("small"), b"1")
    peer.write(kv("large"), b"2" * 200)
    hand.meet(peer)
    carried, offer = (peer.replica._rows.load(kv(name), 100) for name in ("small", "large"))
    assert isinstance(carried, m.Carried)
    assert isinstance(offer, m.Offer)
    hand.receive(peer, m.ExchangeOpen(7, salt=1, root=1, row_count=2, clock_hash=1))
    hand.receive(peer, m.Give(7, 1, (carried,), (offer,)))
    asked = [message for message in hand.take_messages() if isinstance(message, m.ChunkAsk)]
    assert len(asked) == 1
    batch = hand.commits.pop()
    hand.replica.handle_commit_failed(batch, CommitRefusedError("simulated"), hand.now)
    hand.pump()

    peer.meet(hand)
    peer.receive(hand, asked[0])
    for chunk in peer.take_messages():
        hand.receive(peer, chunk)
    hand.commit()
    assert hand.bodies(kv("small")) == []
    assert not [message for message in hand.take_messages() if isinstance(message, m.Given)]

    # The peer was told that its session is over, so it opens another one.
    hand.receive(peer, m.ExchangeOpen(8, salt=1, root=1, row_count=2, clock_hash=1))
    hand.receive(peer, m.Give(8, 1, (carried,), ()))
    hand.commit()
    assert hand.bodies(kv("small")) == [b"1"]
    assert [message for message in hand.take_messages() if isinstance(message, m.Given)]
