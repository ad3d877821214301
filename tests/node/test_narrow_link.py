"""A link of 256 kbit/s: a batch takes 8 s, and the exchange completes all the same."""

from collections import deque

from kvgossip.node.effects import Send
from tests.node.hand import Hand, kv, roots

BYTES_A_MS = 32
STEP_MS = 10


class Line:
    """One direction: frames go one after another, each as long as its bytes take."""

    def __init__(self) -> None:
        self.queue: deque[Send] = deque()
        self.left = 0.0
        self.bytes_carried = 0

    def step(self) -> list[Send]:
        """What arrives within one step."""
        arrived = []
        budget = float(BYTES_A_MS * STEP_MS)
        while self.queue and budget > 0:
            if self.left <= 0:
                self.left = len(self.queue[0].data)
            used = min(budget, self.left)
            self.left -= used
            budget -= used
            if self.left <= 0:
                arrived.append(self.queue.popleft())
                self.bytes_carried += len(arrived[-1].data)
        return arrived


def test_an_exchange_over_a_narrow_link_completes_without_filling_it_with_copies() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    count, body = 3_000, b"x" * 300
    for i in range(count):
        one.put(kv(f"{i:05}"), body)
        if i % 500 == 499:
            one.commit()
    hands, lines = (one, two), {one.address: Line(), two.address: Line()}
    least_ms = count * 340 // BYTES_A_MS
    while len(roots([one, two])) > 1:
        assert one.ms < 4 * least_ms, "more than four times what the bytes alone take"
        for hand in hands:
            hand.advance(STEP_MS)
            hand.commit()
            sends, hand.sends = hand.sends, []
            lines[hand.address].queue.extend(sends)
        for sender, receiver in (hands, hands[::-1]):
            for send in lines[sender.address].step():
                receiver.receive_bytes(sender, send.data)
    assert lines[one.address].bytes_carried < 3 * count * 340
