"""When a value expires: asked for as seconds from now, kept and told as an absolute wall time.

The time is the writer's, corrected (``Replica.wall_ms``), and part of the value: every node shows the value
as absent from then on.
"""

import re
from decimal import Decimal

from aiohttp import web

from kvgossip.api.body import read_value
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.query import Query
from kvgossip.config import STAMP_MS_MAX
from kvgossip.model.value import Value
from kvgossip.runtime.node import Node

TTL_S_MAX = 10 * 365 * 86_400
"""Ten years: what is meant to last longer is meant to last."""

_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


def parse_ttl_ms(text: str) -> int:
    """Milliseconds of a ``ttl`` in seconds, rounded up. Raises ``ProblemError`` (400)."""
    if _DECIMAL.fullmatch(text):
        milliseconds = Decimal(text) * 1_000
        if 0 < milliseconds <= TTL_S_MAX * 1_000:
            return int(milliseconds.to_integral_value("ROUND_CEILING"))
    raise ProblemError(
        Problem.BAD_TTL,
        f"ttl is a decimal number of seconds above 0 and at most {TTL_S_MAX} (ten years), such as 90 or 0.5",
        limit="ttl_s_max",
        limit_value=TTL_S_MAX,
    )


async def read_expiring_value(node: Node, request: web.BaseRequest, query: Query) -> Value:
    """The value that a PUT carries, with the expiry that its query asks for. Raises ``ProblemError``."""
    ttl_ms = parse_ttl_ms(query["ttl"]) if "ttl" in query else None
    value = await read_value(request)
    return value if ttl_ms is None else value._replace(expires_ms=expires_ms_after(node, ttl_ms))


def expires_ms_after(node: Node, ttl_ms: int) -> int:
    return min(node.replica.wall_ms(node.now()) + ttl_ms, STAMP_MS_MAX)


def expiry_header(value: Value) -> dict[str, str]:
    """``Kv-Expires``: milliseconds since 1970, as in ``Kv-Stamp``; nothing if the value does not expire."""
    return {"Kv-Expires": str(value.expires_ms)} if value.expires_ms else {}
