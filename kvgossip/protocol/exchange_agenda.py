"""The agenda of one session: what is known to differ and is not settled yet, and the requests that settle it.

Ranges are compared depth first, and what is found is fetched before more is looked for, so the agenda stays
short although everything may differ. What is to be given waits a little for more that may go along.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from kvgossip.config import Tuning
from kvgossip.model.ids import Key
from kvgossip.protocol.range_view import RangeView
from kvgossip.protocol.ranges import Range, pack_pairs
from kvgossip.store.base import Store
from kvgossip.wire.messages import Carried, Compare, Fetch, Give, Offer

COMPARED_RANGES_MAX = 128
"""A request compares no more ranges than this, to bound the time that either side spends on it."""
FETCH_WEIGHT_MAX = 512
GIVES_HELD_MAX = 64
"""Keys or ranges to give that wait for the comparisons to end."""
_GIVE_SCAN_ROWS = 256

Load = Callable[[Sequence[Key]], list[Carried | Offer | None]]
"""Entries as they travel, from the committed rows. Raises ``CorruptRowError``."""


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A range to fetch, from behind ``after`` if it was begun. Some share a request, by weight."""

    first: int
    last: int
    weight: int
    after: bytes = b""


@dataclass(slots=True)
class _Give:
    """Rows to give: those of a range ``but`` at some hashes. ``after`` is the position."""

    first: int
    last: int
    but: set[int] = field(default_factory=set)
    after: Key | None = None


class Agenda:
    """What is to be compared, fetched and given, in this order of need."""

    def __init__(self, session: int, *, store: Store, load: Load, view: RangeView, tuning: Tuning) -> None:
        self._session = session
        self._store = store
        self._load = load
        self._view = view
        self._tuning = tuning
        self._to_compare: list[Range] = []
        """A stack: depth first, and what is found is fetched before more is looked for, so it stays short."""
        self._to_fetch: deque[_Fetch] = deque()
        self._to_give: deque[_Give] = deque()
        self._keys_to_give: deque[Key] = deque()

    def __len__(self) -> int:
        """How many ranges wait."""
        return len(self._to_compare) + len(self._to_fetch) + len(self._to_give)

    # -- what was found

    def compare(self, ranges: list[Range]) -> None:
        self._to_compare += ranges

    def fetch(self, first: int, last: int) -> None:
        self._to_fetch.append(_Fetch(first, last, _weight(first, last)))

    def stream(self, first: int, last: int) -> None:
        """Fetch a range that is full of rows: it goes alone in its request."""
        self._to_fetch.append(_Fetch(first, last, FETCH_WEIGHT_MAX))

    def fetch_on(self, rest: list[tuple[int, int]], *, at: int, after: bytes) -> None:
        """The answer to a fetch was cut: go on with its first range at a position, then with the others."""
        for first, last in reversed(rest[1:]):
            self._to_fetch.appendleft(_Fetch(first, last, _weight(first, last)))
        first, last = rest[0]
        self._to_fetch.appendleft(_Fetch(at, last, _weight(first, last), after))

    def give(self, first: int, last: int, *, but: set[int] | None = None) -> None:
        """Give the rows of a range, but not those at some hashes."""
        self._to_give.append(_Give(first, last, but or set()))

    def give_keys(self, keys: list[Key]) -> None:
        self._keys_to_give.extend(keys)

    # -- requests

    def next_request(self, sequence: int, *, is_comparing: bool) -> Compare | Fetch | Give | None:
        """What to ask next, or None for now. ``is_comparing``: an answer in flight may name more to give.

        Raises ``CorruptRowError``.
        """
        if (self._keys_to_give or self._to_give) and not self._may_find_more_to_give(is_comparing):
            give = self._build_give(sequence)
            if give is not None:
                return give
        if self._to_compare and sum(fetch.weight for fetch in self._to_fetch) < FETCH_WEIGHT_MAX:
            return self._build_compare(sequence)
        if self._to_fetch:
            return self._build_fetch(sequence)
        return None

    def _may_find_more_to_give(self, is_comparing: bool) -> bool:
        """True while comparisons go on that may fill up a small give: it would cost two messages more."""
        if len(self._keys_to_give) + len(self._to_give) >= GIVES_HELD_MAX:
            return False
        return is_comparing or bool(self._to_compare)

    def _build_give(self, sequence: int) -> Give | None:
        entries: list[Carried] = []
        offers: list[Offer] = []
        size = 0
        for key in self._take_keys_to_give():
            (item,) = self._load([key])
            if isinstance(item, Carried):
                entries.append(item)
                size += len(key) + len(item.data)
            elif item is not None:
                offers.append(item)
            if size >= self._tuning.batch_bytes_max or len(entries) >= self._tuning.batch_rows_max or offers:
                break
        if not entries and not offers:
            return None
        return Give(self._session, sequence, tuple(entries), tuple(offers))

    def _take_keys_to_give(self) -> Iterator[Key]:
        """Keys to give, one by one, so that the caller can stop at any; nothing is taken ahead."""
        while self._keys_to_give or self._to_give:
            while self._keys_to_give:
                yield self._keys_to_give.popleft()
            if not self._to_give:
                return
            give = self._to_give[0]
            rows = self._store.scan_hashes(give.first, give.last, rows_max=_GIVE_SCAN_ROWS, after=give.after)
            for row in rows:
                if row.hash not in give.but:
                    self._keys_to_give.append(row.key)
            if len(rows) < _GIVE_SCAN_ROWS:
                self._to_give.popleft()
            else:
                give.first, give.after = rows[-1].hash, rows[-1].key

    def _build_compare(self, sequence: int) -> Compare:
        ranges = self._to_compare[-COMPARED_RANGES_MAX:]
        del self._to_compare[-COMPARED_RANGES_MAX:]
        children, rows = self._view.describe(ranges)
        return Compare(self._session, sequence, children, rows)

    def _build_fetch(self, sequence: int) -> Fetch:
        head = self._to_fetch.popleft()
        ranges = [(head.first, head.last)]
        weight = head.weight
        while self._to_fetch and not self._to_fetch[0].after:
            weight += self._to_fetch[0].weight
            if weight > FETCH_WEIGHT_MAX:
                break
            fetch = self._to_fetch.popleft()
            ranges.append((fetch.first, fetch.last))
        return Fetch(self._session, sequence, pack_pairs(ranges), head.after)


def _weight(first: int, last: int) -> int:
    """What a range counts against ``FETCH_WEIGHT_MAX``: a single hash little, more than that some rows."""
    return 1 if first == last else FETCH_WEIGHT_MAX // 16
