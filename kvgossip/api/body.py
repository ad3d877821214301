"""What a client sends: a body read up to a limit and a deadline, and its content type.

A body is read no further than the limit, whatever length the client announced or did not announce. It must
also keep moving: it has ``BODY_TIMEOUT_S`` and one second more for each ``BODY_BYTES_PER_S_MIN`` bytes that
came, so a slow link is served and one that trickles is not.
"""

import asyncio

from aiohttp import web

from kvgossip.api.problem import Problem, ProblemError
from kvgossip.config import CONTENT_TYPE_BYTES_MAX, VALUE_BYTES_MAX
from kvgossip.model.value import DEFAULT_CONTENT_TYPE, Value

BODY_TIMEOUT_S = 10.0
BODY_BYTES_PER_S_MIN = 16 << 10
"""A value of 1 MiB over the slowest link that we serve takes 64 s."""

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


async def read_value(request: web.BaseRequest) -> Value:
    """The value that a PUT carries. Raises ``ProblemError`` (the client's fault); then nothing is kept."""
    refuse_encoding(request)
    content_type = checked_content_type(request.headers.get("Content-Type", ""))
    body = await read_body(request, problem=Problem.VALUE_TOO_LARGE, limit="value_bytes_max")
    return Value(body, content_type)


def refuse_encoding(request: web.BaseRequest) -> None:
    """Raise ``ProblemError`` (415) for a body that is compressed."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ProblemError(
            Problem.CONTENT_ENCODING,
            "values are stored as sent and come back without the header: send the bytes unencoded",
            headers={"Accept-Encoding": "identity"},
            must_close=True,
        )


def checked_content_type(text: str) -> str:
    """A content type as it is stored: empty for the default. Raises ``ProblemError`` (415)."""
    if not text or text == DEFAULT_CONTENT_TYPE:
        return ""
    if len(text) > CONTENT_TYPE_BYTES_MAX:
        raise ProblemError(
            Problem.BAD_CONTENT_TYPE,
            f"the content type has {len(text)} characters: at most {CONTENT_TYPE_BYTES_MAX} are allowed",
            limit="content_type_bytes_max",
            limit_value=CONTENT_TYPE_BYTES_MAX,
            must_close=True,
        )
    main, slash, rest = text.partition("/")
    sub = rest.partition(";")[0].rstrip(" ")
    is_well_formed = slash and main and sub and _TOKEN.issuperset(main) and _TOKEN.issuperset(sub)
    if not (is_well_formed and text.isascii() and text.isprintable()):
        raise ProblemError(
            Problem.BAD_CONTENT_TYPE,
            "the content type is not of the form type/subtype in printable ASCII",
            must_close=True,
        )
    return text


async def read_body(
    request: web.BaseRequest, *, problem: Problem, limit: str, bytes_max: int = VALUE_BYTES_MAX
) -> bytes:
    """The whole body, if it has at most ``bytes_max`` bytes; otherwise ``problem`` is raised."""
    too_large = ProblemError(
        problem,
        f"the body has more than {bytes_max} bytes",
        limit=limit,
        limit_value=bytes_max,
        must_close=True,
    )
    declared = request.content_length
    if declared is not None and declared > bytes_max:
        raise too_large
    content = request.content
    if not content.is_eof():
        answer_expectation(request)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + BODY_TIMEOUT_S
    parts: list[bytes] = []
    size = 0
    try:
        while not content.at_eof():
            async with asyncio.timeout_at(deadline_s + size / BODY_BYTES_PER_S_MIN):
                part = await content.readany()
            size += len(part)
            if size > bytes_max:
                raise too_large
            parts.append(part)
    except TimeoutError:
        raise ProblemError(
            Problem.REQUEST_TIMEOUT,
            f"{size} bytes of the body came in time: it may pause for {BODY_TIMEOUT_S:.0f} s"
            f" and must average {BODY_BYTES_PER_S_MIN} bytes a second",
            must_close=True,
        ) from None
    except web.RequestPayloadError:
        raise ProblemError(Problem.BAD_REQUEST, "the body is garbled", must_close=True) from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def answer_expectation(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body."""
    expectation = request.headers.get("Expect")
    if expectation is None:
        return
    if expectation.lower() != "100-continue":
        raise ProblemError(
            Problem.UNKNOWN_EXPECTATION, "only 100-continue is known in Expect", must_close=True
        )
    if request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
