"""``kv``: a last-write-wins register.

The merge is a maximum by one total order: stamp, then replica id, then tombstone over value, then the value
itself. A stamp and a replica id name one write unless a replica reissues a stamp, and even then all nodes
pick the same winner, because ties go down to the value.
"""

from typing import NamedTuple

from kvgossip.model.dot import Dot
from kvgossip.model.stamp import Stamp
from kvgossip.model.value import Value


class KvEntry(NamedTuple):
    """One write of a key; ``value`` is None in a tombstone.

    A tuple, as its parts are: every read of a key makes one, and a frozen dataclass takes twice as long.
    """

    dot: Dot
    stamp: Stamp
    value: Value | None

    @property
    def is_tombstone(self) -> bool:
        return self.value is None

    def dots(self) -> tuple[Dot, ...]:
        """The dots whose effect this entry is."""
        return (self.dot,)

    def merge(self, other: "KvEntry") -> "KvEntry":
        """The later of two entries; ``self`` if they are equal."""
        if other.stamp != self.stamp:  # decides nearly always, and costs a tenth of the whole rank
            return other if other.stamp > self.stamp else self
        return other if other._rank() > self._rank() else self

    def live(self, wall_ms: int) -> Value | None:
        """The value that a read at ``wall_ms`` sees."""
        return None if self.value is None or self.value.is_expired(wall_ms) else self.value

    def _rank(self) -> tuple[object, ...]:
        return (self.stamp, self.dot.replica, self.is_tombstone, self.value or Value(b""), self.dot.counter)
