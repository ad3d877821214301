"""One law suite that the entries of every kind pass: a join semilattice with canonical bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgossip.errors import EncodingError
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import decode_entry, encode_entry
from kvgossip.model.entry import Entry, merge_entries
from kvgossip.model.ids import Kind
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry
from tests.model.values import ENTRIES, KEYS, LAWS, mutated

kinds = pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)


def test_every_kind_is_in_the_law_suite() -> None:
    assert set(ENTRIES) == set(Kind)


@kinds
@LAWS
@given(data=st.data())
def test_merge_is_commutative(kind: Kind, data: st.DataObject) -> None:
    a, b = data.draw(ENTRIES[kind]), data.draw(ENTRIES[kind])
    assert merge_entries(a, b) == merge_entries(b, a)


@kinds
@LAWS
@given(data=st.data())
def test_merge_is_associative(kind: Kind, data: st.DataObject) -> None:
    a, b, c = (data.draw(ENTRIES[kind]) for _ in range(3))
    assert merge_entries(merge_entries(a, b), c) == merge_entries(a, merge_entries(b, c))


@kinds
@LAWS
@given(data=st.data())
def test_merge_is_idempotent(kind: Kind, data: st.DataObject) -> None:
    a, b = data.draw(ENTRIES[kind]), data.draw(ENTRIES[kind])
    merged = merge_entries(a, b)
    assert merge_entries(a, decode_entry(KEYS[kind], encode_entry(a))) is a
    assert merge_entries(merged, a) is merged
    assert merge_entries(merged, b) is merged


@kinds
@LAWS
@given(data=st.data())
def test_was_news_is_exact(kind: Kind, data: st.DataObject) -> None:
    """The merge is the object ``mine`` exactly if nothing changed, to the byte."""
    mine, theirs = data.draw(ENTRIES[kind]), data.draw(ENTRIES[kind])
    merged = merge_entries(mine, theirs)
    assert (merged is mine) == (encode_entry(merged) == encode_entry(mine))
    assert merge_entries(None, theirs) is theirs


@kinds
@LAWS
@given(data=st.data())
def test_equal_states_give_equal_bytes_and_others_do_not(kind: Kind, data: st.DataObject) -> None:
    a, b = data.draw(ENTRIES[kind]), data.draw(ENTRIES[kind])
    assert (a == b) == (encode_entry(a) == encode_entry(b))
    assert encode_entry(merge_entries(a, b)) == encode_entry(merge_entries(b, a))


@kinds
@LAWS
@given(data=st.data())
def test_what_is_encoded_is_decoded(kind: Kind, data: st.DataObject) -> None:
    entry = data.draw(ENTRIES[kind])
    assert decode_entry(KEYS[kind], encode_entry(entry)) == entry


@kinds
@LAWS
@given(data=st.data())
def test_decoding_is_total_and_accepts_canonical_bytes_only(kind: Kind, data: st.DataObject) -> None:
    canonical = ENTRIES[kind].map(encode_entry)
    raw = data.draw(st.binary(max_size=200) | mutated(canonical) | mutated(mutated(canonical)))
    try:
        entry = decode_entry(KEYS[kind], raw)
    except EncodingError:
        return
    assert encode_entry(entry) == raw
    if isinstance(entry, MvEntry):
        entry.check_invariants()


@kinds
@LAWS
@given(data=st.data())
def test_merge_loses_no_dot_that_the_other_side_does_not_supersede(kind: Kind, data: st.DataObject) -> None:
    a, b = data.draw(ENTRIES[kind]), data.draw(ENTRIES[kind])
    merged = merge_entries(a, b)
    for one, other in ((a, b), (b, a)):
        for dot in one.dots():
            assert dot in merged.dots() or supersedes(other, dot, one)


def supersedes(entry: Entry, dot: Dot, held_by: Entry) -> bool:
    """True if ``entry`` knows better than ``held_by`` about ``dot``."""
    if isinstance(entry, MvEntry):
        return entry.vector.covers(dot) and dot not in entry.dots()
    assert isinstance(held_by, KvEntry)
    return entry.merge(held_by) is entry and entry != held_by
