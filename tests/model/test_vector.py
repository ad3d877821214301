"""Version vectors and ``mv`` entries: the traps of dotted version vectors, each by name."""

from hypothesis import given
from hypothesis import strategies as st

from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.ids import ReplicaId
from kvgossip.model.mv import MvEntry, Sibling, write_mv
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from tests.model.values import LAWS, dots, vectors

A, B, C = ReplicaId(1), ReplicaId(2), ReplicaId(3)
EMPTY = VersionVector()


def sibling(replica: ReplicaId, counter: int, body: bytes | None = b"v") -> Sibling:
    return Sibling(Dot(replica, counter), Stamp(counter), None if body is None else Value(body))


def put(current: MvEntry | None, context: VersionVector, replica: ReplicaId, counter: int) -> MvEntry:
    return write_mv(current, context, sibling(replica, counter))


def delete(current: MvEntry, context: VersionVector, replica: ReplicaId, counter: int) -> MvEntry:
    return write_mv(current, context, sibling(replica, counter, None))


@LAWS
@given(st.lists(dots), vectors)
def test_a_vector_covers_what_is_at_most_its_counter(some: list[Dot], other: VersionVector) -> None:
    vector = VersionVector.of(some)
    assert all(vector.covers(dot) for dot in some)
    assert not any(vector.covers(Dot(dot.replica, dot.counter + 1)) for dot in vector)
    assert list(vector) == sorted(vector)
    assert vector.covers_all(other) == all(vector.counter(r) >= c for r, c in other)
    assert bool(vector) == bool(some)


@LAWS
@given(vectors, vectors, vectors)
def test_join_of_vectors_is_a_join(a: VersionVector, b: VersionVector, c: VersionVector) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) is a
    assert (a.join(b) is a) == a.covers_all(b)
    assert a.join(b).covers_all(b)


def test_a_write_without_a_context_is_concurrent_with_everything() -> None:
    entry = put(put(None, EMPTY, A, 1), EMPTY, A, 2)
    assert entry.dots() == (Dot(A, 1), Dot(A, 2))


def test_a_write_replaces_exactly_what_its_context_saw() -> None:
    both = put(put(None, EMPTY, A, 1), EMPTY, B, 1)
    entry = put(both, VersionVector.of([Dot(A, 1)]), C, 1)
    assert entry.dots() == (Dot(B, 1), Dot(C, 1))


def test_a_client_that_always_sends_its_last_context_makes_no_siblings_with_itself() -> None:
    entry = put(None, EMPTY, A, 1)
    for counter in range(2, 6):
        entry = put(entry, entry.vector, A, counter)
    assert entry.dots() == (Dot(A, 5),)


def test_a_context_ahead_of_the_node_supersedes_what_arrives_later() -> None:
    first = put(None, EMPTY, A, 1)
    elsewhere = put(None, first.vector, B, 1)
    assert elsewhere.merge(first).dots() == (Dot(B, 1),)
    assert first.merge(elsewhere).dots() == (Dot(B, 1),)


def test_a_vector_entry_stays_when_its_value_is_gone_so_a_late_copy_does_not_resurrect() -> None:
    old = put(None, EMPTY, A, 1)
    replaced = put(old, old.vector, B, 1)
    assert Dot(A, 1) in list(replaced.vector)
    assert replaced.merge(old) is replaced
    re_added = put(delete(replaced, replaced.vector, B, 2), EMPTY, C, 1)
    assert Dot(A, 1) not in re_added.merge(old).dots()


def test_node_wide_dots_with_holes_are_not_taken_for_a_compact_set() -> None:
    """A replica's dots of one key may be 3 and 9: the vector covers 9, but that says nothing of 4 to 8."""
    mine = put(None, EMPTY, A, 3)
    theirs = put(mine, EMPTY, A, 9)
    assert theirs.dots() == (Dot(A, 3), Dot(A, 9))
    assert mine.merge(theirs) == theirs
    assert theirs.merge(mine) is theirs


def test_a_delete_concurrent_with_a_write_leaves_the_write_visible() -> None:
    base = put(None, EMPTY, A, 1)
    deleted = delete(base, base.vector, A, 2)
    written = put(base, base.vector, B, 1)
    merged = deleted.merge(written)
    assert not merged.is_tombstone
    assert [s.value for s in merged.live(0)] == [Value(b"v")]


def test_a_deleted_key_is_usable_again() -> None:
    entry = put(None, EMPTY, A, 1)
    entry = delete(entry, entry.vector, A, 2)
    assert entry.is_tombstone
    entry = put(entry, entry.vector, A, 3)
    assert [s.dot for s in entry.live(0)] == [Dot(A, 3)]


def test_one_dot_with_two_values_still_has_one_winner_everywhere() -> None:
    """Only a replica that broke its word issues this."""
    one = MvEntry(VersionVector.of([Dot(A, 1)]), (sibling(A, 1, b"a"),))
    two = MvEntry(VersionVector.of([Dot(A, 1)]), (sibling(A, 1, b"b"),))
    gone = MvEntry(VersionVector.of([Dot(A, 1)]), (sibling(A, 1, None),))
    assert one.merge(two) == two.merge(one) == two
    assert one.merge(gone) == gone.merge(one) == gone


@LAWS
@given(st.data())
def test_siblings_are_the_writes_that_no_other_write_had_seen(data: st.DataObject) -> None:
    """Three replicas write with contexts and merge at random; a naive set of causes is the judge."""
    entries: dict[ReplicaId, MvEntry | None] = {A: None, B: None, C: None}
    written: set[Dot] = set()
    superseded: set[Dot] = set()
    contexts = [EMPTY]
    counters = dict.fromkeys(entries, 0)
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.sampled_from(sorted(entries)))
        if data.draw(st.booleans()):
            counters[at] += data.draw(st.integers(1, 3))  # other keys use the dots in between
            context = data.draw(st.sampled_from(contexts))
            entry = put(entries[at], context, at, counters[at])
            superseded |= {dot for dot in written if context.covers(dot)}
            written.add(Dot(at, counters[at]))
            entries[at] = entry
            contexts.append(entry.vector)
        elif (theirs := entries[data.draw(st.sampled_from(sorted(entries)))]) is not None:
            mine = entries[at]
            entries[at] = theirs if mine is None else mine.merge(theirs)
    joined = MvEntry(EMPTY, ())
    for held in entries.values():
        if held is not None:
            held.check_invariants()
            joined = joined.merge(held)
    assert set(joined.dots()) == written - superseded
