"""Admission: whether a node can stage anything by now, for a client or from a peer.

It cannot once the outcome of a commit is unknown, until a restart; nor while too much waits for the disk. No
client's write is taken while the identity of this start cannot be made durable.
"""

from kvgossip.node.effects import Refusal, Refused
from kvgossip.node.staging import Staging


class Admission:
    """Open, full for a while, not open yet, or closed until the restart."""

    def __init__(self, staging: Staging, staged_bytes_max: int) -> None:
        self._staging = staging
        self._staged_bytes_max = staged_bytes_max
        self._closed_because: str | None = None
        self._start_refused: Refused | None = None
        self.is_started = False
        """True once the identity of this start is durable."""

    # -- inputs

    def handle_committed(self) -> None:
        self.is_started, self._start_refused = True, None

    def refuse_start(self, refusal: Refusal, detail: str) -> None:
        """The identity of this start could not be made durable yet."""
        self._start_refused = Refused(refusal, detail)

    def close(self, why: str) -> None:
        """Take no more writes. The first reason stands."""
        if self._closed_because is None:
            self._closed_because = why

    # -- queries

    @property
    def is_closed(self) -> bool:
        """True once nothing is staged until the restart."""
        return self._closed_because is not None

    @property
    def read_only_because(self) -> str | None:
        """Why this node takes no writes: a commit whose outcome is unknown, or a start on a full disk."""
        if self._closed_because is not None or self._start_refused is None:
            return self._closed_because
        return self._start_refused.detail

    def can_merge(self) -> bool:
        """False while nothing can be staged; what came is dropped, and its sender tries again."""
        return self._closed_because is None and self._staging.bytes_staged <= self._staged_bytes_max

    def refusal(self) -> Refused | None:
        """Why a client's write is not taken now."""
        if self._closed_because is not None:
            return Refused(Refusal.READ_ONLY, self._closed_because)
        if self._start_refused is not None:
            return self._start_refused
        if self._staging.bytes_staged > self._staged_bytes_max:
            limit = self._staged_bytes_max
            return Refused(Refusal.OVERLOADED, f"{limit} bytes wait for the disk already: try again")
        return None
