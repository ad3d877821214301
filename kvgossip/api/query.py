"""The query of a request: parameters that are known there, each at most once, percent-decoded.

A parameter that a client believes in and this node would ignore is refused, with the one that was meant. As
in every query of a form, a '+' is a space; in a key it is a plus (``api/target.py``).
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.target import decode_percent

Query = Mapping[str, str]

_FLAGS = {"": True, "true": True, "false": False}


def parse_query(text: str, known: Collection[str]) -> Query:
    """Values by name. Raises ``ProblemError`` (400)."""
    found: dict[str, str] = {}
    for part in text.split("&") if text else ():
        if not part:
            continue
        encoded_name, _, encoded = part.partition("=")
        name = _decode(encoded_name)
        if name not in known:
            raise ProblemError(Problem.UNKNOWN_PARAMETER, _explain_unknown(name, known))
        if name in found:
            raise ProblemError(Problem.BAD_PARAMETER, f"{name} is given twice")
        found[name] = _decode(encoded)
    return found


def read_flag(query: Query, name: str) -> bool:
    """A parameter that is set by its name alone. Raises ``ProblemError`` (400)."""
    if name not in query:
        return False
    flag = _FLAGS.get(query[name])
    if flag is None:
        raise ProblemError(Problem.BAD_PARAMETER, f"{name} is true or false, or has no value")
    return flag


def _decode(encoded: str) -> str:
    raw = decode_percent(encoded.replace("+", " "), Problem.BAD_PARAMETER)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        detail = f"a parameter is not UTF-8: {error.reason} at byte {error.start}"
        raise ProblemError(Problem.BAD_PARAMETER, detail) from None


def _explain_unknown(name: str, known: Collection[str]) -> str:
    meant = get_close_matches(name[:100], known, 1)
    if meant:
        return f"{name[:100]!r} is no parameter here: did you mean {meant[0]!r}?"
    taken = f"it takes {', '.join(known)}" if known else "it takes none"
    return f"{name[:100]!r} is no parameter here, {taken}; a '?' in a key is sent as %3F"
