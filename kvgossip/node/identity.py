"""Who a node is: the replica id of its data directory, and the generation of this start."""

from dataclasses import dataclass, replace
from random import Random

from kvgossip.errors import StoreError
from kvgossip.model.ids import Generation, ReplicaId, StartNumber
from kvgossip.store.base import Store

META_REPLICA = "replica"
META_GENERATION = "generation"
RENEWAL_BITS = 48
"""A renewed id is at most so far from the one before, and as hard to meet twice."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The actor of this start. Nothing may be sent under it before it is durable."""

    replica: ReplicaId
    generation: Generation
    start_number: StartNumber

    def records(self) -> dict[str, bytes]:
        """What the store keeps of it."""
        return {
            META_REPLICA: self.replica.to_bytes(8, "big"),
            META_GENERATION: self.generation.to_bytes(4, "big"),
        }

    def renewed(self, rng: Random) -> "Identity":
        """Another replica in the same start, for a node that turned out to be a copy.

        Its id is a greater one, because of two ``kv`` writes with one stamp that of the greater id wins: so
        what is issued again still supersedes what it did, and a clock that covers both stays honest.
        """
        return replace(self, replica=ReplicaId(self.replica + 1 + rng.getrandbits(RENEWAL_BITS)))


def next_identity(store: Store, rng: Random, start_number: StartNumber, *, is_new_replica: bool) -> Identity:
    """The identity of a start: the stored replica id, one generation further.

    An empty store is a new replica; so is one whose log lost committed records (``is_new_replica``), because
    it could issue dots that exist. Raises ``StoreError`` for records that are not ours.
    """
    raw_replica, raw_generation = store.get_meta(META_REPLICA), store.get_meta(META_GENERATION)
    if raw_replica is None or raw_generation is None:
        return Identity(new_replica_id(rng), Generation(1), start_number)
    if len(raw_replica) != 8 or len(raw_generation) != 4:
        raise StoreError("the identity records of the data directory are garbled")
    generation = Generation(int.from_bytes(raw_generation, "big") + 1)
    replica = ReplicaId(int.from_bytes(raw_replica, "big"))
    return Identity(new_replica_id(rng) if is_new_replica else replica, generation, start_number)


def new_replica_id(rng: Random) -> ReplicaId:
    """63 random bits, never zero: the upper half of all ids is for renewals, 32,768 of them at least."""
    return ReplicaId(rng.getrandbits(63) or 1)
