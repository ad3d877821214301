"""What changed in the member table, on its way to everybody: behind other messages, and by rounds of its own.

Each item is sent a bounded number of times, ``news_mult`` times log10 of the cluster's size, those sent least
first, claims before records (SWIM: Das, Gupta, Motivala 2002, section 4.1). A later item about a member
takes the place of an earlier one. What is lost all the same is found by digests.

A round goes to ``news_fanout`` members while there is any news, so an idle cluster is silent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log10

from kvgossip.config import Tuning
from kvgossip.model.ids import Address, ReplicaId
from kvgossip.model.member import Member
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire.messages import Claim, MemberNews, Record

FIRST_MS = 10
"""News that comes together travels together."""
CLAIM_BYTES = 34
"""The most that a claim takes on the wire."""
RECORD_HEAD_BYTES = 150
"""The most that a record takes besides its texts."""
NEWS_MEMBERS_MAX = 1_024
"""Members of whom there is something to tell; of more at once the oldest news is left to digests."""

ChooseAddresses = Callable[[int], Sequence[Address]]
"""So many random live members."""


@dataclass(slots=True)
class _Item:
    """Something to tell, and how often it was sent."""

    told: Record | Claim
    count: int = 0


class MemberNewsQueue:
    """What is to be told, by member."""

    def __init__(self, tuning: Tuning, outbox: Outbox, choose: ChooseAddresses) -> None:
        self._tuning = tuning
        self._outbox = outbox
        self._choose = choose
        self._items: dict[ReplicaId, list[_Item]] = {}
        self._next_round_ms: int | None = None
        self._last_round_ms = 0
        self.sent_count = 0

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    def add(self, told: Record | Claim) -> None:
        """Replaces what it makes obsolete; those who suspect the same incarnation are told side by side."""
        replica = told.member.replica if isinstance(told, Record) else told.replica
        if replica not in self._items and len(self._items) >= NEWS_MEMBERS_MAX:
            del self._items[next(iter(self._items))]
        if isinstance(told, Record):
            self._items[replica] = [_Item(told)]
            return
        items = self._items.setdefault(replica, [])
        items[:] = [i for i in items if isinstance(i.told, Record) or i.told.standing == told.standing]
        items.append(_Item(told))

    def handle_timer(self, now_ms: int, member_count: int) -> None:
        if not self._items:
            self._next_round_ms = None
            return
        if self._next_round_ms is None:
            self._next_round_ms = max(now_ms + FIRST_MS, self._last_round_ms + self._tuning.news_interval_ms)
        if now_ms < self._next_round_ms:
            return
        self._last_round_ms = now_ms
        self._next_round_ms = now_ms + self._tuning.news_interval_ms
        for address in self._choose(self._tuning.news_fanout):
            news = self.take(self._tuning.member_message_bytes_max // 2, member_count)
            if news is None:
                return
            self._outbox.send(address, news)

    def next_deadline_ms(self) -> int | None:
        return self._next_round_ms

    def take(self, bytes_max: int, member_count: int) -> MemberNews | None:
        """The items sent least, as many as fit; None if there are none."""
        if not self._items:
            return None
        limit = self._tuning.news_mult * max(ceil(log10(member_count + 1)), 1)
        records: list[Record] = []
        claims: list[Claim] = []
        queued = [item for items in self._items.values() for item in items]
        for item in sorted(queued, key=lambda item: (item.count, isinstance(item.told, Record))):
            size = item_bytes(item.told)
            if size > bytes_max:
                continue
            bytes_max -= size
            item.count += 1
            if isinstance(item.told, Record):
                records.append(item.told)
            else:
                claims.append(item.told)
            if bytes_max < CLAIM_BYTES:
                break
        self._items = {
            replica: left
            for replica, items in self._items.items()
            if (left := [item for item in items if item.count < limit])
        }
        if not records and not claims:
            return None
        self.sent_count += 1
        return MemberNews(tuple(records), tuple(claims))


def item_bytes(item: Record | Claim) -> int:
    """At most this on the wire."""
    return CLAIM_BYTES if isinstance(item, Claim) else record_bytes(item.member)


def record_bytes(member: Member) -> int:
    texts = (member.name, member.peer, member.api, member.software, member.zone, *member.troubles)
    tags = [text for tag in member.tags for text in tag]
    return RECORD_HEAD_BYTES + sum(len(text.encode()) + 3 for text in (*texts, *tags))
