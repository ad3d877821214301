"""``/v1/status``: what this node holds and knows, as of its last commit."""

from aiohttp import web

from kvgossip.api.answer import Answer, Json, json_answer
from kvgossip.model.clock import NodeClock
from kvgossip.model.ids import format_id
from kvgossip.runtime.node import Node


async def get(node: Node, request: web.BaseRequest) -> Answer:
    status = node.replica.status()
    return json_answer(
        {
            "node": status.name,
            "cluster": status.cluster,
            "software": status.software,
            "replica": format_id(status.replica),
            "generation": status.generation,
            "start_number": format_id(status.start_number),
            "is_ready": node.is_ready,
            "troubles": list(node.replica.troubles),
            "read_only_because": status.read_only_because,
            "root": status.root,
            "entries": status.entry_count,
            "hot_rumors": status.hot_rumor_count,
            "clock": _clock_json(status.clock),
            "clock_holes": status.clock.hole_count(),
            "clock_correction_ms": status.clock_correction_ms,
            "counters": dict(sorted(node.counters().items())),
        }
    )


def _clock_json(clock: NodeClock) -> Json:
    """The ranges of counters covered of each replica, both ends inclusive."""
    return {
        format_id(replica): [[first, last] for first, last in clock.ranges[replica]]
        for replica in sorted(clock.ranges)
    }
