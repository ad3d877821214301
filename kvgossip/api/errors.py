"""What an error of the layers below is to a client."""

import logging

from kvgossip.api.problem import Problem, ProblemError
from kvgossip.errors import ContextError, KeyNameError, KvGossipError, LimitError, StoreError

_log = logging.getLogger("kvgossip.api")


def problem_of(error: KvGossipError) -> ProblemError:
    """One that is nobody's fault but ours is logged, and told as that."""
    match error:
        case LimitError():
            return ProblemError(Problem.BAD_KEY, str(error), limit=error.limit, limit_value=error.limit_value)
        case KeyNameError():
            return ProblemError(Problem.BAD_KEY, str(error))
        case ContextError():
            return ProblemError(Problem.BAD_CONTEXT, str(error))
        case StoreError():
            _log.error("a read failed", exc_info=error)
            return ProblemError(
                Problem.ROW_UNREADABLE,
                f"{error}: stop this node and run `kvgossip repair`, or ask another one",
            )
    _log.error("a request failed", exc_info=error)
    return ProblemError(Problem.INTERNAL_ERROR, "see the log of this node")
