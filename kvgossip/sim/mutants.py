"""The mutants: faults of one line, each aimed at a promise.

The first six are the ones that every store of this kind should fear; the others break a rule each that the
code names. A line that changes takes its mutant along: a test asserts that each text is still there, once.
"""

from kvgossip.sim.members.mutants import MEMBER_MUTANTS
from kvgossip.sim.mutant import Mutant, MutantError

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "acknowledged-before-commit",
        "node/replica.py",
        "        self._staging.answer(ticket, Outcomes(tuple(outcomes)))\n",
        "        self._journal.add(Done(ticket, Outcomes(tuple(outcomes))))\n",
        "DurableBeforeSeen",
    ),
    Mutant(
        "own-write-gossiped-before-commit",
        "node/replica.py",
        "            return self._rows.load(key, self._profile.tuning.rumor_inline_bytes_max)\n",
        "            staged = self._staging._staged_row(key)\n"
        "            return m.Carried(key, staged.data) if staged else self._rows.load(key, 1 << 12)\n",
        "DurableBeforeSeen",
    ),
    Mutant(
        "clock-taken-over-from-an-exchange-that-broke-half-way",
        "protocol/exchange.py",
        "        if not self._flight.is_empty or self.is_over or self.phase is Phase.SHARING:\n",
        "        if self.is_over or self.phase is Phase.SHARING:\n",
        "NodeClockIsHonest",
    ),
    Mutant(
        "stamp-ties-not-broken",
        "model/kv.py",
        "return other if other._rank() > self._rank() else self",
        "return self",
        "Convergence",
    ),
    Mutant(
        "tombstone-left-out-of-the-digest",
        "model/digest.py",
        'digest: int = xxh3_128_intdigest(b"%d:%b%b" % (len(key), key, data), seed)',
        'digest: int = 0 if data[1] == 1 else xxh3_128_intdigest(b"%d:%b%b" % (len(key), key, data), seed)',
        "Convergence",
    ),
    Mutant(
        "vector-entry-dropped-with-its-value",
        "model/mv.py",
        "merged = MvEntry(self.vector.join(other.vector), tuple(kept))",
        "merged = MvEntry(VersionVector.of(sibling.dot for sibling in kept), tuple(kept))",
        "SiblingsKept",
    ),
    # -- and more
    Mutant(
        "read-shows-what-is-staged",
        "node/replica.py",
        "        return self._rows.get(key)\n",
        "        staged = self._staging._staged_row(key)\n"
        "        return staged.entry if staged else self._rows.get(key)\n",
        "DurableBeforeSeen",
    ),
    Mutant(
        "clock-not-committed",
        "node/staging.py",
        "            batch.meta[META_CLOCK] = encode_clock(clock)\n",
        "            pass\n",
        "DurableBeforeSeen",
    ),
    Mutant(
        "clock-forgotten-at-a-restart",
        "node/staging.py",
        "self.committed_clock = NodeClock() if clock is None else decode_clock(clock)",
        "self.committed_clock = NodeClock()",
        "DurableBeforeSeen",
    ),
    Mutant(
        "clock-not-rolled-back-with-a-refused-batch",
        "node/staging.py",
        """        self._in_flight = None
        self._gathering = Staged(self.committed_clock, self._committed_stamp)
        self._own_counter = self.committed_clock.greatest(self.replica)
""",
        """        self._in_flight = None
        self._gathering = Staged(self.clock, self._committed_stamp)
        self._own_counter = self.clock.greatest(self.replica)
""",
        "NodeClockIsHonest",
    ),
    Mutant(
        "clock-read-at-the-end-of-an-exchange",
        "protocol/exchange_answers.py",
        "parts = session.clock.split(CLOCK_PART_REPLICAS)",
        "parts = self._read_clock()[0].split(CLOCK_PART_REPLICAS)",
        "NodeClockIsHonest",
    ),
    Mutant(
        "clock-given-although-a-fetch-failed",
        "protocol/exchange.py",
        "self._may_take_clock = self._may_give_clock = False",
        "self._may_take_clock = False",
        "NodeClockIsHonest",
    ),
    Mutant(
        "clock-taken-over-although-a-fetch-failed",
        "protocol/exchange.py",
        "self._may_take_clock = self._may_give_clock = False",
        "self._may_give_clock = False",
        "NodeClockIsHonest",
    ),
    Mutant(
        "rows-lost-at-a-restart",
        "store/memory.py",
        "store._rows = self._rows.copy()",
        "store._rows = SortedDict()",
        "AckedWritesSurvive",
    ),
    Mutant(
        "dots-of-an-offer-counted-before-it-is-fetched",
        "node/merging.py",
        "            job.fetching[(offer.key, offer.digest)] = index\n",
        "            job.fetching[(offer.key, offer.digest)] = index; self._staging.stage_dots(offer.dots)\n",
        "NodeClockIsHonest",
    ),
    Mutant(
        "jobs-survive-a-refused-batch",
        "node/commits.py",
        "dropped_jobs = self._merging.take_unstaged()",
        "dropped_jobs = []",
        "NodeClockIsHonest",
    ),
    Mutant(
        "merge-keeps-the-older",
        "model/kv.py",
        "return other if other.stamp > self.stamp else self",
        "return other if other.stamp < self.stamp else self",
        "SiblingsKept",
    ),
    Mutant(
        "merge-keeps-theirs-only",
        "model/mv.py",
        "elif not other.vector.covers(dot):",
        "elif False:",
        "SiblingsKept",
    ),
    Mutant(
        "merge-brings-back-what-was-superseded",
        "model/mv.py",
        "if dot not in mine and not self.vector.covers(dot)]",
        "if dot not in mine]",
        "NoResurrection",
    ),
    Mutant(
        "context-ignored",
        "node/local_writes.py",
        "return write_mv(current, context, written)",
        "return write_mv(current, VersionVector(), written)",
        "WritesSupersede",
    ),
    Mutant(
        "context-covers-everything-held",
        "model/mv.py",
        "kept = [sibling for sibling in old.siblings if not context.covers(sibling.dot)]",
        "kept = []",
        "SiblingsKept",
    ),
    Mutant(
        "stamp-not-above-the-entry-replaced",
        "model/stamp.py",
        "return Stamp(max(last + 1, above + 1, wall_ms << LOGIC_BITS))",
        "return Stamp(max(last + 1, wall_ms << LOGIC_BITS))",
        "WritesSupersede",
    ),
    Mutant(
        "chunks-merged-early",
        "protocol/transfer.py",
        "if sum(map(len, transfer.chunks.values())) < transfer.offer.size:",
        "if not transfer.chunks:",
        "Convergence",
    ),
    Mutant(
        "refused-write-told-as-done",
        "node/commits.py",
        "self._journal.add(Done(ticket, _refused(result, refused)))",
        "self._journal.add(Done(ticket, result))",
        "DurableBeforeSeen",
    ),
    Mutant(
        "answer-waits-for-a-peer",
        "node/endings.py",
        "        for ticket, result in staged.results:\n",
        "        for ticket, result in staged.results if self._exchanges.schedule._targets else ():\n",
        "AvailableAlone",
    ),
    Mutant(
        "copy-keeps-its-id",
        "node/copy_watch.py",
        "        if self._admission.is_closed or self._reissue is not None:\n",
        "        if True:\n",
        "CopiesFindOut",
    ),
    Mutant(
        "reissue-forgets-stamps",
        "node/copies.py",
        "renewed = entry._replace(dot=self._staging.next_dot())",
        "renewed = entry._replace(dot=self._staging.next_dot(), stamp=entry.stamp + 1)",
        "DurableBeforeSeen",
    ),
    Mutant(
        "clock-of-the-only-other-node-adopted",
        "protocol/clock_offsets.py",
        "        median = min(offsets[middle], offsets[len(offsets) // 2], key=abs)\n"
        "        is_off = len(offsets) >= VOTERS_MIN and",
        "        median = max(offsets[middle], offsets[len(offsets) // 2], key=abs)\n"
        "        is_off = len(offsets) >= 2 and",
        "WrongClocksAreCorrected",
    ),
    Mutant(
        "wrong-clock-never-corrected",
        "protocol/clock_offsets.py",
        "self.correction_ms = median if is_off else 0",
        "self.correction_ms = 0",
        "WrongClocksAreCorrected",
    ),
    Mutant(
        "precondition-decided-on-committed-rows",
        "node/local_writes.py",
        "        etag = None if replaced_digest is None else format_etag(replaced_digest)\n",
        "        held = staging._store.get(key)\n"
        "        etag = None if held is None else format_etag(entry_digest(digest_seed, key, held))\n",
        "PreconditionsHold",
    ),
    *MEMBER_MUTANTS,
)


def find_mutant(name: str) -> Mutant:
    """Raises ``MutantError`` for a name that is none."""
    for mutant in MUTANTS:
        if mutant.name == name:
            return mutant
    raise MutantError(f"there is no mutant {name}: choose from {', '.join(m.name for m in MUTANTS)}")
