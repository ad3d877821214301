"""``/v1/cluster/``: whom this node knows, whether all agree, and what an operator may do about it.

GET  members           every member that is not forgotten, as this node sees it
GET  check             the roots of all
POST forget/{node}     take a member that is gone out of the cluster, by name or replica id
POST leave             this node leaves, as on SIGTERM
PUT  tags              other tags for this node, until its next start
"""

import json

from aiohttp import web

from kvgossip.api.answer import Answer, Json, json_answer
from kvgossip.api.body import read_body
from kvgossip.api.health import check_ready
from kvgossip.api.member_json import statuses_json
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.errors import EncodingError
from kvgossip.model.ids import format_id
from kvgossip.node.status import MemberRoot
from kvgossip.runtime.node import Node

TAGS_BYTES_MAX = 16 << 10


async def members(node: Node, request: web.BaseRequest) -> Answer:
    return json_answer(statuses_json(node.replica.members(node.now()), node.round_trips_s()))


async def check(node: Node, request: web.BaseRequest) -> Answer:
    """Ask all members for their roots. The answer is 200 whether they agree or not."""
    checked = await node.check()
    troubles = {s.member.replica: s.member.troubles for s in node.replica.members(node.now())}
    shown: list[Json] = [_root_json(root, troubles.get(root.replica, ())) for root in checked.members]
    return json_answer({"converged": checked.converged, "members": shown})


async def forget(node: Node, request: web.BaseRequest, name: str) -> Answer:
    """Forget whoever is gone of that name or replica id.

    Several may have had one name: a node whose directory was wiped has left its old replica behind.
    """
    check_ready(node)
    meant = [
        status
        for status in node.replica.members(node.now())
        if name in (status.member.name, format_id(status.member.replica))
    ]
    if not meant:
        raise ProblemError(
            Problem.UNKNOWN_MEMBER, "no member has that name or replica id here: see /v1/cluster/members"
        )
    forgotten = [s.member for s in meant if not s.is_self and node.forget(s.member.replica)]
    if not forgotten:
        raise ProblemError(
            Problem.MEMBER_PRESENT,
            f"{name} is {meant[0].state}: only a member that is down or has left can be forgotten",
        )
    shown: list[Json] = [{"name": member.name, "replica": format_id(member.replica)} for member in forgotten]
    return json_answer({"forgotten": shown})


async def leave(node: Node, request: web.BaseRequest) -> Answer:
    """Accepted: this node drains, announces that it leaves, and its process ends."""
    node.ask_to_stop()
    return json_answer({"leaving": node.settings.node}, status=202)


async def tags(node: Node, request: web.BaseRequest) -> Answer:
    """Replace the tags of this node."""
    check_ready(node)
    body = await read_body(
        request, problem=Problem.BAD_TAGS, limit="tags_bytes_max", bytes_max=TAGS_BYTES_MAX
    )
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ProblemError(Problem.BAD_TAGS, "the body is no JSON") from None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise ProblemError(Problem.BAD_TAGS, "the body is no object of texts")
    try:
        node.set_tags(tuple(sorted(document.items())))
    except EncodingError as error:
        raise ProblemError(Problem.BAD_TAGS, str(error)) from None
    return json_answer({"tags": document})


def _root_json(root: MemberRoot, troubles: tuple[str, ...]) -> Json:
    return {
        "name": root.name,
        "replica": format_id(root.replica),
        "state": root.state,
        "troubles": list(troubles),
        "root": root.root,
        "entries": root.entry_count,
        "clock_hash": root.clock_hash,
    }
