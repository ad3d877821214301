"""Streams of events and hooks: each gets its kinds in order, and none can harm the others."""

import asyncio

import pytest

from kvgossip.model.ids import Address, Generation, ReplicaId
from kvgossip.model.member import Member, MemberState, Standing
from kvgossip.node.effects import Event, MemberEvent
from kvgossip.runtime import member_feed
from kvgossip.runtime.member_feed import EndReason, MemberEventKind, MemberFeed

ALL = frozenset(MemberEventKind)


def event(name: str, replica: int = 1) -> MemberEvent:
    member = Member(
        ReplicaId(replica), Generation(1), 1, f"n{replica}", Address(f"h:{replica}"), "h:9", software="1"
    )
    return MemberEvent(name, {}, member, Standing(Generation(1), 0, MemberState.ALIVE))


def feed(logged: list[Event] | None = None) -> MemberFeed:
    lines: list[Event] = [] if logged is None else logged
    return MemberFeed(lines.append)


def test_a_listener_gets_the_kinds_that_it_asked_for_in_order() -> None:
    async def main() -> list[str]:
        members = feed()
        listener = members.listen(frozenset({MemberEventKind.DOWN, MemberEventKind.CHANGE}))
        for name in ("member-down", "member-alive", "member-restarted", "member-changed", "member-left"):
            members.publish(event(name))
        return [found.name for _ in range(3) if (found := await listener.next(1)) is not None]

    assert asyncio.run(main()) == ["member-down", "member-restarted", "member-changed"]


def test_one_who_waits_is_woken_and_one_without_news_is_told_so() -> None:
    async def main() -> None:
        members = feed()
        listener = members.listen(ALL)
        assert await listener.next(0.01) is None
        waiting = asyncio.create_task(listener.next(10))
        await asyncio.sleep(0)
        members.publish(event("member-joined"))
        found = await waiting
        assert found is not None
        assert found.name == "member-joined"

    asyncio.run(main())


def test_a_listener_that_does_not_keep_up_is_dropped_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(member_feed, "EVENTS_WAITING_MAX", 3)

    async def main() -> None:
        members = feed()
        slow, quick = members.listen(ALL), members.listen(ALL)
        for number in range(1, 6):
            members.publish(event("member-alive", number))
            assert await quick.next(1) is not None
        assert slow.ended is EndReason.SLOW
        assert quick.ended is None
        taken = [found.member.name for _ in range(3) if (found := await slow.next(1)) is not None]
        assert taken == ["n1", "n2", "n3"], "what was queued before is still told"
        assert slow.is_over

    asyncio.run(main())


def test_a_stop_ends_every_stream_and_those_that_come_late() -> None:
    async def main() -> None:
        members = feed()
        early = members.listen(ALL)
        waiting = asyncio.create_task(early.next(10))
        await asyncio.sleep(0)
        members.close()
        assert await waiting is None
        assert (early.ended, members.listen(ALL).ended) == (EndReason.STOPPING, EndReason.STOPPING)

    asyncio.run(main())


def test_a_hook_that_raises_is_logged_and_neither_the_next_hook_nor_the_listener_misses_anything() -> None:
    logged: list[Event] = []
    seen: list[str] = []

    def fail(told: MemberEvent) -> None:
        raise ZeroDivisionError("told by a test")

    async def main() -> None:
        members = feed(logged)
        members.add_hook(MemberEventKind.DOWN, fail)
        members.add_hook(MemberEventKind.DOWN, lambda told: seen.append(told.member.name))
        listener = members.listen(ALL)
        members.publish(event("member-down", 4))
        members.publish(event("member-down", 5))
        members.publish(event("member-alive", 6))
        assert seen == ["n4", "n5"]
        assert [found.name for _ in range(3) if (found := await listener.next(1)) is not None]

    asyncio.run(main())
    assert [told.name for told in logged] == ["member-hook-failed"] * 2
    assert "ZeroDivisionError" in str(logged[0].fields["trace"])
