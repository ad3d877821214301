"""The order of ``kv`` writes, written down a second time.

The checkers must not ask the code under test which of two writes wins, so this repeats docs/PROTOCOL.md in
its own words: stamp, then replica id, then tombstone over value, then the value's bytes.
"""

from kvgossip.model.dot import Dot
from kvgossip.model.entry import Entry
from kvgossip.model.kv import KvEntry
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value
from kvgossip.sim.ledger import Ledger

Rank = tuple[int, int, bool, bytes, str, int, int]


def kv_rank(dot: Dot, stamp: Stamp, value: Value | None) -> Rank:
    """Greater wins."""
    body = Value(b"") if value is None else value
    return (stamp, dot.replica, value is None, body.body, body.content_type, body.expires_ms, dot.counter)


def entry_rank(entry: KvEntry) -> Rank:
    return kv_rank(entry.dot, entry.stamp, entry.value)


def went_down(old: Entry | None, new: KvEntry) -> bool:
    """True if a row of a ``kv`` key was replaced by a lesser one."""
    return isinstance(old, KvEntry) and entry_rank(new) < entry_rank(old)


def is_reissue(ledger: Ledger, old: Entry | None, new: KvEntry) -> bool:
    """True if a copied directory has issued a ``kv`` write again: another dot, the same stamp and value."""
    return (
        isinstance(old, KvEntry)
        and (old.stamp, old.value) == (new.stamp, new.value)
        and ledger.is_disputed(old.dot)
    )


def holds_or_supersedes(entry: Entry | None, dot: Dot, stamp: Stamp, value: Value | None) -> bool:
    """True if ``entry`` shows the effect of this write of its key, or of something that came after it.

    For ``mv`` keys it asks only whether the vector covers the dot: whether it was superseded lawfully is
    for ``Causality`` to say.
    """
    if entry is None:
        return False
    if isinstance(entry, KvEntry):
        return entry_rank(entry) >= kv_rank(dot, stamp, value)
    return entry.vector.covers(dot)
