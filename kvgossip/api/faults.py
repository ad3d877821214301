"""``/v1/faults``: cut this node off from peers, silently. Only in a node started with ``--allow-faults``.

    POST {"drop_to": ["n2"], "drop_from": ["n2", "127.0.0.1:7711"]}    replaces the rules
    GET                                                                shows them and what they dropped
    DELETE                                                             heals everything

A peer is named by its node name or by the address that it advertises to peers.
"""

import json

from aiohttp import web

from kvgossip.api.answer import Answer, json_answer
from kvgossip.api.body import read_body
from kvgossip.api.problem import Problem, ProblemError
from kvgossip.model.ids import Address
from kvgossip.runtime.faults import Faults
from kvgossip.runtime.node import Node

RULES_BYTES_MAX = 64 << 10
_RULES = ("drop_to", "drop_from")


async def get(node: Node, request: web.BaseRequest) -> Answer:
    return _shown(_allowed(node))


async def post(node: Node, request: web.BaseRequest) -> Answer:
    faults = _allowed(node)
    body = await read_body(
        request, problem=Problem.BAD_FAULTS, limit="rules_bytes_max", bytes_max=RULES_BYTES_MAX
    )
    to, from_ = _parse(body)
    by_name = _addresses_by_name(node)
    faults.replace(to=_resolve(to, by_name), from_=_resolve(from_, by_name))
    return _shown(faults)


async def delete(node: Node, request: web.BaseRequest) -> Answer:
    faults = _allowed(node)
    faults.replace(to=(), from_=())
    return _shown(faults)


def _allowed(node: Node) -> Faults:
    if node.faults is None:
        raise ProblemError(
            Problem.UNKNOWN_PATH, "fault injection needs a node that was started with --allow-faults"
        )
    return node.faults


def _shown(faults: Faults) -> Answer:
    return json_answer(
        {
            "drop_to": sorted(faults.dropping_to),
            "drop_from": sorted(faults.dropping_from),
            "frames_dropped_to": faults.frames_dropped_to,
            "frames_dropped_from": faults.frames_dropped_from,
        }
    )


def _parse(body: bytes) -> tuple[list[str], list[str]]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ProblemError(Problem.BAD_FAULTS, "the body is no JSON") from None
    if not isinstance(document, dict) or not set(document) <= set(_RULES):
        raise ProblemError(Problem.BAD_FAULTS, "the body is no object with drop_to and drop_from only")
    lists = [document.get(rule, []) for rule in _RULES]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        raise ProblemError(Problem.BAD_FAULTS, "drop_to and drop_from are lists of node names or addresses")
    return lists[0], lists[1]


def _addresses_by_name(node: Node) -> dict[str, list[Address]]:
    by_name: dict[str, list[Address]] = {}
    for status in node.replica.members(node.now()):
        by_name.setdefault(status.member.name, []).append(status.member.peer)
    return by_name


def _resolve(names: list[str], by_name: dict[str, list[Address]]) -> list[Address]:
    """Addresses of ``names``. One that no member has is refused: a fault that hits nobody tests nothing."""
    addresses: list[Address] = []
    for name in names:
        if name in by_name:
            addresses += by_name[name]
        elif ":" in name:
            addresses.append(Address(name))
        else:
            raise ProblemError(Problem.BAD_FAULTS, f"no member is named {name!r}: name one or give host:port")
    return addresses
