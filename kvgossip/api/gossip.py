"""``/gossip/``: the peer sampling service over HTTP, for programs that gossip on their own.

``init`` is whom a program may begin with, ``get-peer`` one random peer to talk to next, each independent of
the ones before. Its events are in ``api/member_events.py``.

Source: Jelasity, Voulgaris, Guerraoui, Kermarrec, van Steen, "Gossip-based peer sampling" (2007), section 2.
"""

from aiohttp import web

from kvgossip.api.answer import Answer, json_answer
from kvgossip.api.health import check_ready
from kvgossip.api.member_json import status_json, statuses_json
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.runtime.node import Node


async def init(node: Node, request: web.BaseRequest) -> Answer:
    """Whom the data directory knew when this node started, itself first, as it was then."""
    check_ready(node)
    return json_answer(statuses_json(node.members_at_start, {}))


async def get_peer(node: Node, request: web.BaseRequest) -> Answer:
    """One that is live and can serve, with the same chance for each, whatever its zone."""
    check_ready(node)
    sampled = node.replica.sample_member(node.now())
    if sampled is None:
        raise ProblemError(Problem.NO_PEER, "no other member is alive and able to serve: ask again later")
    return json_answer({"peer": status_json(sampled, node.round_trips_s().get(sampled.member.peer))})
