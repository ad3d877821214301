"""docs/PROTOCOL.md lists what the code has: every message with its number and fields, settings, limits."""

from dataclasses import fields, is_dataclass
from importlib import import_module

import pytest

from kvgossip import config
from kvgossip.config import Tuning
from kvgossip.model.member import Member
from kvgossip.wire import codec, messages
from tests.docs.markdown import read, rows, section

PAGE = read("docs/PROTOCOL.md")
NUMBERS = {cls: number for number, cls, _, _ in codec._TABLE}
RECORDS = [
    cls
    for cls in (*vars(messages).values(), Member)
    if isinstance(cls, type) and is_dataclass(cls) and cls not in NUMBERS
]


def names_of(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]


def as_listed(value: object) -> str:
    """A setting's value as the page has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)


def test_every_message_is_in_the_table_with_its_number_and_fields() -> None:
    listed = {
        row[1].strip("`"): (int(row[0]), [] if row[2] == "–" else row[2].split(", "))
        for row in rows(section(PAGE, "Messages"))
    }
    assert listed == {cls.__name__: (number, names_of(cls)) for cls, number in NUMBERS.items()}


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_every_record_in_a_message_is_described(cls: type) -> None:
    listed = {row[0].strip("`"): row[1] for row in rows(section(PAGE, "Frames"))}
    for name in names_of(cls):
        assert name in listed[cls.__name__], f"{cls.__name__}.{name} is missing"


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {row[0].strip("`"): row[1] for row in rows(section(PAGE, "Settings"))}
    assert listed == {field.name: as_listed(field.default) for field in fields(Tuning)}


def test_every_limit_is_listed_with_its_value() -> None:
    listed = {row[0].strip("`"): int(row[1].replace(",", "")) for row in rows(section(PAGE, "Limits"))}
    assert listed == {name: value for name, value in vars(config).items() if name.isupper()}


def test_every_setting_and_limit_says_its_unit_and_why() -> None:
    for row in rows(section(PAGE, "Settings")) + rows(section(PAGE, "Limits")):
        assert len(row) == 4, row
        assert row[2], row
        assert len(row[3]) > 10, row


@pytest.mark.parametrize("row", rows(section(PAGE, "Bounds")), ids=lambda row: row[1].strip("`"))
def test_a_bound_has_the_value_that_is_listed(row: list[str]) -> None:
    file, name, value, _ = row
    module = import_module("kvgossip." + file.strip("`").removesuffix(".py").replace("/", "."))
    assert float(value.replace(",", "")) == getattr(module, name.strip("`"))
