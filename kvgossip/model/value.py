"""What a client stored: the body, its content type, and when it expires."""

from typing import NamedTuple

DEFAULT_CONTENT_TYPE = "application/octet-stream"


class Value(NamedTuple):
    """A body of raw bytes. Ordered, so that ties in a merge can go down to the value.

    An empty ``content_type`` stands for ``application/octet-stream``: equal values have equal bytes.
    ``expires_ms`` is an absolute wall time set by the writer's corrected clock, 0 for never. It is part of
    the value: reads treat an expired value as absent, merges and the tree take it as before, so all
    replicas agree and nothing older returns.
    """

    body: bytes
    content_type: str = ""
    expires_ms: int = 0

    def is_expired(self, wall_ms: int) -> bool:
        return 0 < self.expires_ms <= wall_ms
