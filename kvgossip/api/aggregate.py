"""``/v1/cluster/aggregate?metric=``: a number of all nodes together, as this node has estimated it."""

from aiohttp import web

from kvgossip.api.answer import Answer, json_answer
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.api.query import Query
from kvgossip.model.aggregate import METRICS
from kvgossip.runtime.node import Node

PARAMETERS = ("metric",)


async def get(node: Node, request: web.BaseRequest, query: Query) -> Answer:
    """Asks nobody: the answer is that of the last epoch that has ended here."""
    metric = query.get("metric")
    if metric not in METRICS:
        raise ProblemError(Problem.BAD_PARAMETER, f"metric is one of {', '.join(METRICS)}")
    found = node.replica.aggregate(metric, node.now())
    if found is None:
        detail = "no epoch of aggregation has ended here since the start: one begins every minute or so"
        raise ProblemError(Problem.NOT_READY, detail)
    return json_answer(
        {
            "metric": found.metric,
            "count": found.count,
            "sum": found.sum,
            "average": found.average,
            "minimum": found.minimum,
            "maximum": found.maximum,
            "error": found.error,
            "epoch": found.epoch,
            "age_ms": found.age_ms,
        }
    )
