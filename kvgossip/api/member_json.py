"""How a member is shown to clients, wherever one is: in listings, in samples and in events."""

from kvgossip.api.answer import Json
from kvgossip.model.ids import Address, format_id
from kvgossip.model.member import Load, Member
from kvgossip.node.effects import MemberEvent
from kvgossip.node.status import MemberStatus
from kvgossip.runtime.member_feed import kind_of

PHI_DIGITS = 2


def status_json(status: MemberStatus, link_round_trip_s: float | None = None) -> dict[str, Json]:
    """What a member says of itself, and what this node knows of it.

    ``link_round_trip_s``: of its open link, as the kernel measured it.
    """
    return {
        **member_json(status.member),
        "state": status.state,
        "incarnation": status.incarnation,
        "is_self": status.is_self,
        "phi": round(status.phi, PHI_DIGITS),
        "round_trip_ms": status.round_trip_ms,
        "link_round_trip_ms": None if link_round_trip_s is None else round(link_round_trip_s * 1_000, 3),
        "heard_ms_ago": status.heard_ms_ago,
    }


def statuses_json(statuses: list[MemberStatus], links: dict[Address, float]) -> Json:
    return {"members": [status_json(status, links.get(status.member.peer)) for status in statuses]}


def event_json(event: MemberEvent) -> Json:
    return {
        "kind": kind_of(event).value,
        **member_json(event.member),
        "state": event.standing.state.name.lower(),
        "incarnation": event.standing.incarnation,
    }


def member_json(member: Member) -> dict[str, Json]:
    """What a member says of itself. One with ``troubles`` is alive and cannot serve: a zombie."""
    return {
        "name": member.name,
        "replica": format_id(member.replica),
        "generation": member.generation,
        "zone": member.zone,
        "tags": dict(member.tags),
        "is_fit": member.is_fit,
        "troubles": list(member.troubles),
        "load": _load_json(member.load),
        "root": f"{member.root:032x}",
        "peer": member.peer,
        "api": member.api,
        "software": member.software,
        "wire_version": member.wire_version,
    }


def _load_json(load: Load) -> Json:
    return {
        "keys": load.keys,
        "writes_per_s": load.writes_per_s,
        "cpu_permille": load.cpu_permille,
        "memory_bytes": load.memory_bytes,
        "disk_free_bytes": load.disk_free_bytes,
    }
