"""Preconditions: ``If-Match`` and ``If-None-Match``, against what this node holds.

They are local: another node may hold another version, so they guard against one's own mistakes and against
other clients of the same node, and are no lock. Writes are decided by the replica on its staged state; reads
here. An ETag names the version of an entry, whatever form of it was answered.

Source: RFC 9110, sections 8.8.3 (ETag) and 13 (conditional requests). We leave it in one place: siblings
(300) are conditional like a value (200).
"""

import re
from collections.abc import Mapping

from aiohttp import web

from kvgossip.api.answer import Answer
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.node.effects import Condition
from kvgossip.node.local_writes import NO_CONDITION

_ANY = ("*",)
_MEMBER = re.compile(r'[ \t,]*(W/)?"([!\x23-\x7e\x80-\uffff]*)"[ \t]*(?:,[ \t,]*|$)')


def read_condition(request: web.BaseRequest) -> Condition:
    """What the headers demand. Raises ``ProblemError`` (400)."""
    headers = request.headers
    if "If-Match" not in headers and "If-None-Match" not in headers:
        return NO_CONDITION
    return Condition(
        if_match=_parse(headers.getall("If-Match", []), is_strong=True),
        if_none_match=_parse(headers.getall("If-None-Match", []), is_strong=False),
    )


def answer_unless_wanted(
    condition: Condition, etag: str, headers: Mapping[str, str], *, problem_headers: Mapping[str, str]
) -> Answer | None:
    """304 to a read that has this version already, None to one that wants it. Raises ``ProblemError`` (412).

    For a key that has a live value; one without is 404 whatever the condition.
    """
    if condition.holds(etag, is_live=True):
        return None
    if not Condition(if_match=condition.if_match).holds(etag, is_live=True):
        raise ProblemError(
            Problem.PRECONDITION_FAILED,
            f"the key is at version {etag} here; read it and decide anew",
            headers=problem_headers,
        )
    return Answer(304, headers)


def _parse(lines: list[str], *, is_strong: bool) -> tuple[str, ...] | None:
    """The versions in a list of entity tags; None without a header.

    A weak tag equals no other in the strong comparison of If-Match, so it is left out there; and so is a
    quoted asterisk, which is no version of ours.
    """
    if not lines:
        return None
    text = ",".join(lines).strip(" \t")
    if text == "*":
        return _ANY
    found: list[str] = []
    position = 0
    while position < len(text) or not text:
        member = _MEMBER.match(text, position)
        if member is None:
            raise ProblemError(
                Problem.BAD_PRECONDITION,
                'If-Match and If-None-Match take * or a list of ETags in double quotes, such as "a", "b"',
                must_close=True,
            )
        position = member.end()
        if member[2] != "*" and not (is_strong and member[1]):
            found.append(member[2])
    return tuple(found)
