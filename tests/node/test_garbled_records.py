"""A member record on disk that cannot be read is named in the log, and gossip brings it anew."""

from kvgossip.store.base import Batch
from tests.node.hand import Hand, run


def test_a_garbled_member_record_is_told_and_learned_again() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 100)
    [(name, _)] = one.store.scan_meta("member/")
    batch = Batch(meta={name: b"garbage"})
    one.store.prepare(batch)
    one.store.write(batch)
    again = one.crashed(start=2)
    assert [event.fields["record"] for event in again.events if event.name == "member-record-garbled"] == [
        name
    ]
    assert len(again.replica.members(again.now)) == 1
    run([again, two], 3_000)
    assert len(again.replica.members(again.now)) == 2
