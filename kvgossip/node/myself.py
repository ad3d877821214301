"""Who this node is to others: its member record, its Hello, and what of its dots anybody can have heard."""

from random import Random

import kvgossip
from kvgossip.model.member import Member
from kvgossip.node.copies import OldDots
from kvgossip.node.identity import Identity
from kvgossip.node.profile import NodeProfile
from kvgossip.node.staging import Staging
from kvgossip.wire.messages import Known


class Myself:
    """The identity of this start, and its renewal when the directory turns out to be a copy."""

    def __init__(self, identity: Identity, staging: Staging, profile: NodeProfile) -> None:
        self.identity = identity
        self._staging = staging
        self._profile = profile
        self.counter_at_start = staging.own_counter
        self.counter_told = staging.own_counter
        """The greatest own counter that anybody can have heard of; see ``shows_copy``."""

    def stage(self) -> None:
        """Write the identity with the next batch."""
        for name, data in self.identity.records().items():
            self._staging.stage_meta(name, data)

    def renew(self, rng: Random) -> OldDots:
        """Be another replica from now on. Returns the dots of this start under the old id."""
        old = OldDots(self.identity.replica, self.counter_at_start)
        self.identity = self.identity.renewed(rng)
        self.counter_at_start = self.counter_told = 0
        self._staging.renew_replica(self.identity.replica)
        self.stage()
        return old

    def note_told(self) -> None:
        """Data leaves: whoever gets it may hear of every dot that is committed here."""
        self.counter_told = self._committed_counter()

    def record(self) -> Member:
        return Member(
            replica=self.identity.replica,
            generation=self.identity.generation,
            version=1,
            name=self._profile.name,
            peer=self._profile.peer,
            api=self._profile.api,
            software=kvgossip.__version__,
            zone=self._profile.zone,
            tags=self._profile.tags,
        )

    def known(self) -> Known:
        """What a Hello says of this node."""
        identity = self.identity
        return Known(identity.replica, identity.generation, identity.start_number, self._committed_counter())

    def _committed_counter(self) -> int:
        return self._staging.committed_clock.greatest(self.identity.replica)
