"""What a request names: the raw target, taken apart without ever normalising it.

A key is opaque bytes and never a path, so everything after ``/v1/kv/`` is the key, percent-decoded once:
``%2F`` equals ``/``; ``%00``, ``.``, ``..``, ``//`` and a trailing ``/`` are legal and distinct. Routers and
URL classes rewrite some of these, which is why neither is used here.

Source: RFC 9112 section 3.2 (forms of the target), RFC 3986 section 2.1 (percent-encoding).
"""

from kvgossip.api.problem import Problem, ProblemError

_HEX = "0123456789abcdefABCDEF"
_BYTES = {(a + b).encode(): bytes.fromhex(a + b) for a in _HEX for b in _HEX}


def split_target(raw: str) -> tuple[str, str]:
    """Path and query of a raw request target, both still encoded.

    Clients that think they talk to a proxy send a whole URL: its scheme and host are dropped.
    """
    if not raw.startswith("/"):
        _, separator, rest = raw.partition("://")
        slash = rest.find("/")
        raw = rest[slash:] if separator and slash >= 0 else raw
    if "#" in raw:
        raise ProblemError(Problem.BAD_TARGET, "the target holds a '#': in a key it is sent as %23")
    path, _, query = raw.partition("?")
    return path, query


def decode_name(encoded: str) -> bytes:
    """The bytes that a percent-encoded name stands for; a '+' is a plus. Raises ``ProblemError`` (400)."""
    return decode_percent(encoded, Problem.BAD_KEY)


def decode_percent(encoded: str, problem: Problem) -> bytes:
    raw = encoded.encode("utf-8", "surrogateescape")
    if b"%" not in raw:
        return raw
    first, *rest = raw.split(b"%")
    parts = [first]
    for part in rest:
        byte = _BYTES.get(part[:2])
        if byte is None:
            shown = part[:2].decode("ascii", "backslashreplace")
            raise ProblemError(problem, f"'%{shown}' is no percent-encoded byte: a '%' itself is sent as %25")
        parts += (byte, part[2:])
    return b"".join(parts)
