"""A tree that drifted from its rows is noticed by the recount, told, and mended on the disk."""

from collections.abc import Iterator

import pytest

from kvgossip.config import Tuning
from kvgossip.model.digest import entry_digest, key_hash
from kvgossip.model.ids import Key
from kvgossip.node.recount import STEP_ROWS
from kvgossip.store.base import Batch, Change
from kvgossip.store.memory import MemoryStore
from tests.node.hand import SECRET, Hand, kv, mv, roots, run

SEED = SECRET.digest_seed
PASS_MS = 20_000


def drift(store: MemoryStore, key: Key, *, is_new: bool) -> None:
    """Write a row again with a wrong account of what it replaces, as a bug of ours would."""
    data = store.get(key)
    assert data is not None
    digest = entry_digest(SEED, key, data)
    wrong = None if is_new else digest ^ 5
    batch = Batch([Change(key, key_hash(SEED, key), digest, data, wrong)])
    store.prepare(batch)
    store.write(batch)
    store.publish(batch)


def told(hand: Hand) -> Iterator[int]:
    return (int(event.fields["rows"]) for event in hand.events if event.name == "tree-mended")


def advance(hand: Hand, ms: int) -> None:
    for _ in range(ms // 100):
        hand.advance(100)
        hand.commit()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_tree_that_drifted_is_told_and_mended_on_the_disk(is_new: bool) -> None:
    hand = Hand()
    for number in range(600):
        hand.put(kv(f"k{number}"), b"v")
    hand.commit()
    sound = hand.replica.status().root
    drift(hand.store, kv("k7"), is_new=is_new)
    assert hand.replica.status().root != sound
    advance(hand, PASS_MS)
    assert hand.replica.status().root == sound
    assert list(told(hand)) == [-1 if is_new else 0]
    assert hand.replica.status().counters["recount_differences"] == 1
    hand.store.check_invariants()
    hand.store.reopen().check_invariants()


def test_writes_between_the_step_and_its_commit_do_no_harm() -> None:
    hand = Hand()
    for number in range(50):
        hand.put(kv(f"k{number}"), b"v")
    hand.commit()
    drift(hand.store, kv("k7"), is_new=True)
    while not hand.commits:
        hand.advance(100)
    hand.put(kv("k7"), b"w")
    hand.put(kv("new"), b"w")
    hand.commit()
    hand.store.check_invariants()


def test_a_sound_tree_is_left_alone_and_a_step_is_bounded() -> None:
    hand = Hand()
    for number in range(3 * STEP_ROWS):
        hand.put(kv(f"k{number}"), b"v")
    hand.commit()
    steps = 0
    while not hand.replica.status().counters["recounts"]:
        hand.advance(500)
        steps += 1
        assert not hand.commits, "nothing is written"
    assert steps >= 3
    assert not list(told(hand))


def test_two_nodes_of_which_one_drifted_agree_again() -> None:
    one, two = Hand("n1", tuning=Tuning(recount_pause_ms=1_000)), Hand("n2", seeds=["n1"])
    one.write(kv("a"), b"1")
    run([one, two], 3_000)
    assert len(roots([one, two])) == 1
    drift(one.store, kv("a"), is_new=True)
    assert len(roots([one, two])) == 2
    run([one, two], 5_000)
    assert list(told(one)) == [-1]
    assert len(roots([one, two])) == 1


def test_the_census_counts_keys_tombstones_and_siblings() -> None:
    hand = Hand()
    assert hand.replica.status().census is None
    for number in range(5):
        hand.write(kv(f"k{number}"), b"v")
    hand.write(kv("k0"), None)
    for body in (b"1", b"2", b"3"):
        hand.write(mv("m"), body)
    advance(hand, PASS_MS)
    census = hand.replica.status().census
    assert census is not None
    assert (census.key_count, census.tombstone_count, census.sibling_count) == (5, 1, 3)
