"""Which form of an ``mv`` key a client wants: the one value as it is, or all of them as JSON or multipart.

A form that ``Accept`` names wins over one that it only covers by a wildcard, so ``application/json`` always
gets the list, also of one value. Without ``Accept`` one value comes as it is and several as JSON.

Source: RFC 9110, section 12.5.1. Parameters of media types other than q are not looked at.
"""

import re
from collections.abc import Iterator
from enum import Enum

from aiohttp import web

from kvgossip.api.problem import Problem, ProblemError

JSON = "application/json"
MULTIPART = "multipart/mixed"

_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


class Form(Enum):
    """In order of what a tie goes to."""

    AS_IT_IS = 1
    MULTIPART = 2
    JSON = 3


def choose_form(request: web.BaseRequest, content_types: list[str]) -> Form:
    """``content_types``: those of the live values. Raises ``ProblemError`` (406)."""
    offers = {Form.JSON: JSON, Form.MULTIPART: MULTIPART}
    if len(content_types) == 1:
        offers[Form.AS_IT_IS] = content_types[0].partition(";")[0].strip().lower()
    default = Form.AS_IT_IS if Form.AS_IT_IS in offers else Form.JSON
    lines = request.headers.getall("Accept", [])
    if not lines or lines == ["*/*"]:
        return default
    ranges = dict(_parse(",".join(lines)))
    ranked = [
        (*_rate(ranges, offer, is_default=form is default), form.value) for form, offer in offers.items()
    ]
    quality, _, chosen = max(ranked)
    if quality == 0:
        raise ProblemError(
            Problem.NOT_ACCEPTABLE,
            f"to be had are {', '.join(sorted(set(offers.values())))}: name one of them in Accept, or */*",
            headers={"Vary": "Accept"},
        )
    return Form(chosen)


def _rate(ranges: dict[str, float], offer: str, *, is_default: bool) -> tuple[float, int]:
    """How much a form is wanted, and how clearly it is named: 2 by itself, else 1 for the default."""
    for wanted, named in (
        (offer, 2),
        (offer.partition("/")[0] + "/*", int(is_default)),
        ("*/*", int(is_default)),
    ):
        if wanted in ranges:
            return ranges[wanted], named
    return 0.0, 0


def _parse(text: str) -> Iterator[tuple[str, float]]:
    """Media ranges with their qualities; one that is malformed covers nothing."""
    for member in text.split(","):
        media, *parameters = (part.strip().lower() for part in member.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                quality = float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
        if "/" in media:
            yield media, quality
