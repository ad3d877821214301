"""Arguments that several commands share."""

import argparse
from typing import TypeAlias

DEFAULT_URL = "http://127.0.0.1:7700"
OUTPUTS = ("table", "json", "plain")

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default=DEFAULT_URL, help=f"the node to talk to (default: {DEFAULT_URL})")


def add_mv(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mv", action="store_true", help="mv keys: concurrent values are kept as siblings")


def add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="its bytes are taken as they are")
    add_mv(parser)


def add_context(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--context", help="of an mv key: what was seen of it, as the last get, put or delete printed it"
    )


def add_output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "-o",
        "--output",
        choices=OUTPUTS,
        default=default,
        help=f"for people, for programs, or one item a line, cells parted by tabs (default: {default})",
    )


def check_context(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Ends with a usage error."""
    if arguments.context is not None and not arguments.mv:
        parser.error("--context goes with --mv: kv keys have none")


def several(text: str) -> tuple[str, ...]:
    """Texts, parted by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


class Extend(argparse.Action):
    """A flag of several that may be given again and again."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(values, tuple)
        setattr(namespace, self.dest, (*getattr(namespace, self.dest, ()), *values))


def milliseconds(text: str) -> int:
    """A duration: a number and ``s``, ``m``, ``h`` or ``d``; seconds without one."""
    unit_s = _UNITS_S.get(text[-1:], 1)
    number = text[:-1] if text[-1:] in _UNITS_S else text
    try:
        return round(float(number) * unit_s * 1_000)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90, 90s, 15m, 12h or 7d") from None
