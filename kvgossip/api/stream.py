"""An answer whose length is not known when it begins."""

from collections.abc import Mapping

from aiohttp import web

from kvgossip.runtime.node import Node


class Stream(web.StreamResponse):
    """Status and headers; the body follows by ``write``, and ends with ``write_eof``."""

    def __init__(self, node: Node, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status=status, headers={**headers, "X-Content-Type-Options": "nosniff"})
        correction_ms = node.replica.clock_correction_ms
        if correction_ms:
            self.headers["Kv-Clock-Correction"] = str(correction_ms)

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.pop("Server", None)  # no other answer names the library that it was made with
