"""The median rule: who is wrong about the time, and when nobody can say."""

import pytest

from kvgossip.model.ids import ReplicaId
from kvgossip.protocol.clock_offsets import ClockOffsets

DAY_MS = 86_400_000


def voted(*offsets_ms: int, drift_ms_max: int = 5_000) -> ClockOffsets:
    """This node's clock, after others told offsets from it."""
    offsets = ClockOffsets(drift_ms_max)
    for number, offset_ms in enumerate(offsets_ms, start=1):
        offsets.note(ReplicaId(number), their_wall_ms=1_000_000 + offset_ms, wall_ms=1_000_000)
    offsets.vote({ReplicaId(number) for number in range(1, len(offsets_ms) + 1)})
    return offsets


@pytest.mark.parametrize(
    ("offsets_ms", "correction_ms"),
    [
        ((), 0),
        ((DAY_MS,), 0),  # two nodes: neither can say who is wrong
        ((DAY_MS, DAY_MS), DAY_MS),
        ((DAY_MS, 0), 0),  # one of three is wrong, and it is not this one
        ((-DAY_MS, -DAY_MS + 100, -DAY_MS + 200), -DAY_MS + 200),  # of four the one nearer to ours
        ((4_900, 4_950), 0),  # within the limit
        ((5_001, 5_001), 5_001),
        ((DAY_MS, -DAY_MS), 0),
    ],
)
def test_the_median_of_all_offsets_corrects_from_three_nodes_on(
    offsets_ms: tuple[int, ...], correction_ms: int
) -> None:
    assert voted(*offsets_ms).correction_ms == correction_ms


def test_it_tells_when_a_correction_begins_and_ends_and_only_then() -> None:
    offsets = voted(DAY_MS, DAY_MS)
    live = {ReplicaId(1), ReplicaId(2)}
    assert not offsets.vote(live)
    assert offsets.vote({ReplicaId(1)}), "one of them has gone: two nodes are left"
    assert offsets.correction_ms == 0


def test_a_node_that_is_gone_has_no_vote() -> None:
    offsets = voted(DAY_MS, DAY_MS, 0)
    offsets.vote({ReplicaId(3)})
    assert offsets.offset_ms(ReplicaId(1)) is None
    assert offsets.offset_ms(ReplicaId(3)) == 0
