"""One node without a world: the sans-I/O replica. (Under construction: the contract others build on.)"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from kvgossip.config import Tuning
from kvgossip.errors import StoreError
from kvgossip.model.dot import VersionVector
from kvgossip.model.entry import Entry
from kvgossip.model.ids import Address, Key, StartNumber
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.value import Value
from kvgossip.node.effects import Effect, Now, Ticket
from kvgossip.node.status import MemberStatus, Status
from kvgossip.store.base import Batch, Store


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """What a node is told about itself at its start."""

    name: str
    peer: Address
    api: str
    seeds: tuple[Address, ...] = ()
    tuning: Tuning = field(default_factory=Tuning)


class Replica:
    def __init__(
        self,
        profile: NodeProfile,
        *,
        store: Store,
        secret: ClusterSecret,
        rng: Random,
        start_number: StartNumber,
        now: Now,
    ) -> None:
        """Adopt what ``store`` holds. The first effect is a ``Commit`` of the new generation."""
        raise NotImplementedError

    # -- inputs

    def put(self, key: Key, value: Value, now: Now, *, context: VersionVector | None = None) -> Ticket:
        raise NotImplementedError

    def delete(self, key: Key, now: Now, *, context: VersionVector | None = None) -> Ticket:
        raise NotImplementedError

    def check(self, now: Now) -> Ticket:
        """Ask all members for their roots; ``Done`` carries a ``Checked``."""
        raise NotImplementedError

    def receive(self, sender: Address, data: bytes, now: Now) -> None:
        raise NotImplementedError

    def handle_timer(self, now: Now) -> None:
        raise NotImplementedError

    def handle_committed(self, batch: Batch, now: Now) -> None:
        raise NotImplementedError

    def handle_commit_failed(self, batch: Batch, error: StoreError, now: Now) -> None:
        raise NotImplementedError

    def handle_connected(self, to: Address, now: Now) -> None:
        raise NotImplementedError

    def handle_send_failed(self, to: Address, now: Now) -> None:
        raise NotImplementedError

    def handle_seeds(self, seeds: Sequence[Address], now: Now) -> None:
        """The seeds, resolved anew."""
        raise NotImplementedError

    # -- queries, of committed rows only

    def get(self, key: Key) -> Entry | None:
        raise NotImplementedError

    def etag(self, key: Key) -> str | None:
        """The version of an entry, the same on every node that holds the same."""
        raise NotImplementedError

    def status(self) -> Status:
        raise NotImplementedError

    def members(self, now: Now) -> list[MemberStatus]:
        raise NotImplementedError

    # -- outputs

    def take_effects(self) -> list[Effect]:
        raise NotImplementedError

    def next_deadline_ms(self) -> int | None:
        """On the monotonic clock; None if nothing is due. Calling ``handle_timer`` early is harmless."""
        raise NotImplementedError
