"""What the tests of the deployment files share: YAML as plain values, and settings as a node reads them."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import cast

import yaml

from kvgossip.cli.configuration import configure
from kvgossip.cli.main import build_parser
from kvgossip.config import Tuning
from kvgossip.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"

Yaml = dict[str, "Yaml"] | list["Yaml"] | str | int | float | bool | None


def load(path: Path) -> Yaml:
    return cast(Yaml, yaml.safe_load(path.read_text()))


def mapping(value: Yaml) -> dict[str, Yaml]:
    assert isinstance(value, dict), value
    return value


def items(value: Yaml) -> list[dict[str, Yaml]]:
    """A list of mappings."""
    assert isinstance(value, list), value
    return [mapping(item) for item in value]


def at(value: Yaml, *path: str | int) -> Yaml:
    """``at(pod, "spec", "containers", 0)``; a missing step is a ``KeyError`` or ``IndexError``."""
    for step in path:
        if isinstance(step, int):
            assert isinstance(value, list), (step, value)
            value = value[step]
        else:
            value = mapping(value)[step]
    return value


def settings_of(environment: Mapping[str, str], *arguments: str) -> Settings:
    """What ``kvgossip serve`` makes of an environment. Raises ``CommandError`` or ``SettingsError``."""
    parser = build_parser()
    parsed = parser.parse_args(["serve", *arguments])
    configure(parser, parsed, environment)
    names = {field.name for field in fields(Settings)}
    given = {name: value for name, value in vars(parsed).items() if name in names}
    return Settings(**{**given, "tuning": Tuning(**parsed.tuning)})
