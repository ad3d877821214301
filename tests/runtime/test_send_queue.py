"""The two lanes of a peer's queue."""

from random import Random

from kvgossip.runtime.send_queue import BULK_BYTES_MAX, CONTROL_BYTES_MAX, ByteBudget, SendQueue


def drain(queue: SendQueue) -> list[bytes]:
    frames = []
    while (frame := queue.pop()) is not None:
        frames.append(frame)
    return frames


def test_control_overtakes_bulk_and_each_lane_keeps_its_order() -> None:
    queue = SendQueue(ByteBudget())
    for frame, is_bulk in ((b"b1", True), (b"c1", False), (b"b2", True), (b"c2", False)):
        assert queue.push(frame, is_bulk=is_bulk)
    assert drain(queue) == [b"c1", b"c2", b"b1", b"b2"]
    assert not queue


def test_a_full_lane_refuses_and_leaves_the_other_free() -> None:
    queue = SendQueue(ByteBudget())
    frame = b"x" * (256 << 10)
    taken = 0
    while queue.push(frame, is_bulk=True):
        taken += 1
    assert taken == BULK_BYTES_MAX // len(frame) - 1  # the overhead of a frame counts, too
    assert queue.push(b"control", is_bulk=False)


def test_empty_frames_fill_a_lane_too() -> None:
    queue = SendQueue(ByteBudget())
    taken = 0
    while queue.push(b"", is_bulk=False):
        taken += 1
    assert taken <= CONTROL_BYTES_MAX // 32


def test_all_queues_share_one_budget() -> None:
    budget = ByteBudget(bytes_max=1_000)
    one, two = SendQueue(budget), SendQueue(budget)
    assert one.push(b"x" * 800, is_bulk=True)
    assert not two.push(b"x" * 800, is_bulk=True)
    assert one.pop() is not None
    assert two.push(b"x" * 800, is_bulk=True)
    assert two.clear() == 1
    assert budget.bytes_held == 0


def test_the_budget_always_equals_what_is_held() -> None:
    rng = Random(7)
    budget = ByteBudget(bytes_max=20_000)
    queues = [SendQueue(budget) for _ in range(3)]
    for _ in range(2_000):
        queue = rng.choice(queues)
        match rng.randrange(10):
            case 0:
                queue.clear()
            case 1:
                other = rng.choice([other for other in queues if other is not queue])
                queue.take_over(other)
                assert not other
            case n if n < 6:
                queue.push(b"x" * rng.randrange(500), is_bulk=rng.random() < 0.5)
            case _:
                queue.pop()
        assert 0 <= budget.bytes_held <= budget.bytes_max
    for queue in queues:
        drain(queue)
    assert budget.bytes_held == 0
