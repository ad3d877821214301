"""Merging: entries that came from peers, from their message to the staged state.

Whatever handles an entry is isolated to that entry: one that cannot be decoded is refused, counted and
reported, and the others of its message go on. Large entries are fetched first; a job waits until all of its
entries are staged, and is told to its origin when they are durable.
"""

from kvgossip.errors import CorruptRowError, EncodingError
from kvgossip.model.digest import entry_digest
from kvgossip.model.dot import Dot
from kvgossip.model.encoding import decode_entry, encode_entry
from kvgossip.model.entry import Entry, merge_entries
from kvgossip.model.ids import Address, Key, check_key
from kvgossip.model.kv import KvEntry
from kvgossip.model.mv import MvEntry
from kvgossip.model.stamp import STAMP_ZERO
from kvgossip.node.effects import Event, Now
from kvgossip.node.staging import Marks, Staging
from kvgossip.node.waiters import MergeJob, Origin, RumorOrigin
from kvgossip.protocol.rumor import RumorMonger
from kvgossip.protocol.transfer import Outcome, Transfers
from kvgossip.store.base import Mark
from kvgossip.wire.messages import Carried, Chunk, Offer


class Merging:
    """All merge jobs that are not staged yet, and the way to stage them."""

    def __init__(self, staging: Staging, transfers: Transfers, rumors: RumorMonger, digest_seed: int) -> None:
        self._staging = staging
        self._transfers = transfers
        self._rumors = rumors
        self._seed = digest_seed
        self._fetching: list[MergeJob] = []
        self._events: list[Event] = []
        self.refused_count = 0
        self.counter_at_start = 0
        self.found_copy = False
        """Set when a peer holds a dot of this replica that it did not issue; cleared by who reacts."""

    def begin(
        self,
        sender: Address,
        origin: Origin,
        entries: tuple[Carried, ...],
        offers: tuple[Offer, ...],
        now: Now,
    ) -> None:
        """Merge what a message brought; its job waits in the staging until that is durable."""
        job = MergeJob(sender, origin, bytearray(len(entries) + len(offers)))
        self._merge(job, list(enumerate(entries)), now)
        for index, offer in enumerate(offers, start=len(entries)):
            self._take_offer(job, index, offer, now)
        self._proceed(job)

    def handle_chunk(self, sender: Address, chunk: Chunk, now: Now) -> None:
        """A piece of a large entry came."""
        outcome = self._transfers.handle_chunk(sender, chunk, now.monotonic_ms)
        if outcome is not None:
            self._take_outcome(outcome, now)

    def handle_timer(self, now: Now) -> None:
        for outcome in self._transfers.handle_timer(now.monotonic_ms):
            self._take_outcome(outcome, now)

    def next_deadline_ms(self) -> int | None:
        return self._transfers.next_deadline_ms()

    def check_invariants(self) -> None:
        self._transfers.check_invariants()

    def take_unstaged(self) -> list[MergeJob]:
        """Forget the jobs that wait for large entries: what they staged so far was discarded."""
        taken, self._fetching = self._fetching, []
        return taken

    def take_events(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken

    def _take_outcome(self, outcome: Outcome, now: Now) -> None:
        """A transfer ended: stage what it brought for every job that waits for it."""
        name = (outcome.key, outcome.digest)
        for job in [job for job in self._fetching if name in job.fetching]:
            self._fetching.remove(job)
            index = job.fetching.pop(name)
            if outcome.data is not None:
                self._merge(job, [(index, Carried(outcome.key, outcome.data))], now)
            elif isinstance(job.origin, RumorOrigin):
                continue  # no answer: to its sender the contact did not happen
            else:
                job.refused_count += 1
            self._proceed(job)

    def _proceed(self, job: MergeJob) -> None:
        if job.fetching:
            self._fetching.append(job)
        else:
            self._staging.wait(job)

    def _merge(self, job: MergeJob, entries: list[tuple[int, Carried]], now: Now) -> None:
        """Stage entries, each with its index in the message; a refused one is counted and named."""
        unknown = []
        for index, entry in entries:
            try:
                theirs = decode_entry(check_key(entry.key), entry.data)
            except EncodingError as error:
                self._refuse(job, entry.key, error)
            else:
                if not self._is_known(job, entry, theirs):
                    unknown.append((index, entry, theirs))
        marks = self._staging.read_marks([entry.key for _, entry, _ in unknown])
        for index, entry, theirs in unknown:
            try:
                self._stage(job, index, entry, theirs, marks, now)
            except (EncodingError, CorruptRowError) as error:
                self._refuse(job, entry.key, error)

    def _is_known(self, job: MergeJob, entry: Carried, theirs: Entry) -> bool:
        """True for a rumor of what this node holds already."""
        if not isinstance(job.origin, RumorOrigin) or not self._staging.holds(theirs.dots()):
            return False
        self._rumors.note_known(entry.key, entry_digest(self._seed, entry.key, entry.data), job.sender)
        return True

    def _stage(
        self, job: MergeJob, index: int, entry: Carried, theirs: Entry, marks: Marks, now: Now
    ) -> None:
        key, data = entry
        staging, dots = self._staging, theirs.dots()
        mark = staging.find_mark(key, marks)
        for dot in dots:
            if dot.replica == staging.replica and self._is_of_twin(dot, key, theirs):
                self.found_copy = True
                raise EncodingError("the entry has a dot of this replica that it did not issue")
        if isinstance(theirs, MvEntry) and theirs.vector.counter(staging.replica) > staging.own_counter:
            # A write of ours with a dot below that would pass for superseded, unseen, wherever it came.
            self.found_copy = True
            raise EncodingError("the entry has seen a dot of this replica that it did not issue")
        news, is_lagging = self._merge_data(key, mark, theirs, data)
        staging.observe_stamp(theirs.stamp, now)
        staging.stage_dots(dots)
        if is_lagging:
            job.lagging.append(key)
        if news is None:
            return
        job.was_news[index] = 1
        merged, merged_data = news
        replaced = None if mark is None else mark.digest
        digest = staging.stage_entry(
            key, merged, merged_data, replaced=replaced, source=job.sender, becomes_hot=False
        )
        job.news.append((key, digest))

    def _merge_data(
        self, key: Key, mark: Mark | None, theirs: Entry, data: bytes
    ) -> tuple[tuple[Entry, bytes] | None, bool]:
        """The merge and its bytes, if that is news, and whether its sender lags behind it.

        Of a ``kv`` entry the stamp decides nearly always, and ours need not be read for it.
        """
        if mark is None or theirs.stamp > mark.stamp > STAMP_ZERO:
            return (theirs, data), False
        if theirs.stamp < mark.stamp:
            return None, True
        mine = self._staging.find(key)
        if mine is None:
            return (theirs, data), False
        held = decode_entry(key, mine)
        merged = merge_entries(held, theirs)
        if merged is held:
            return None, mine != data
        return ((merged, data), False) if merged == theirs else ((merged, encode_entry(merged)), True)

    def _refuse(self, job: MergeJob, raw_key: bytes, error: Exception) -> None:
        job.refused_count += 1
        self.refused_count += 1
        self._events.append(
            Event("entry-refused", {"peer": job.sender, "key": repr(raw_key[:80]), "reason": str(error)})
        )

    def _is_of_twin(self, dot: Dot, key: Key, theirs: Entry) -> bool:
        """True for a dot of this start whose effect this node does not hold: a twin has issued it."""
        if dot.counter <= self.counter_at_start:
            return False
        held_data = self._staging.find(key)
        if held_data is None or not self._staging.holds((dot,)):
            return True
        mine = decode_entry(key, held_data)
        if isinstance(theirs, KvEntry):
            return merge_entries(mine, theirs) is not mine
        assert isinstance(mine, MvEntry)
        held = {sibling.dot: sibling for sibling in mine.siblings}
        twin = {sibling.dot: sibling for sibling in theirs.siblings}
        return not mine.vector.covers(dot) or held.get(dot, twin[dot]) != twin[dot]

    def _take_offer(self, job: MergeJob, index: int, offer: Offer, now: Now) -> None:
        """Fetch an offered entry, unless this node holds its effect already."""
        if isinstance(job.origin, RumorOrigin) and self._staging.holds(offer.dots):
            self._rumors.note_known(offer.key, offer.digest, job.sender)
            return
        if self._transfers.begin(offer, job.sender, now.monotonic_ms):
            job.fetching[(offer.key, offer.digest)] = index
        else:
            job.refused_count += 1
