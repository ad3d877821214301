"""Findings of one session: what an answer of the peer says of the differences goes onto the agenda.

Each is taken as it was at the answer; rows that changed since are found by the next exchange, or are news on
their own way by now. An answer that no node of ours gives raises ``RemoteError``.
"""

from kvgossip.config import Tuning
from kvgossip.errors import RemoteError
from kvgossip.protocol.exchange_agenda import COMPARED_RANGES_MAX, Agenda
from kvgossip.protocol.range_view import Beside, RangeView
from kvgossip.protocol.ranges import (
    WHOLE,
    Range,
    checked_range,
    is_later,
    unpack_hashes,
    unpack_pairs,
    unpack_ranges,
)
from kvgossip.store.base import HASH_MAX
from kvgossip.wire.messages import Compared, ExchangeOpened, Fetch, Fetched

_STREAM_PARTS = 8


class Findings:
    """Compares what the peer describes with the committed rows of this node."""

    def __init__(self, view: RangeView, agenda: Agenda, tuning: Tuning) -> None:
        self._view = view
        self._agenda = agenda
        self._tuning = tuning

    def take_opened(self, opened: ExchangeOpened, *, row_count: int) -> None:
        """The roots differ. ``row_count``: how many rows this node opened with."""
        if opened.row_count == 0:
            self._agenda.give(0, HASH_MAX)
        elif row_count == 0:
            step = (HASH_MAX + 1) // _STREAM_PARTS
            for at in range(0, HASH_MAX, step):
                self._agenda.stream(at, at + step - 1)
        else:
            self._descend(WHOLE, opened.fingerprints)

    def take_compared(self, answer: Compared) -> None:
        if len(answer.children) + len(answer.rows) > COMPARED_RANGES_MAX:
            raise RemoteError(f"more than {COMPARED_RANGES_MAX} ranges described in one answer")
        for described in answer.children:
            r = checked_range(described.prefix, described.bits)
            if self._view.row_count(r) == 0:
                self._agenda.fetch(r.first, r.last)
            else:
                self._descend(r, described.fingerprints)
        for beside in self._view.lay_beside(answer.rows):
            self._settle_rows(beside)
        self._agenda.compare(unpack_ranges(answer.undescribed))
        for hashed in unpack_hashes(answer.wanted):
            self._agenda.give(hashed, hashed)

    def take_fetched(self, request: Fetch, answer: Fetched) -> None:
        """What the answer left out is fetched next."""
        rest = unpack_pairs(request.ranges)[answer.done_count :]
        if not rest:
            return
        first, last = rest[0]
        if not first <= answer.next_hash <= last:
            raise RemoteError("the answer to a fetch was cut outside of what was asked for")
        asked_from = (first, request.after)
        if answer.done_count == 0 and (answer.next_hash, answer.next_after) <= asked_from:
            raise RemoteError("the answer to a fetch does not go on from where it was asked")
        self._agenda.fetch_on(rest, at=answer.next_hash, after=answer.next_after)

    def _descend(self, r: Range, theirs: bytes) -> None:
        for child, is_empty_there in self._view.differing_children(r, theirs):
            if is_empty_there:
                self._agenda.give(child.first, child.last)
            else:
                self._agenda.compare([child])

    def _settle_rows(self, beside: Beside) -> None:
        """The peer listed a whole range: fetch what is other or more there, give what is later here."""
        r, theirs, mine = beside.range, beside.theirs, beside.mine
        for hashed, there in sorted(theirs.items()):
            here = mine.get(hashed, {})
            if is_later(here, there):
                self._agenda.give(hashed, hashed)
            elif not there.keys() <= here.keys():
                self._agenda.fetch(hashed, hashed)  # the merge tells if the peer lags
            if len(here) > len(there):  # two keys with one hash, of which the peer has fewer
                self._agenda.give(hashed, hashed)
        if beside.row_count > self._tuning.rows_listed_max or not mine.keys() <= theirs.keys():
            self._agenda.give(r.first, r.last, but=set(theirs))
