"""The union of all kinds of entry, and how two of the same kind merge.

A further kind is one more file beside ``kv.py`` and ``mv.py``, one more member of ``Entry`` and its bytes in
``encoding.py``; nothing above this layer changes.
"""

from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry

Entry = KvEntry | MvEntry


def merge_entries(mine: Entry | None, theirs: Entry) -> Entry:
    """The join of two entries of one key. It is ``mine``, the object, exactly if ``theirs`` was no news.

    Commutative, associative, idempotent. The answer "was this news?" is what keeps gossip from echoing.
    """
    if mine is None:
        return theirs
    if isinstance(mine, KvEntry):
        assert isinstance(theirs, KvEntry)  # the kind is part of the key
        return mine.merge(theirs)
    assert isinstance(theirs, MvEntry)
    return mine.merge(theirs)
