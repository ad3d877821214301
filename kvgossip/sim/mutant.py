"""A mutant: a fault of one line in the code under test, aimed at one promise."""

from dataclasses import dataclass
from pathlib import Path

import kvgossip
from kvgossip.errors import KvGossipError

PACKAGE = Path(kvgossip.__file__).parent


class MutantError(KvGossipError):
    """A mutant does not fit the code any more, or its run did not end."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` occurs once in ``path`` and becomes ``new``. ``promise``: the one that it is aimed at.

    ``experiment``: the one of membership that hunts it; None for the seeds of whole clusters.
    """

    name: str
    path: str
    old: str
    new: str
    promise: str
    experiment: str | None = None

    def source(self) -> str:
        """The file with the fault in it. Raises ``MutantError`` if the text is not there exactly once."""
        source = (PACKAGE / self.path).read_text()
        count = source.count(self.old)
        if count != 1:
            raise MutantError(f"mutant {self.name}: its text occurs {count} times in {self.path}, not once")
        return source.replace(self.old, self.new)
