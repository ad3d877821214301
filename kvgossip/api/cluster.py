"""``/v1/cluster/``: what this node knows of the others, and whether all agree."""

from aiohttp import web

from kvgossip.api.answer import Answer, Json, json_answer
from kvgossip.model.ids import format_id
from kvgossip.node.status import MemberRoot, MemberStatus
from kvgossip.runtime.node import Node


async def members(node: Node, request: web.BaseRequest) -> Answer:
    return json_answer({"members": [_member_json(member) for member in node.replica.members(node.now())]})


async def check(node: Node, request: web.BaseRequest) -> Answer:
    """Ask all members for their roots. The answer is 200 whether they agree or not."""
    checked = await node.check()
    return json_answer(
        {"converged": checked.converged, "members": [_root_json(root) for root in checked.members]}
    )


def _member_json(status: MemberStatus) -> Json:
    member = status.member
    return {
        "name": member.name,
        "replica": format_id(member.replica),
        "generation": member.generation,
        "state": status.state,
        "is_self": status.is_self,
        "heard_ms_ago": status.heard_ms_ago,
        "peer": member.peer,
        "api": member.api,
        "software": member.software,
    }


def _root_json(root: MemberRoot) -> Json:
    return {
        "name": root.name,
        "replica": format_id(root.replica),
        "state": root.state,
        "root": root.root,
        "entries": root.entry_count,
        "clock_hash": root.clock_hash,
    }
