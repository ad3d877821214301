"""What a failed commit means for those who wait for it."""

from dataclasses import dataclass

from kvgossip.errors import CommitRefusedError, StoreError, StoreFullError
from kvgossip.node.effects import Refusal


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
