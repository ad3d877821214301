"""``mv``: a causal register that keeps concurrent writes as siblings.

Source: Almeida et al. 2014 (see ``model/dot.py``), dotted version vectors. A key holds a vector of the
greatest dot seen of each replica, and the siblings that nothing has superseded yet, each with its own dot.
A sibling is in the merge of two entries if both hold it, or one holds it and the other's vector does not
cover its dot: covered and absent means superseded.

Where we leave the paper: it compacts siblings into the vector, which needs counters without holes. Ours are
node-wide, so every sibling keeps its dot. A delete is a sibling without a value (as in Riak and K2V), so
that it has a dot of its own in plain sight and can be concurrent with a write; reads do not see it.

Invariants: siblings are in order of dot, and the vector covers every one. A vector entry stays when its
sibling is gone, or a re-add would resurrect.
"""

from dataclasses import dataclass

from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.stamp import STAMP_ZERO, Stamp
from kvgossip.model.value import Value


@dataclass(frozen=True, slots=True)
class Sibling:
    """One write that nothing has superseded; ``value`` is None if it was a delete."""

    dot: Dot
    stamp: Stamp
    value: Value | None

    def _rank(self) -> tuple[object, ...]:
        return (self.stamp, self.value is None, self.value or Value(b""))


@dataclass(frozen=True, slots=True)
class MvEntry:
    """All that a node knows of one key."""

    vector: VersionVector
    siblings: tuple[Sibling, ...]

    @property
    def stamp(self) -> Stamp:
        """The greatest stamp among the siblings."""
        return max((sibling.stamp for sibling in self.siblings), default=STAMP_ZERO)

    @property
    def is_tombstone(self) -> bool:
        return all(sibling.value is None for sibling in self.siblings)

    def dots(self) -> tuple[Dot, ...]:
        """The dots whose effect this entry is; those known only from the vector are not among them."""
        return tuple(sibling.dot for sibling in self.siblings)

    def live(self, wall_ms: int) -> tuple[Sibling, ...]:
        """The siblings that a read at ``wall_ms`` sees."""
        return tuple(s for s in self.siblings if s.value is not None and not s.value.is_expired(wall_ms))

    def merge(self, other: "MvEntry") -> "MvEntry":
        """Keep what neither side has superseded; ``self`` if ``other`` brings nothing."""
        mine = {sibling.dot: sibling for sibling in self.siblings}
        theirs = {sibling.dot: sibling for sibling in other.siblings}
        kept: list[Sibling] = []
        for dot, sibling in mine.items():
            twin = theirs.get(dot)
            if twin is not None:
                # One dot, two values: only a replica that broke its word issues this; still agree on one.
                kept.append(max(sibling, twin, key=Sibling._rank))
            elif not other.vector.covers(dot):
                kept.append(sibling)
        kept += [s for dot, s in theirs.items() if dot not in mine and not self.vector.covers(dot)]
        kept.sort(key=lambda sibling: sibling.dot)
        merged = MvEntry(self.vector.join(other.vector), tuple(kept))
        return self if merged == self else merged

    def check_invariants(self) -> None:
        assert all(self.vector.covers(sibling.dot) for sibling in self.siblings)
        assert list(self.siblings) == sorted(self.siblings, key=lambda sibling: sibling.dot)


def write_mv(current: MvEntry | None, context: VersionVector, written: Sibling) -> MvEntry:
    """The entry after a local write: it replaces what its context saw and nothing else.

    ``context`` may be ahead of ``current`` (clients move between nodes): what it saw is superseded when it
    arrives. An empty one is concurrent with everything.
    """
    old = current or MvEntry(VersionVector(), ())
    kept = [sibling for sibling in old.siblings if not context.covers(sibling.dot)]
    siblings = sorted([*kept, written], key=lambda sibling: sibling.dot)
    return MvEntry(VersionVector.of((*old.vector, *context, written.dot)), tuple(siblings))
