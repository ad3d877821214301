"""A node that runs on a copied or restored directory notices, takes a new replica id, and loses nothing."""

from kvgossip.errors import StoreFullError
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.encoding import decode_entry
from kvgossip.model.entry import merge_entries
from kvgossip.model.kv import KvEntry
from kvgossip.model.member import Standing
from kvgossip.node.effects import Written
from kvgossip.wire import codec
from kvgossip.wire import messages as m
from tests.node.hand import WALL_MS, Hand, kv, mv, roots, run


def restored(hand: Hand, store_of: Hand, *, start: int) -> Hand:
    """``hand``'s name and address on a copy of a directory."""
    name = hand.address.split(":")[0]
    return Hand(name, store=store_of.store.copy(), seeds=["n1"], start=start, wall_ms=WALL_MS + hand.ms)


def test_a_restored_backup_takes_a_new_id_and_keeps_what_it_wrote_since() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 50)
    two.write(kv("before"), b"1")
    backup = Hand("n2", store=two.store.copy(), begins=False)
    for i in range(5):
        two.write(mv(f"m{i}"), b"original %d" % i)
        two.write(kv(f"k{i}"), b"original %d" % i)
    run([one, two], 500)
    old_id = two.replica.status().replica
    again = restored(two, backup, start=2)
    for i in range(5):  # cut off: the same dots are issued for other writes
        again.write(mv(f"m{i}"), b"restored %d" % i)
        again.write(kv(f"other{i}"), b"restored %d" % i)
    run([one, again], 15_000)
    assert again.replica.status().replica != old_id
    assert any(event.name == "copy-found" for event in again.events)
    assert [event.name for event in one.events].count("peer-was-copy") == 1, "it says so, too"
    assert len(roots([one, again])) == 1
    for i in range(5):
        assert sorted(one.bodies(mv(f"m{i}"))) == [b"original %d" % i, b"restored %d" % i]
        assert one.bodies(kv(f"k{i}")) == [b"original %d" % i]
        assert one.bodies(kv(f"other{i}")) == [b"restored %d" % i]
    assert one.bodies(kv("before")) == [b"1"]
    assert one.replica.status().clock == again.replica.status().clock


def test_one_directory_live_twice_ends_as_two_replicas() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 50)
    two.write(kv("a"), b"1")
    run([one, two], 500)
    twin = Hand("n3", store=two.store.copy(), seeds=["n1"], start=7, wall_ms=WALL_MS + one.ms)
    two.write(mv("m"), b"of two")
    twin.write(mv("m"), b"of twin")
    run([one, two, twin], 20_000)
    assert any(event.name == "peer-was-copy" for event in one.events)
    ids = {hand.replica.status().replica for hand in (one, two, twin)}
    assert len(ids) == 3
    assert len(roots([one, two, twin])) == 1
    # What had spread under the old dot and was issued again may be there twice, but nothing is lost.
    assert set(one.bodies(mv("m"))) == {b"of twin", b"of two"}


def test_a_copy_learns_it_before_any_of_its_data_leaves() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 50)
    backup = Hand("n2", store=two.store.copy(), begins=False)
    two.write(kv("a"), b"1")
    run([one, two], 500)
    again = restored(two, backup, start=2)
    again.write(kv("b"), b"2")
    old_id = two.replica.status().replica
    leaked = []

    def watches(send: object) -> bool:
        message = codec.decode(send.data)  # type: ignore[attr-defined]
        for item in getattr(message, "entries", ()):
            if old_id.to_bytes(8, "big") in item.data and item.data[-1:] == b"2":
                leaked.append(message)
        return False

    run([one, again], 5_000, drops=watches)
    assert one.bodies(kv("b")) == [b"2"]
    assert leaked == []


def test_a_restart_is_no_copy() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 50)
    two.write(kv("a"), b"1")
    run([one, two], 500)
    old_id = two.replica.status().replica
    again = two.crashed(start=2)
    run([one, again], 3_000)
    assert again.replica.status().replica == old_id
    assert not any(event.name == "copy-found" for event in again.events)
    assert not any(event.name == "peer-was-copy" for event in one.events)


def test_a_context_from_its_own_lost_future_shows_a_copy() -> None:
    two = Hand("n2")
    backup = Hand("n2", store=two.store.copy(), begins=False)
    lost = two.write(mv("a"), b"lost")
    again = restored(two, backup, start=2)
    ticket = again.put(mv("a"), b"new", context=lost.context)
    again.commit()
    result = again.results[ticket]
    assert isinstance(result, Written)
    assert result.dot.replica != lost.dot.replica
    assert again.bodies(mv("a")) == [b"new"]


def test_an_entry_that_has_seen_later_dots_of_this_replica_shows_a_copy() -> None:
    """Seed 460: a client read at the twin and wrote elsewhere, so no dot of the twin came, only its vector.

    Merged, it would cover the next writes here, and whoever holds it would drop them as superseded.
    """
    one, two = Hand("n1"), Hand("n2")
    one.meet(two)
    twin = Hand("n3", store=two.store.copy(), start=7)
    for i in range(3):
        seen = twin.write(mv("m"), b"%d" % i)
    before = two.replica.status().replica
    assert seen.context is not None
    one.write(mv("m"), b"of one", context=seen.context)
    data = one.store.get(mv("m"))
    assert data is not None
    two.receive(one, m.RumorPush(1, (m.Carried(mv("m"), data),), ()))
    two.commit()
    assert two.replica.status().replica != before
    deleted = two.write(mv("m"), None)
    held, theirs = two.replica.get(mv("m")), one.replica.get(mv("m"))
    assert held is not None
    assert theirs is not None
    assert deleted.dot in merge_entries(theirs, held).dots(), "to no node it is old news"


def test_what_waited_to_be_sent_when_a_copy_found_out_is_not_sent() -> None:
    """Seed 271: a rumor waited for the word of its peer, and went out with dots given up meanwhile."""
    two = Hand("n2")
    backup = Hand("n2", store=two.store.copy(), begins=False)
    two.write(mv("a"), b"lost")
    lost = two.write(mv("a"), b"lost, too")
    again, one = restored(two, backup, start=2), Hand("n1")
    old_id = again.replica.status().replica
    again.replica.handle_connected(one.address, again.now)
    again.write(mv("b"), b"new")
    peers = again.replica._meeting._peers
    peers._held[one.address] = [m.RumorPush(1, (m.Carried(mv("b"), again.store.get(mv("b")) or b""),), ())]
    ticket = again.put(mv("a"), b"newer", context=lost.context)
    again.take_messages()
    run([again, one], 3_000)
    assert isinstance(again.results[ticket], Written)
    assert one.bodies(mv("b")) == [b"new"]
    held = one.replica.get(mv("b"))
    assert held is not None
    assert {dot.replica for dot in held.dots()} == {again.replica.status().replica}
    assert not one.replica.status().clock.greatest(old_id)


def test_contexts_of_clients_go_on_after_the_id_has_changed() -> None:
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 50)
    backup = Hand("n2", store=two.store.copy(), begins=False)
    two.write(kv("a"), b"1")
    run([one, two], 500)
    again = restored(two, backup, start=2)
    first = again.write(mv("m"), b"1", context=VersionVector())
    run([one, again], 3_000)
    again.write(mv("m"), b"2", context=first.context)
    run([one, again], 15_000)
    # The old context names a dot that was issued anew under another id: it does not cover the new one.
    assert b"2" in one.bodies(mv("m"))
    assert one.bodies(mv("m")) == again.bodies(mv("m"))


def test_data_waits_for_the_word_of_a_stranger() -> None:
    one, two = Hand("n1"), Hand("n2")
    one.receive(two, m.Hello(two.replica._me.known(), None, False, m.NO_START))
    one.take_messages()
    item = m.Carried(kv("a"), b"")
    one.receive(two, m.RumorPush(1, (item,), ()))
    assert [type(message) for message in one.take_messages()] == [m.Hello]
    assert one.replica.status().counters["frames_before_hello"] == 1


def found_copy_with_unsent_writes() -> tuple[Hand, Hand]:
    """A node, and a restored backup of another that wrote as much again while it was cut off."""
    one, two = Hand("n1"), Hand("n2", seeds=["n1"])
    run([one, two], 50)
    backup = Hand("n2", store=two.store.copy(), begins=False)
    for i in range(5):
        two.write(mv(f"m{i}"), b"original %d" % i)
    run([one, two], 500)
    again = restored(two, backup, start=2)
    for i in range(5):
        again.write(mv(f"m{i}"), b"restored %d" % i)
    again.receive(one, m.Hello(one.replica._me.known(), known_of(two), False, known_of(again).start_number))
    assert any(event.name == "copy-found" for event in again.events)
    return one, again


def known_of(hand: Hand) -> m.Known:
    return hand.replica._me.known()


def assert_both_are_there(one: Hand, again: Hand) -> None:
    run([one, again], 20_000)
    assert len(roots([one, again])) == 1
    for i in range(5):
        assert sorted(set(one.bodies(mv(f"m{i}")))) == [b"original %d" % i, b"restored %d" % i]


def test_a_commit_refused_during_a_reissue_loses_nothing() -> None:
    one, again = found_copy_with_unsent_writes()
    refused = 0
    for _ in range(20):  # every batch of the reissue is refused once
        again.advance(1_000)
        if again.commits and refused < 3:
            refused += 1
            error = StoreFullError("no space")
            again.replica.handle_commit_failed(again.commits.pop(), error, again.now)
            again.pump()
        else:
            again.commit()
    assert refused == 3
    assert_both_are_there(one, again)


def test_a_write_during_a_reissue_joins_no_dots_that_were_given_up() -> None:
    """Seed 20: an entry was durable whose dots the clock of the same batch did not cover."""
    _, again = found_copy_with_unsent_writes()
    again.put(mv("m0"), b"meanwhile")
    again.commit()
    row = decode_entry(mv("m0"), again.store.get(mv("m0")) or b"")
    assert sorted(again.bodies(mv("m0"))) == [b"meanwhile", b"restored 0"]
    assert all(again.replica.status().clock.covers(dot) for dot in row.dots())


def test_a_crash_during_a_reissue_loses_nothing() -> None:
    one, again = found_copy_with_unsent_writes()
    batch = again.commits.pop(0)  # the new identity is durable, the reissued rows are not
    assert not batch.changes or batch.meta
    again.store.write(batch)
    back = Hand("n2", store=again.store.reopen(), seeds=["n1"], start=3, wall_ms=WALL_MS + again.ms)
    assert_both_are_there(one, back)
    assert any(event.name == "writes-reissued" for event in back.events)


def test_a_node_on_an_emptied_directory_does_not_talk_to_itself() -> None:
    """Its old self is a member at its own address: a Hello to that would show it as a copy of itself."""
    one, two, three = Hand("n1"), Hand("n2", seeds=["n1"]), Hand("n3", seeds=["n1"])
    run([one, two, three], 3_000)
    two.write(kv("a"), b"1")
    run([one, two, three], 3_000)
    anew = Hand("n2", seeds=["n3"], start=9, wall_ms=WALL_MS + one.ms)
    id_at_start = anew.replica.status().replica
    anew.commit()
    anew.meet(three)
    old_self = two.replica._me.record()
    record = m.Record(old_self, Standing(old_self.generation))
    anew.receive(three, m.MemberAck2((record,), ()))
    assert all(send.to != anew.address for send in anew.sends)
    run([one, anew, three], 15_000)
    assert anew.bodies(kv("a")) == [b"1"]
    assert anew.replica.status().replica == id_at_start


def test_no_exchange_is_opened_with_a_clock_whose_dots_are_being_given_up() -> None:
    """The peer would take it over, and with it the dots of the twin's writes, which it may lack."""
    one, again = found_copy_with_unsent_writes()
    schedule = again.replica._exchanges.schedule
    schedule.set_targets([one.address])
    schedule.want(one.address, again.ms)
    for _ in range(50):
        if any(event.name == "writes-reissued" for event in again.events):
            break
        assert schedule.current is None
        again.commit()
        again.advance(1)
    else:
        raise AssertionError("the reissue did not come to an end")
    schedule.want(one.address, again.ms)
    assert schedule.current is not None


def test_what_is_issued_again_still_supersedes_what_it_did() -> None:
    """Seed 1245: two writes had one stamp, the greater replica id had won, and the new one was less."""
    for start in range(1, 9):
        two = [Hand("n1", start=start), Hand("n2", start=start, seeds=["n1"])]
        less, greater = sorted(two, key=lambda hand: hand.replica.status().replica)
        deleted, put = less.write(kv("a"), None), greater.write(kv("a"), b"1")
        assert deleted.stamp == put.stamp
        run(two, 500)
        assert greater.replica.status().clock.covers(deleted.dot)
        greater.put(mv("b"), b"", context=VersionVector.of([Dot(put.dot.replica, 9)]))
        run(two, 500)
        assert any(event.name == "copy-found" for event in greater.events)
        held = greater.replica.get(kv("a"))
        assert isinstance(held, KvEntry)
        assert held.dot.replica > put.dot.replica
        assert held.merge(KvEntry(deleted.dot, deleted.stamp, None)) == held
