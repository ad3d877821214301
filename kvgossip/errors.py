"""The exception tree: whose fault it was, and what it left behind.

Three faults, three fates: our own caller (raise, nothing changed), a peer (count, log, go on; nothing
changed), the disk (say so loudly, stop acknowledging).
"""


class KvGossipError(Exception):
    """The root of every error that kvgossip raises on purpose."""


class LocalError(KvGossipError):
    """Our own caller broke the contract. State is unchanged."""


class LimitError(LocalError):
    """A request exceeded a limit. State is unchanged; the message names the limit."""

    def __init__(self, message: str, *, limit: str, limit_value: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.limit_value = limit_value


class KeyNameError(LocalError):
    """A key is empty or no UTF-8. State is unchanged."""


class ContextError(LocalError):
    """A causal context is malformed, forged, or belongs to another key. State is unchanged."""


class RemoteError(KvGossipError):
    """A peer broke the protocol. State is unchanged; the message was ignored."""


class EncodingError(RemoteError):
    """Bytes are no canonical entry, clock, member or message. State is unchanged."""


class StoreError(KvGossipError):
    """The disk failed or lied. Stop acknowledging; do not guess."""


class CommitRefusedError(StoreError):
    """A batch was certainly not stored. The store is as it was before the batch."""


class StoreFullError(CommitRefusedError):
    """There is no space for a batch. The store is as it was before the batch."""


class OutcomeUnknownError(StoreError):
    """A batch may or may not survive (its sync failed). Take no more writes until a restart."""


class CorruptRowError(StoreError):
    """A row at rest cannot be read. The row is named; nothing was guessed."""


class DamagedError(StoreError):
    """The database cannot be opened as it is. ``reason`` is what the library said; nothing was guessed."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"the database in {path} is damaged, and nothing was guessed: {reason.rstrip('. ')}."
            f" `kvgossip repair --data-dir {path}` keeps what can be read, and the peers bring back the rest"
        )
        self.reason = reason
