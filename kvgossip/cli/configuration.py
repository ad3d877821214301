"""Where a setting of a command comes from: its flag, the environment, a file, or the default, in this order.

There is one table, made from the parsers of all commands and from the fields of ``Tuning``, and one rule for
names. A setting ``peer_listen`` is the flag ``--peer-listen``, the variable ``KVGOSSIP_PEER_LISTEN`` and the
key ``peer_listen`` of the file. Settings of ``demo`` and ``sim`` carry the path of their command
(``KVGOSSIP_SIM_CHECK_SEEDS``, ``seeds`` in ``[sim.check]``), those of ``Tuning`` the word ``tuning``; few of
the latter have flags, and their defaults are those of the profile.

Only a file that was named is read, by ``--config`` or ``KVGOSSIP_CONFIG``: a directory that somebody else
filled must not decide where values are sent. An unknown key or variable is an error, since it is a typing
mistake that would go unnoticed. An empty variable counts as not set.

This runs before every one-shot command, so it imports little.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from kvgossip.cli.arguments import several
from kvgossip.cli.exit_code import CommandError, ExitCode

PREFIX = "KVGOSSIP_"
CONFIG_VARIABLE = "KVGOSSIP_CONFIG"
FILE_BYTES_MAX = 1 << 20

Words = tuple[str, ...]
"""The words of a command, or the tables and the key in a file."""

_TOOLS = ("demo", "sim")
"""Commands whose settings are their own: ``--seeds`` of ``sim check`` is a number, of ``serve`` addresses."""
_TUNING_FLAGS = {
    "cross_zone_share": "--cross-zone-share",
    "forget_after_ms": "--forget-after",
    "phi_threshold": "--phi-threshold",
}
"""What operators turn most; a flag has the name of its tunable as ``dest``."""
_NO_SETTINGS = ("help", "version", "config", "print_config")


class Setting(NamedTuple):
    """One row of the table."""

    path: Words
    """Where it stands in the file."""
    flag: str | None
    parse: Callable[[str], object]
    default: object
    """``argparse.SUPPRESS`` if the command itself knows better."""
    is_switch: bool = False
    choices: tuple[str, ...] = ()
    is_required: bool = False

    @property
    def key(self) -> str:
        return self.path[-1]

    @property
    def variable(self) -> str:
        return PREFIX + "_".join(self.path).upper()


class Given(NamedTuple):
    value: object
    source: str


def complete(parser: argparse.ArgumentParser) -> None:
    """Give every command ``--config`` and ``--print-config``; its defaults are from now on the table's."""
    for path, command in commands_of(parser):
        table = tuple(_settings_of(path, command))
        for action in command._actions:
            if action.option_strings and action.dest not in _NO_SETTINGS:
                action.default = argparse.SUPPRESS
                action.required = False  # another source may have it
        added = command.add_argument_group("configuration")
        added.add_argument(
            "--config",
            metavar="FILE",
            default=None,
            help=f"read settings from a TOML file ({CONFIG_VARIABLE})",
        )
        added.add_argument(
            "--print-config",
            action=_PrintConfig,
            default=False,
            help="print each setting with its source, and exit",
        )
        command.allow_abbrev = False  # or a new flag would change what an old script says
        command.set_defaults(parser=command, path=path, table=table)


def commands_of(
    parser: argparse.ArgumentParser, path: Words = ()
) -> Iterator[tuple[Words, argparse.ArgumentParser]]:
    """Every command with the words that call it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from commands_of(command, (*path, name))
            return
    yield path, parser


def configure(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, environment: Mapping[str, str]
) -> dict[Setting, Given]:
    """Set on ``arguments`` what no flag said. Raises ``CommandError``, with a suggestion for an unknown name.

    Returns every setting of the command with its source.
    """
    settings: tuple[Setting, ...] = arguments.table
    _check_variables(parser, environment)
    file = arguments.config or environment.get(CONFIG_VARIABLE)
    written = _read_file(parser, Path(file)) if file else {}
    found: dict[Setting, Given] = {}
    for setting in settings:
        given = _find(setting, arguments, environment, written, file)
        if setting.is_required and given.source == "default" and not arguments.print_config:
            raise _usage(f"{setting.flag} is needed, or {setting.variable}, or {setting.key} in a file")
        found[setting] = given
        if given.value is not argparse.SUPPRESS:
            setattr(arguments, setting.key, given.value)
    if arguments.path == ("serve",):
        tuning = {
            setting: _find(setting, arguments, environment, written, file)
            for setting in _tuning(arguments.profile)
        }
        arguments.tuning = {setting.key: given.value for setting, given in tuning.items()}
        found |= tuning
    return found


def print_config(found: Mapping[Setting, Given], defaults: Mapping[str, object]) -> None:
    """As a file that says the same. ``defaults``: of settings that are the command's own."""
    table: Words = ()
    for setting, given in found.items():
        if setting.path[:-1] != table:
            table = setting.path[:-1]
            print(f"[{'.'.join(table)}]")
        value = defaults[setting.key] if given.value is argparse.SUPPRESS else given.value
        if value is None or value == ():
            print(f"# {setting.key} is not set")
        else:
            print(f"{setting.key} = {_toml(value)}  # {given.source}")


class _PrintConfig(argparse._StoreTrueAction):
    """Arguments that are no settings need not be given along with it."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: object, **named: object) -> None:
        super().__call__(parser, *rest, **named)  # type: ignore[arg-type]
        for action in parser._actions:
            action.required = False


def _settings_of(path: Words, command: argparse.ArgumentParser) -> Iterator[Setting]:
    tables = path if path[:1] and path[0] in _TOOLS else ()
    for action in command._actions:
        if not action.option_strings or action.dest in (*_NO_SETTINGS, *_TUNING_FLAGS):
            continue
        parse = action.type if callable(action.type) else str
        yield Setting(
            (*tables, action.dest),
            max(action.option_strings, key=len),
            parse,
            action.default,
            is_switch=action.nargs == 0,
            choices=tuple(action.choices or ()),
            is_required=action.required,
        )


def _tuning(profile: str = "lan") -> tuple[Setting, ...]:
    """With the defaults of a profile."""
    from dataclasses import fields

    from kvgossip.config import Profile, Tuning

    defaults = Tuning.of(Profile(profile))
    return tuple(_tunable(field.name, getattr(defaults, field.name)) for field in fields(Tuning))


def _tunable(name: str, default: object) -> Setting:
    kind = type(default)
    choices = tuple(str(member.value) for member in type(default)) if isinstance(default, Enum) else ()
    flag = _TUNING_FLAGS.get(name)
    return Setting(("tuning", name), flag, kind, default, is_switch=kind is bool, choices=choices)


def _find(
    setting: Setting,
    arguments: argparse.Namespace,
    environment: Mapping[str, str],
    written: Mapping[Words, object],
    file: str | None,
) -> Given:
    if setting.flag is not None and hasattr(arguments, setting.key):
        return Given(getattr(arguments, setting.key), f"flag {setting.flag}")
    text = environment.get(setting.variable)
    if text:
        return Given(_parse(setting, text, setting.variable), f"environment {setting.variable}")
    if setting.path in written:
        where = f"{file}: {'.'.join(setting.path)}"
        return Given(_convert(setting, written[setting.path], where), f"file {file}")
    return Given(setting.default, "default")


def _parse(setting: Setting, text: str, where: str) -> object:
    if setting.is_switch:
        if text not in ("true", "false"):
            raise _usage(f"{where}: {text!r} is neither true nor false")
        return text == "true"
    if setting.choices and text not in setting.choices:
        raise _usage(f"{where}: {text!r} is none of {', '.join(setting.choices)}")
    try:
        return setting.parse(text)
    except argparse.ArgumentTypeError as error:
        raise _usage(f"{where}: {error}") from None
    except ValueError:
        wanted = {int: "a whole number", float: "a number"}.get(setting.parse, "what it can be")  # type: ignore[call-overload]
        raise _usage(f"{where}: {text!r} is not {wanted}") from None


def _convert(setting: Setting, value: object, where: str) -> object:
    """What a file says, by way of the text that a flag would take."""
    match value:
        case bool() if setting.is_switch:
            return value
        case str() | int() | float() if not setting.is_switch and not isinstance(value, bool):
            return _parse(setting, str(value), where)
        case list() if setting.parse is several and all(isinstance(part, str) for part in value):
            return _parse(setting, ",".join(value), where)
    raise _usage(f"{where}: {json.dumps(value, default=str)} is not of the kind that is wanted here")


def _read_file(parser: argparse.ArgumentParser, file: Path) -> dict[Words, object]:
    """The keys of a file. Raises ``CommandError`` if it cannot be read or has one that no command knows."""
    import tomllib

    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise _usage(f"{file} has more than {FILE_BYTES_MAX:,} bytes, the limit of a configuration")
        document = tomllib.loads(content.decode())
    except OSError as error:
        raise _usage(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:  # of the text or its encoding
        raise _usage(f"{file} is no TOML: {error}") from None
    known = {setting.path for setting in _all_settings(parser)}
    written = dict(_flat(document))
    for path in written:
        if path not in known:
            names = {".".join(other) for other in known}
            raise _usage(f"{file}: {'.'.join(path)} is no setting{_suggest('.'.join(path), names)}")
    return written


def _flat(document: Mapping[str, object], path: Words = ()) -> Iterator[tuple[Words, object]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, (*path, name))
        else:
            yield (*path, name), value


def _check_variables(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    named = sorted(name for name in environment if name.startswith(PREFIX) and name != CONFIG_VARIABLE)
    if not named:
        return
    known = {setting.variable for setting in _all_settings(parser)}
    for name in named:
        if name not in known and not _is_service_link(name):
            raise _usage(f"{name} is no setting{_suggest(name, {*known, CONFIG_VARIABLE})}")


def _is_service_link(name: str) -> bool:
    """True for what Kubernetes sets in every pod beside a service whose name begins with kvgossip."""
    import re

    return bool(re.search(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?$", name))


def _all_settings(parser: argparse.ArgumentParser) -> Iterator[Setting]:
    for _, command in commands_of(parser):
        yield from command.get_default("table")
    yield from _tuning()


def _suggest(name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    outermost_last = sorted(known, key=lambda other: (other.count("."), other), reverse=True)
    last = {other.rpartition(".")[2]: other for other in outermost_last}
    found = get_close_matches(name, sorted(known), n=1)
    near = get_close_matches(name.rpartition(".")[2], last, n=1)  # the right word in the wrong table
    close = [last[near[0]]] if near and not found else found
    return f": did you mean {close[0]}?" if close else ": see docs/CLI.md for what there is"


def _toml(value: object) -> str:
    match value:
        case Enum():
            return json.dumps(value.value)
        case tuple():
            return json.dumps(list(value))
        case Path():
            return json.dumps(str(value))
        case _:
            return json.dumps(value)


def _usage(message: str) -> CommandError:
    return CommandError(message, ExitCode.USAGE)
