"""Arguments that several commands share."""

import argparse
from typing import TypeAlias

DEFAULT_URL = "http://127.0.0.1:7700"
OUTPUTS = ("table", "json", "plain")

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


def addresses(text: str) -> tuple[str, ...]:
    """Several, parted by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
