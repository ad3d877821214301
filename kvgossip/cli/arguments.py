"""Arguments that several commands share."""

import argparse
import os
from typing import TypeAlias

DEFAULT_URL = "http://127.0.0.1:7700"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url",
        default=os.environ.get("KVGOSSIP_URL") or DEFAULT_URL,
        help=f"the node to talk to (KVGOSSIP_URL, else {DEFAULT_URL})",
    )


def add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--mv", action="store_true", help="an mv key: concurrent values are kept as siblings")


def add_context(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--context", help="of an mv key: what was seen of it, as the last get, put or delete printed it"
    )


def check_context(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Ends with a usage error."""
    if arguments.context is not None and not arguments.mv:
        parser.error("--context goes with --mv: kv keys have none")
