"""What a start made is not walked by the garbage collector again."""

import gc

from kvgossip.runtime.collector import freeze_what_started


def test_a_collection_walks_only_what_came_after_the_start() -> None:
    assert len(gc.get_objects()) > 10_000
    try:
        freeze_what_started()
        assert len(gc.get_objects()) < 1_000
    finally:
        gc.unfreeze()
