"""Local writes: what a client's PUT or DELETE does to the staged state.

The rules: a ``kv`` write supersedes what its node had seen, whatever any clock says, because its
stamp is above that entry's; an ``mv`` write supersedes exactly what its context had seen; a limit refuses a
local write and never a merge.
"""

from typing import NamedTuple

from kvgossip.config import ENTRY_BYTES_MAX, SIBLINGS_MAX
from kvgossip.model.digest import entry_digest
from kvgossip.model.dot import VersionVector
from kvgossip.model.encoding import decode_entry, encode_entry
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Key, Kind, kind_of
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry, Sibling, write_mv
from kvgossip.model.stamp import STAMP_MAX, STAMP_ZERO, Stamp
from kvgossip.model.value import Value
from kvgossip.node.effects import Condition, Now, Refusal, Refused, Written
from kvgossip.node.staging import Ahead, Staging

NO_CONDITION = Condition()


class Write(NamedTuple):
    """A PUT, or with ``value`` None a DELETE.

    A DELETE of an ``mv`` key without a context deletes what this node holds now; a PUT without one is
    concurrent with everything.
    """

    key: Key
    value: Value | None
    context: VersionVector | None = None
    condition: Condition = NO_CONDITION


def stage_write(
    staging: Staging, write: Write, now: Now, digest_seed: int, ahead: Ahead
) -> Written | Refused:
    """Refused: nothing was staged. ``ahead``: rows that were read for it. Raises ``CorruptRowError``."""
    key, value, context, condition = write
    replaced = staging.find(key, ahead)
    current = None if replaced is None else decode_entry(key, replaced)
    replaced_digest = None if replaced is None else entry_digest(digest_seed, key, replaced)
    if condition is not NO_CONDITION:
        etag = None if replaced_digest is None else format_etag(replaced_digest)
        if not condition.holds(etag, is_live=_is_live(current, now)):
            seen = current.vector if isinstance(current, MvEntry) else None
            detail = f"the key is at version {etag or 'none'} here; read it and decide anew"
            return Refused(Refusal.PRECONDITION_FAILED, detail, seen)
    dot = staging.next_dot()
    stamp = staging.next_stamp(now, above=STAMP_ZERO if current is None else current.stamp)
    if stamp > STAMP_MAX:
        return Refused(Refusal.STAMPS_EXHAUSTED, "the entry has the last possible stamp (year 3000)")
    entry: Entry
    if kind_of(key) is Kind.KV:
        entry = KvEntry(dot, stamp, value)
        data = encode_entry(entry)
    else:
        assert current is None or isinstance(current, MvEntry)
        entry = _written_mv(current, context, Sibling(dot, stamp, value))
        data = encode_entry(entry)
        refused = _refusal(entry, len(data), current)
        if refused is not None:
            return refused
    staging.stage_dots((dot,))
    digest = staging.stage_entry(key, entry, data, replaced=replaced_digest, source=None, becomes_hot=True)
    staging.stage_stamp(Stamp(stamp))
    return Written(
        dot=dot,
        stamp=stamp,
        etag=format_etag(digest),
        created=not _is_live(current, now),
        context=entry.vector if isinstance(entry, MvEntry) else None,
    )


def _written_mv(current: MvEntry | None, context: VersionVector | None, written: Sibling) -> MvEntry:
    if context is None:
        context = VersionVector() if current is None or written.value is not None else current.vector
    return write_mv(current, context, written)


def _refusal(entry: MvEntry, size: int, current: MvEntry | None) -> Refused | None:
    seen = VersionVector() if current is None else current.vector
    resolve = "read it, resolve its siblings, and write with the context"
    if len(entry.siblings) > SIBLINGS_MAX:
        count = len(entry.siblings)
        detail = f"the key would have {count} siblings: at most {SIBLINGS_MAX} are allowed; {resolve}"
        return Refused(Refusal.TOO_MANY_SIBLINGS, detail, seen)
    if size > ENTRY_BYTES_MAX:
        detail = f"the entry would have {size} bytes: at most {ENTRY_BYTES_MAX} are allowed; {resolve}"
        return Refused(Refusal.ENTRY_TOO_LARGE, detail, seen)
    return None


def format_etag(digest: int) -> str:
    """The version of an entry: its digest, equal on every node that holds the same."""
    return f"{digest:032x}"


def _is_live(entry: Entry | None, now: Now) -> bool:
    return entry is not None and bool(entry.live(now.wall_ms))
