"""How members are shown in a table: by every command that shows some."""

from typing import TypeAlias

Member: TypeAlias = dict[str, object]
"""As ``/v1/cluster/members`` has it."""


def members_of(answer: dict[str, object]) -> list[Member]:
    members = answer["members"]
    assert isinstance(members, list)
    return members


def health(member: Member) -> str:
    """``ok``, or why nobody chooses it: then it is a zombie, alive and of no use. A dash if it is gone."""
    if member["state"] not in ("alive", "suspect"):
        return "–"
    troubles = member["troubles"]
    assert isinstance(troubles, list)
    return f"cannot serve: {', '.join(troubles)}" if troubles else "ok"


def milliseconds(value: object) -> str:
    """A measured time; a dash for one that was not."""
    return "–" if value is None else f"{value:g} ms" if isinstance(value, float) else f"{value} ms"


def heard(member: Member) -> str:
    if member["is_self"]:
        return "itself"
    heard_ms = member["heard_ms_ago"]
    return "never" if heard_ms is None else f"{heard_ms} ms ago"


def tags(member: Member) -> str:
    found = member["tags"]
    assert isinstance(found, dict)
    return ",".join(f"{key}={value}" for key, value in found.items())
