"""The lines of a body that may be endless: each bounded in bytes and time, none kept.

A line has the deadline of a body (``api/body.py``), counted from the end of the line before it and only while
we wait for the client: who is not read from is not late.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from kvgossip.api.body import BODY_BYTES_PER_S_MIN, BODY_TIMEOUT_S
from kvgossip.api.problem import Problem, ProblemError


async def read_lines(request: web.BaseRequest, *, bytes_max: int) -> AsyncIterator[list[bytes | None]]:
    """Those lines that have come, without their ends, empty ones left out.

    None stands for one with more than ``bytes_max`` bytes. Raises ``ProblemError`` if the client is too slow
    or the body garbled.
    """
    line, is_too_long = bytearray(), False
    async for part in _read_parts(request):
        *ends, rest = part.split(b"\n")
        found: list[bytes | None] = []
        for end in ends:
            whole = bytes(line) + end if line else end
            if is_too_long or len(whole) > bytes_max:
                found.append(None)
            elif whole:
                found.append(whole)
            line.clear()
            is_too_long = False
        if found:
            yield found
        is_too_long = is_too_long or len(line) + len(rest) > bytes_max
        if is_too_long:
            line.clear()
        else:
            line += rest
    if is_too_long or line:
        yield [None if is_too_long else bytes(line)]


async def _read_parts(request: web.BaseRequest) -> AsyncIterator[bytes]:
    content = request.content
    waited_s, size = 0.0, 0
    loop = asyncio.get_running_loop()
    try:
        while not content.at_eof():
            began_s = loop.time()
            async with asyncio.timeout(BODY_TIMEOUT_S + size / BODY_BYTES_PER_S_MIN - waited_s):
                part = await content.readany()
            waited_s += loop.time() - began_s
            size += len(part)
            if b"\n" in part:
                waited_s, size = 0.0, 0
            yield part
    except TimeoutError:
        raise ProblemError(
            Problem.REQUEST_TIMEOUT,
            f"the rest of a line did not come in time: it may pause for {BODY_TIMEOUT_S:.0f} s"
            f" and must average {BODY_BYTES_PER_S_MIN} bytes a second",
            must_close=True,
        ) from None
    except web.RequestPayloadError:
        raise ProblemError(Problem.BAD_REQUEST, "the body is garbled", must_close=True) from None
