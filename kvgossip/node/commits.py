"""The end of a commit: what was staged becomes visible, or is refused with all that was built on it."""

from dataclasses import dataclass

from kvgossip.errors import CommitRefusedError, StoreError, StoreFullError
from kvgossip.model.stamp import stamp_ms
from kvgossip.node.admission import Admission
from kvgossip.node.copy_watch import CopyWatch
from kvgossip.node.effects import Done, Now, Outcomes, Refusal, Refused, Replicated, Result, Visible
from kvgossip.node.endings import Endings
from kvgossip.node.exchanges import Exchanges
from kvgossip.node.journal import Journal
from kvgossip.node.meeting import Meeting
from kvgossip.node.merging import Merging
from kvgossip.node.staging import Staged, Staging
from kvgossip.node.waiters import FetchOrigin, GiveOrigin, MergeJob
from kvgossip.node.wall_clock import WallClock
from kvgossip.protocol.rumor import RumorMonger
from kvgossip.store.base import Batch

RESTAGE_MS = 1_000


class Commits:
    """Takes what the disk says of a batch to everybody whom it concerns."""

    def __init__(
        self,
        staging: Staging,
        *,
        merging: Merging,
        rumors: RumorMonger,
        exchanges: Exchanges,
        meeting: Meeting,
        copies: CopyWatch,
        admission: Admission,
        endings: Endings,
        clock: WallClock,
        journal: Journal,
        announces_visible: bool,
    ) -> None:
        self._staging = staging
        self._merging = merging
        self._rumors = rumors
        self._exchanges = exchanges
        self._meeting = meeting
        self._copies = copies
        self._admission = admission
        self._endings = endings
        self._clock = clock
        self._journal = journal
        self._announces_visible = announces_visible
        self._restage_ms: int | None = None
        """When to write identity and members again, which a commit that failed took along."""

    def finish(self, batch: Batch, now: Now) -> None:
        """The batch is durable."""
        staged = self._staging.finish_commit(batch)
        self._admission.handle_committed()
        self._tell_lags(staged, now)
        for key, row in staged.rows.items():
            if row.becomes_hot:
                self._rumors.make_hot(key, row.digest, row.source, now.monotonic_ms)
            if self._announces_visible:
                self._journal.notify(Visible(key, row.entry.dots()))
        self._endings.tell(staged, now.monotonic_ms)

    def fail(self, error: StoreError, now_ms: int) -> None:
        """The batch in flight was not stored, or nobody knows. Everything staged on top of it is refused."""
        failure = explain_failure(error)
        if failure.is_final:
            self._admission.close(failure.detail)
        if not self._admission.is_started:
            detail = f"{failure.detail}. Until then this node serves reads and does not talk to its peers"
            self._admission.refuse_start(failure.refusals[0], detail)
        self._journal.tell("commit-failed", reason=failure.detail, final=int(failure.is_final))
        dropped_jobs = self._merging.take_unstaged()
        for staged, reason in zip(self._staging.discard(), failure.refusals, strict=False):
            refused = Refused(reason, failure.detail)
            for ticket, result in staged.results:
                self._journal.add(Done(ticket, _refused(result, refused)))
            dropped_jobs += staged.waiters
        for job in dropped_jobs:
            self._drop_job(job)
        self._copies.handle_discarded()
        if not failure.is_final:
            self._restage_ms = now_ms + RESTAGE_MS

    def handle_timer(self, now_ms: int) -> None:
        if self._restage_ms is not None and now_ms >= self._restage_ms:
            self._restage_ms = None
            self._meeting.stage_all()

    def next_deadline_ms(self) -> int | None:
        return self._restage_ms

    def _tell_lags(self, staged: Staged, now: Now) -> None:
        wall_ms = self._clock.wall_ms(now)
        lags_ms = [
            max(wall_ms - stamp_ms(row.entry.stamp), 0)
            for row in staged.rows.values()
            if row.source is not None
        ]
        if lags_ms:
            self._journal.notify(Replicated(tuple(lags_ms)))

    def _drop_job(self, job: MergeJob) -> None:
        """What a message brought was discarded: the exchange that it belongs to ends."""
        if isinstance(job.origin, FetchOrigin):
            self._exchanges.break_off()
        elif isinstance(job.origin, GiveOrigin):
            self._exchanges.refuse_give(job.sender, job.origin.session)


def _refused(result: Result, refused: Refused) -> Result:
    """What takes the place of a result that was decided on staged rows."""
    return Outcomes.refused(refused, len(result.of_each)) if isinstance(result, Outcomes) else refused


@dataclass(frozen=True, slots=True)
class CommitFailure:
    """``refusals``: the reason for the batch in flight, and for what had gathered behind it."""

    is_final: bool
    detail: str
    refusals: tuple[Refusal, Refusal]


def explain_failure(error: StoreError) -> CommitFailure:
    """Certain failures may pass; after an unknown outcome nothing that the disk says is trusted again."""
    if isinstance(error, StoreFullError):
        detail = f"the disk is full: nothing was stored; writes work again when there is space ({error})"
        return CommitFailure(False, detail, (Refusal.DISK_FULL, Refusal.DISK_FULL))
    if isinstance(error, CommitRefusedError):
        detail = f"the disk refused the write: nothing was stored ({error})"
        return CommitFailure(False, detail, (Refusal.DISK_FAILED, Refusal.DISK_FAILED))
    detail = f"a sync of the disk failed: this node takes no more writes until it is restarted ({error})"
    return CommitFailure(True, detail, (Refusal.OUTCOME_UNKNOWN, Refusal.READ_ONLY))
