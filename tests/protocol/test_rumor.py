"""Rumor mongering by hand: inputs, the time, and exactly what is sent."""

from random import Random

import pytest

from kvgossip.config import RumorTargets, Tuning
from kvgossip.model.dot import Dot
from kvgossip.model.ids import Address, Key, ReplicaId
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.rumor import PUSHES_MAX, TIMEOUTS_MAX, RumorMonger
from kvgossip.wire.messages import Carried, Offer, RumorAnswer, RumorPush
from tests.protocol.stores import kv
from tests.protocol.stores import with_tuning as with_any_tuning

A, B, C, D, E = (Address(f"{name}:1") for name in "abcde")
NEWS, KNEW = b"\x01", b"\x00"


def with_tuning(**changes: int | RumorTargets) -> Tuning:
    """Each contact goes to ``fanout`` peers, the first one too, unless ``changes`` says otherwise."""
    return with_any_tuning(**{"own_fanout": 0, **changes})


class Hand:
    """A monger with a table of entries; ``size`` of what a key carries, or an offer if it is in ``large``."""

    def __init__(self, *targets: Address, tuning: Tuning | None = None, seed: int = 1) -> None:
        self.tuning = tuning or with_tuning()
        self.outbox = Outbox()
        self.body_bytes = 10
        self.large: set[Key] = set()
        self.offer_bytes = 1 << 20
        self.monger = RumorMonger(self.tuning, Random(seed), self.outbox, self.load)
        self.monger.set_targets(targets)

    def load(self, key: Key) -> Carried | Offer:
        if key in self.large:
            return Offer(key, 1, self.offer_bytes, (Dot(ReplicaId(1), 1),))
        return Carried(key, bytes(self.body_bytes))

    def hot(self, *names: str, version: int = 1, source: Address | None = None, now_ms: int = 0) -> None:
        for name in names:
            self.monger.make_hot(kv(name), version, source, now_ms)

    def timer(self, now_ms: int) -> list[tuple[Address, RumorPush]]:
        self.monger.handle_timer(now_ms)
        return self.pushes()

    def pushes(self) -> list[tuple[Address, RumorPush]]:
        self.monger.check_invariants()
        sent = self.outbox.take()
        assert all(isinstance(message, RumorPush) for _, message in sent)
        return [(to, message) for to, message in sent if isinstance(message, RumorPush)]

    def answer(self, sender: Address, sequence: int, was_news: bytes, now_ms: int) -> None:
        self.monger.handle_answer(sender, RumorAnswer(sequence, was_news), now_ms)
        self.monger.check_invariants()

    def answer_all(self, pushes: list[tuple[Address, RumorPush]], was_news: bytes, now_ms: int) -> None:
        for to, push in pushes:
            count = len(push.entries) + len(push.offers)
            self.answer(to, push.sequence, was_news * count, now_ms)


def keys_of(push: RumorPush) -> list[Key]:
    return [entry.key for entry in push.entries] + [offer.key for offer in push.offers]


# -- when ----------------------------------------------------------------------------------------------------


def test_fresh_news_is_sent_together_after_the_coalescing_window() -> None:
    hand = Hand(A)
    hand.hot("x", now_ms=10)
    hand.hot("y", now_ms=11)
    due_ms = 10 + hand.tuning.rumor_coalesce_ms
    assert hand.monger.next_deadline_ms() == due_ms
    assert hand.timer(due_ms - 1) == []
    [(to, push)] = hand.timer(due_ms + 1)
    assert (to, keys_of(push)) == (A, [kv("x"), kv("y")])


def test_a_round_takes_along_what_became_fresh_since_its_first_news() -> None:
    """Or each write of a steady stream is a message of its own, however long the window."""
    hand = Hand(A, tuning=with_tuning(rumor_coalesce_ms=200))
    hand.hot("x", now_ms=0)
    hand.hot("y", now_ms=150)
    [(_, push)] = hand.timer(200)
    assert keys_of(push) == [kv("x"), kv("y")]
    hand.answer(A, push.sequence, NEWS * 2, 300)
    assert hand.timer(350) == []


def test_a_timer_that_comes_early_late_or_twice_is_harmless() -> None:
    hand = Hand(A)
    hand.hot("x")
    assert hand.timer(0) == []
    assert len(hand.timer(500)) == 1
    assert hand.timer(500) == []


def test_nothing_hot_asks_for_no_timer() -> None:
    assert Hand(A).monger.next_deadline_ms() is None


def test_each_round_goes_to_fanout_peers() -> None:
    hand = Hand(A, B, C, D, E, tuning=with_tuning(fanout=2))
    hand.hot("x")
    assert len({to for to, _ in hand.timer(5)}) == 2


def test_what_a_client_wrote_here_goes_to_many_peers_at_first() -> None:
    hand = Hand(A, B, C, D, E, tuning=with_tuning(fanout=1, own_fanout=3))
    hand.hot("own")
    first = [to for to, _ in hand.timer(5)]
    assert len(first) == len(set(first)) == 3
    again = [to for to, _ in hand.timer(5 + hand.tuning.rumor_interval_ms)]
    assert len(again) == 1
    assert not set(again) & set(first)
    hand.hot("heard", source=A, now_ms=1_000)
    assert len(hand.timer(1_005)) == 1


def test_who_heard_of_what_its_origin_tells_everybody_makes_sure_a_round_later() -> None:
    for own_fanout, is_later in ((5, True), (4, False)):
        hand = Hand(A, B, C, D, E, tuning=with_tuning(own_fanout=own_fanout))
        hand.hot("heard", source=A)
        assert bool(hand.timer(5)) is not is_later
        assert len(hand.timer(hand.tuning.rumor_interval_ms)) == 4 * is_later


def test_many_are_told_of_the_own_zone_only() -> None:
    told = []
    for seed in range(50):
        hand = Hand(tuning=with_tuning(fanout=1, own_fanout=4), seed=seed)
        hand.monger.set_targets((A, B, C, D, E), far=(C, D, E))
        hand.hot("x")
        told.append({to for to, _ in hand.timer(5)})
    near_only = [to for to in told if to == {A, B}]
    assert len(near_only) > len(told) // 2
    assert all(len(to & {C, D, E}) <= 1 for to in told)


def test_after_an_answer_it_is_sent_again_to_others_after_the_interval() -> None:
    hand = Hand(A, B, tuning=with_tuning(fanout=1))
    hand.hot("x")
    [(first, push)] = hand.timer(5)
    hand.answer(first, push.sequence, NEWS, 20)
    again_ms = 5 + hand.tuning.rumor_interval_ms
    assert hand.monger.next_deadline_ms() == again_ms
    assert hand.timer(again_ms - 1) == []
    [(second, _)] = hand.timer(again_ms)
    assert {first, second} == {A, B}


def test_a_peer_that_does_not_answer_keeps_nothing_from_the_others() -> None:
    hand = Hand(A, B, tuning=with_tuning(fanout=1))
    hand.hot("x")
    [(first, _)] = hand.timer(5)
    [(second, _)] = hand.timer(5 + hand.tuning.rumor_interval_ms)
    assert {first, second} == {A, B}


# -- to whom -------------------------------------------------------------------------------------------------


def test_a_rumor_is_not_offered_to_the_peer_that_sent_it() -> None:
    hand = Hand(A, B)
    hand.hot("x", source=A)
    assert [to for to, _ in hand.timer(5)] == [B]


def test_a_rumor_is_not_offered_to_a_peer_that_showed_that_it_holds_it() -> None:
    hand = Hand(A, B)
    hand.hot("x", "y")
    hand.monger.note_known(kv("x"), 1, A)
    hand.monger.note_known(kv("y"), 2, A)  # another version says nothing of this one
    sent = {to: keys_of(push) for to, push in hand.timer(5)}
    assert sent == {A: [kv("y")], B: [kv("x"), kv("y")]}


def test_a_rumor_is_not_offered_to_a_peer_that_answered_for_it() -> None:
    hand = Hand(A)
    hand.hot("x")
    [(_, push)] = hand.timer(5)
    hand.answer(A, push.sequence, NEWS, 6)
    assert hand.timer(1_000) == []


def test_a_rumor_is_over_once_every_live_peer_knows_it() -> None:
    hand = Hand(A, B)
    hand.hot("x")
    hand.answer_all(hand.timer(5), NEWS, 6)
    assert hand.timer(6 + hand.tuning.rumor_interval_ms) == []
    assert hand.monger.hot_count == 0
    assert hand.monger.next_deadline_ms() is None


def test_with_nobody_to_tell_a_rumor_is_over_at_once() -> None:
    hand = Hand()
    hand.hot("x")
    assert hand.timer(5) == []
    assert hand.monger.hot_count == 0
    assert not hand.monger.was_dropped


def test_news_from_a_second_peer_counts_as_known_there() -> None:
    hand = Hand(A, B, C)
    hand.hot("x", source=A)
    hand.hot("x", source=B, now_ms=1)
    assert [to for to, _ in hand.timer(5)] == [C]


# -- direct mail ---------------------------------------------------------------------------------------------


def test_direct_mail_goes_from_its_origin_to_everybody_whatever_the_fanout() -> None:
    hand = Hand(A, B, C, D, E, tuning=with_tuning(fanout=1, rumor_targets=RumorTargets.MAIL))
    hand.hot("x")
    assert [to for to, _ in hand.timer(5)] == [A, B, C, D, E]


def test_direct_mail_is_not_passed_on_by_who_gets_it() -> None:
    hand = Hand(A, B, C, tuning=with_tuning(rumor_targets=RumorTargets.MAIL))
    hand.hot("x", source=A)
    assert hand.timer(1_000) == []
    assert hand.monger.hot_count == 0


def test_direct_mail_of_a_write_that_met_another_one_under_way_carries_both() -> None:
    """The merge took the place of the version that this node was telling, and nobody else tells its write.

    Whom the other one came from lacks it, too.
    """
    hand = Hand(A, B, tuning=with_tuning(rumor_targets=RumorTargets.MAIL, rumor_coalesce_ms=200))
    hand.hot("x", version=1)
    hand.hot("x", version=2, source=A, now_ms=100)
    assert sorted((to, keys_of(push)) for to, push in hand.timer(300)) == [(A, [kv("x")]), (B, [kv("x")])]


def test_direct_mail_goes_on_until_everybody_has_answered_however_many_knew() -> None:
    hand = Hand(A, B, C, tuning=with_tuning(rumor_k=1, rumor_targets=RumorTargets.MAIL))
    hand.hot("x")
    for to, push in hand.timer(5):
        if to != C:
            hand.answer(to, push.sequence, KNEW, 6)
    assert hand.timer(106) == []
    assert hand.timer(1_005) == []
    assert [to for to, _ in hand.timer(1_105)] == [C]


def test_direct_mail_is_kept_for_a_silent_peer_and_sent_when_it_is_heard() -> None:
    hand = Hand(A, B, tuning=with_tuning(rumor_targets=RumorTargets.MAIL))
    hand.hot("x")
    for now_ms in (5, 1_105):
        for to, push in hand.timer(now_ms):
            if to == A:
                hand.answer(A, push.sequence, NEWS, now_ms)
        hand.timer(now_ms + 1_000)
    assert hand.timer(5_000) == []
    assert hand.monger.next_deadline_ms() is None, "it waits, and asks for nothing"
    assert hand.monger.handle_heard(B, 6_000)
    assert [(to, keys_of(push)) for to, push in hand.pushes()] == [(B, [kv("x")])]


def test_direct_mail_for_a_peer_that_is_down_is_dropped() -> None:
    hand = Hand(A, tuning=with_tuning(rumor_targets=RumorTargets.MAIL))
    hand.hot("x")
    for now_ms in (5, 1_105):
        hand.timer(now_ms)
        hand.timer(now_ms + 1_000)
    assert hand.timer(5_000) == []
    assert hand.monger.hot_count == 1
    hand.monger.set_targets([])
    hand.monger.check_invariants()
    assert hand.monger.hot_count == 0


# -- the counter ---------------------------------------------------------------------------------------------


def test_k_useless_contacts_end_a_rumor() -> None:
    hand = Hand(A, B, C, D, tuning=with_tuning(fanout=1, rumor_k=2))
    hand.hot("x")
    [(to, push)] = hand.timer(5)
    hand.answer(to, push.sequence, KNEW, 5)
    assert hand.monger.hot_count == 1
    [(to, push)] = hand.timer(105)
    hand.answer(to, push.sequence, KNEW, 105)
    assert hand.monger.hot_count == 0
    assert hand.timer(1_000) == []


def test_the_counter_returns_to_zero_on_a_useful_contact() -> None:
    """Or residue rises by half (Demers' Table 1 is met only so)."""
    hand = Hand(A, B, C, D, E, tuning=with_tuning(fanout=1, rumor_k=2))
    hand.hot("x")
    now_ms = 5
    for was_news in (KNEW, NEWS, KNEW):
        [(to, push)] = hand.timer(now_ms)
        hand.answer(to, push.sequence, was_news, now_ms)
        now_ms += 100
    assert hand.monger.hot_count == 1
    [(to, push)] = hand.timer(now_ms)
    hand.answer(to, push.sequence, KNEW, now_ms)
    assert hand.monger.hot_count == 0
    assert (hand.monger.sent_count, hand.monger.useful_count) == (4, 1)


def test_the_counter_belongs_to_a_version_not_to_a_key() -> None:
    hand = Hand(A, B, C, D, tuning=with_tuning(fanout=1, rumor_k=2))
    hand.hot("x", version=1)
    [(to, push)] = hand.timer(5)
    hand.answer(to, push.sequence, KNEW, 5)
    hand.hot("x", version=2, now_ms=6)
    [(to, push)] = hand.timer(10)
    hand.answer(to, push.sequence, KNEW, 10)
    assert hand.monger.hot_count == 1, "one useless contact each"


def test_who_knew_the_old_version_is_told_the_new_one() -> None:
    hand = Hand(A)
    hand.hot("x", version=1)
    hand.answer_all(hand.timer(5), NEWS, 6)
    hand.hot("x", version=2, now_ms=7)
    assert [to for to, _ in hand.timer(10)] == [A]


def test_an_answer_for_an_overwritten_version_says_nothing_of_the_new_one() -> None:
    hand = Hand(A, B, tuning=with_tuning(fanout=1, rumor_k=1))
    hand.hot("x", version=1)
    [(to, push)] = hand.timer(5)
    hand.hot("x", version=2, now_ms=6)
    hand.answer(to, push.sequence, KNEW, 7)
    assert hand.monger.hot_count == 1
    assert len(hand.timer(20)) == 1


# -- answers and silence -------------------------------------------------------------------------------------


def test_late_doubled_foreign_and_misfit_answers_are_ignored() -> None:
    hand = Hand(A, B, tuning=with_tuning(rumor_k=1, fanout=1))
    hand.hot("x")
    [(to, push)] = hand.timer(5)
    other = B if to == A else A
    hand.answer(other, push.sequence, KNEW, 5)
    hand.answer(to, push.sequence + 1, KNEW, 5)
    hand.answer(to, push.sequence, KNEW * 2, 5)
    hand.answer(to, push.sequence, b"", 5)
    assert hand.monger.hot_count == 1
    hand.answer(to, push.sequence, NEWS, 5)
    hand.answer(to, push.sequence, KNEW, 5)
    assert hand.monger.hot_count == 1
    assert hand.monger.useful_count == 1


def test_a_time_out_is_neither_useful_nor_useless() -> None:
    """Or a partition would kill hot rumors."""
    hand = Hand(A, B, C, tuning=with_tuning(rumor_k=1, fanout=3))
    hand.hot("x")
    assert len(hand.timer(5)) == 3
    assert hand.monger.next_deadline_ms() == 5 + hand.tuning.rumor_timeout_ms
    assert hand.timer(1_005) == []
    assert hand.monger.hot_count == 1
    assert len(hand.timer(1_005 + hand.tuning.rumor_interval_ms)) == 3
    assert hand.monger.useful_count == 0


def test_an_answer_after_the_time_out_is_ignored() -> None:
    hand = Hand(A, tuning=with_tuning(rumor_k=1))
    hand.hot("x")
    [(to, push)] = hand.timer(5)
    hand.timer(1_005)
    hand.answer(to, push.sequence, KNEW, 1_006)
    assert hand.monger.hot_count == 1


def test_a_peer_that_let_two_pushes_time_out_is_left_out_until_it_is_heard() -> None:
    hand = Hand(A, B, tuning=with_tuning(fanout=1))
    hand.monger.set_targets([A])
    hand.hot("x")
    assert len(hand.timer(5)) == 1
    assert not hand.monger.handle_heard(B, 5), "nothing was ever sent there"
    now_ms = 1_005
    hand.timer(now_ms)
    assert len(hand.timer(now_ms + 100)) == 1, "one time-out is forgiven"
    hand.timer(2_200)
    hand.monger.set_targets([A, B])
    assert [to for to, _ in hand.timer(2_300)] == [B]
    assert hand.monger.handle_heard(A, 2_350), "it had been left out"
    assert not hand.monger.handle_heard(A, 2_350)
    hand.hot("y", now_ms=2_400)
    assert {to for to, _ in hand.timer(2_405)} <= {A, B}
    assert TIMEOUTS_MAX == 2


def test_a_frame_between_two_time_outs_keeps_a_peer_in() -> None:
    hand = Hand(A)
    hand.hot("x")
    for now_ms in (5, 1_105, 2_205, 3_305):
        assert [to for to, _ in hand.timer(now_ms)] == [A]
        hand.timer(now_ms + 1_000)
        assert not hand.monger.handle_heard(A, now_ms + 1_000)


def test_when_only_silent_peers_are_left_the_rumor_is_over() -> None:
    hand = Hand(A)
    hand.hot("x")
    now_ms = 5
    for _ in range(TIMEOUTS_MAX):
        assert len(hand.timer(now_ms)) == 1
        hand.timer(now_ms + 1_000)
        now_ms += 1_100
    assert hand.timer(now_ms) == []
    assert hand.monger.hot_count == 0


def test_a_failed_send_gives_the_push_back_at_once() -> None:
    hand = Hand(A, B, tuning=with_tuning(fanout=1, rumor_k=1))
    hand.hot("x")
    [(to, push)] = hand.timer(5)
    hand.monger.handle_send_failed(to, 6)
    assert hand.monger.hot_count == 1
    hand.answer(to, push.sequence, KNEW, 7)
    assert hand.monger.hot_count == 1, "too late"
    assert len(hand.timer(106)) == 1


def test_nothing_waits_for_a_peer_that_is_no_longer_live() -> None:
    hand = Hand(A, B, tuning=with_tuning(fanout=1))
    hand.hot("x")
    [(to, _)] = hand.timer(5)
    left = B if to == A else A
    hand.monger.set_targets([left])
    hand.monger.check_invariants()
    assert [to for to, _ in hand.timer(200)] == [left]


# -- bounds --------------------------------------------------------------------------------------------------


def test_the_hot_table_is_bounded_the_oldest_is_dropped_and_the_drop_is_told() -> None:
    hand = Hand(A, tuning=with_tuning(rumors_hot_max=2))
    hand.hot("x", "y")
    assert not hand.monger.was_dropped
    hand.hot("x", version=2)
    hand.hot("z")
    assert hand.monger.was_dropped
    assert hand.monger.hot_count == 2
    [(_, push)] = hand.timer(5)
    assert keys_of(push) == [kv("x"), kv("z")], "y was the oldest"


def test_batches_close_at_the_limit_of_bytes() -> None:
    hand = Hand(A, tuning=with_tuning(batch_bytes_max=1_000))
    hand.body_bytes = 300
    hand.hot(*(f"k{i}" for i in range(8)))
    pushes = hand.timer(5)
    assert [len(push.entries) for _, push in pushes] == [4, 4]
    for _, push in pushes:
        size = sum(len(entry.key) + len(entry.data) for entry in push.entries)
        assert 1_000 <= size < 1_000 + 303


def test_batches_close_at_the_limit_of_rows_and_a_peer_has_two_under_way() -> None:
    hand = Hand(A, tuning=with_tuning(batch_rows_max=3))
    hand.hot(*(f"k{i}" for i in range(10)))
    first, second = hand.timer(5)
    assert [len(push.entries) for _, push in (first, second)] == [3, 3]
    assert PUSHES_MAX == 2
    hand.answer_all([first], NEWS, 6)
    [third] = hand.pushes()
    assert keys_of(third[1]) == [kv(f"k{i}") for i in (6, 7, 8)]
    hand.answer_all([second], NEWS, 7)
    [last] = hand.pushes()
    assert keys_of(last[1]) == [kv("k9")]


def test_small_offers_share_a_push_with_entries_and_are_answered_behind_them() -> None:
    hand = Hand(A)
    hand.offer_bytes = 5_000
    hand.large = {kv("a"), kv("b")}
    hand.hot("a", "b", "c")
    ((to, push),) = hand.timer(2)
    assert [entry.key for entry in push.entries] == [kv("c")]
    assert [offer.key for offer in push.offers] == [kv("a"), kv("b")]
    hand.answer(to, push.sequence, KNEW + NEWS + NEWS, 3)
    assert hand.monger.useful_count == 2


def test_a_large_offer_travels_alone() -> None:
    """Its answer takes a transfer, for which the others must not wait."""
    hand = Hand(A)
    hand.large = {kv("large")}
    hand.hot("a", "large", "b")
    first, second = (push for _, push in hand.timer(5))
    assert (keys_of(first), first.offers) == ([kv("a")], ())
    assert (keys_of(second), second.entries) == ([kv("large")], ())
    hand.answer(A, second.sequence, NEWS, 6)
    [(_, third)] = hand.pushes()
    assert keys_of(third) == [kv("b")]


def test_what_became_known_while_it_was_queued_is_not_sent() -> None:
    hand = Hand(A, tuning=with_tuning(batch_rows_max=1))
    hand.hot("a", "b", "c", "d")
    first, _ = hand.timer(5)
    hand.monger.note_known(kv("c"), 1, A)
    hand.hot("d", version=2, now_ms=6)
    hand.answer_all([first], NEWS, 6)
    assert hand.pushes() == []
    assert [keys_of(push) for _, push in hand.timer(200)] == [[kv("d")]]


@pytest.mark.parametrize("targets", [RumorTargets.INFORMED, RumorTargets.MAIL])
def test_a_storm_of_hot_overwrites_leaves_nothing_that_is_never_moved_again(targets: RumorTargets) -> None:
    """Random inputs; the invariants hold after each. A failure prints the seed in the test's name."""
    for seed in range(30):
        rng = Random(seed)
        tuning = with_tuning(batch_rows_max=2, rumors_hot_max=8, rumor_targets=targets)
        hand = Hand(A, B, C, tuning=tuning, seed=seed)
        under_way: list[tuple[Address, RumorPush]] = []
        now_ms = 0
        for _ in range(300):
            now_ms += rng.randrange(30)
            match rng.randrange(7):
                case 0 | 1:
                    source = rng.choice((None, A, B))
                    hand.hot(f"k{rng.randrange(12)}", version=rng.randrange(3), source=source, now_ms=now_ms)
                case 2 if under_way:
                    to, push = under_way.pop(rng.randrange(len(under_way)))
                    hand.answer(to, push.sequence, rng.choice((NEWS, KNEW)) * len(push.entries), now_ms)
                case 3:
                    hand.monger.handle_send_failed(rng.choice((A, B, C)), now_ms)
                case 4:
                    hand.monger.set_targets(rng.sample((A, B, C, D), rng.randrange(1, 4)))
                case 5:
                    hand.monger.handle_heard(rng.choice((A, B, C, D)), now_ms)
                case _:
                    hand.monger.handle_timer(now_ms)
            under_way += hand.pushes()
        hand.monger.set_targets([A])
        for _ in range(2):  # what was under way times out first, and mail is kept for who is silent
            hand.monger.handle_heard(A, now_ms)
            hand.answer_all(hand.pushes(), NEWS, now_ms)
            while (deadline_ms := hand.monger.next_deadline_ms()) is not None:
                assert deadline_ms < now_ms + 100_000, f"seed {seed}: no end"
                hand.answer_all(hand.timer(max(deadline_ms, now_ms)), NEWS, now_ms)
        assert hand.monger.hot_count == 0, f"seed {seed}"
