"""What a node is told about itself."""

from dataclasses import dataclass, field

from kvgossip.config import Tuning
from kvgossip.model.ids import Address


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """What a node is told about itself at its start."""

    name: str
    peer: Address
    api: str
    seeds: tuple[Address, ...] = ()
    tuning: Tuning = field(default_factory=Tuning)
    zone: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    """Sorted by key."""
    announces_visible: bool = False
    """Notify ``Visible`` for every row that a commit shows; for traces."""
