"""The outcome of a write, and the headers that name a version.

``ETag`` is the version of an entry, the same on every node that holds the same. ``Kv-Stamp`` and ``Kv-Dot``
are those of the write that is acknowledged or shown; of several siblings, of the latest.
"""

from kvgossip.api.answer import Answer
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.errors import KvGossipError
from kvgossip.model.context import encode_context
from kvgossip.model.dot import Dot, VersionVector
from kvgossip.model.ids import Key
from kvgossip.model.secret import ClusterSecret
from kvgossip.model.stamp import Stamp, format_stamp
from kvgossip.node.effects import Refusal, Refused, Result, Written

_REFUSALS = {
    Refusal.TOO_MANY_SIBLINGS: Problem.TOO_MANY_SIBLINGS,
    Refusal.ENTRY_TOO_LARGE: Problem.ENTRY_TOO_LARGE,
    Refusal.DISK_FULL: Problem.DISK_FULL,
    Refusal.DISK_FAILED: Problem.DISK_FAILED,
    Refusal.OUTCOME_UNKNOWN: Problem.OUTCOME_UNKNOWN,
    Refusal.READ_ONLY: Problem.READ_ONLY,
    Refusal.OVERLOADED: Problem.OVERLOADED,
    Refusal.STAMPS_EXHAUSTED: Problem.STAMPS_EXHAUSTED,
    Refusal.PRECONDITION_FAILED: Problem.PRECONDITION_FAILED,
}


def version_headers(etag: str, stamp: Stamp, dot: Dot) -> dict[str, str]:
    return {"ETag": f'"{etag}"', "Kv-Stamp": format_stamp(stamp), "Kv-Dot": str(dot)}


def version_lines(etag: str, stamp: Stamp, dot: Dot) -> str:
    """What ``version_headers`` names, as the lines of a head."""
    return f'ETag: "{etag}"\r\nKv-Stamp: {format_stamp(stamp)}\r\nKv-Dot: {dot}\r\n'


def context_header(secret: ClusterSecret, key: Key, vector: VersionVector) -> dict[str, str]:
    return {"Kv-Context": encode_context(secret, key, vector)}


def refusal_of(secret: ClusterSecret, key: Key, refused: Refused) -> ProblemError:
    context = refused.context
    headers = {} if context is None else context_header(secret, key, context)
    return ProblemError(_REFUSALS[refused.reason], refused.detail, headers=headers)


def answer_write(secret: ClusterSecret, key: Key, result: Result | KvGossipError, *, is_put: bool) -> Answer:
    """201 if a PUT made the key's value, 204 otherwise.

    Raises ``ProblemError`` if it was refused, or the error that it ended with.
    """
    if isinstance(result, Refused):
        raise refusal_of(secret, key, result)
    if isinstance(result, KvGossipError):
        raise result
    assert isinstance(result, Written)  # a write is never answered by a convergence check
    status = 201 if is_put and result.created else 204
    if result.context is None:
        return Answer(status, version_lines(result.etag, result.stamp, result.dot))
    headers = version_headers(result.etag, result.stamp, result.dot)
    return Answer(status, headers | context_header(secret, key, result.context))
