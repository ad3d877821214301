"""The pool that random members are drawn from: a set, with every member as likely as any other."""

from random import Random

from kvgossip.model.ids import ReplicaId
from kvgossip.protocol.replica_pool import ReplicaPool


def test_it_holds_what_was_added_and_not_discarded() -> None:
    rng, pool, held = Random(1), ReplicaPool(), set[ReplicaId]()
    for _ in range(2_000):
        replica = ReplicaId(rng.randrange(20))
        if rng.random() < 0.5:
            pool.add(replica)
            held.add(replica)
        else:
            pool.discard(replica)
            held.discard(replica)
        assert len(pool) == len(pool.order)
        assert sorted(pool.order) == sorted(held)
        assert all((ReplicaId(number) in pool) == (number in held) for number in range(20))
