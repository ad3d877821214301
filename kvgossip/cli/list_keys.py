"""``kvgossip list``: the keys of one kind, in order of their bytes, page by page."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvgossip.cli.arguments import Commands, add_mv, add_output, add_url
from kvgossip.cli.exit_code import ExitCode

if TYPE_CHECKING:
    from kvgossip.cli.client import Client

PAGE_MAX = 1_000
"""What a node gives at a time."""
TYPE_WIDTH = 24


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "list",
        help="the keys, in order",
        description="Prints the keys that have a value, one a line; with -o table or json their sizes, types"
        " and versions too. Keys that are written meanwhile may be missing.",
        epilog="example: kvgossip list flags/ --limit 10",
    )
    parser.add_argument("prefix", metavar="PREFIX", nargs="?", default="", help="what the keys begin with")
    add_mv(parser)
    parser.add_argument("--start", metavar="KEY", help="the first key that may be listed")
    parser.add_argument("--end", metavar="KEY", help="the first key that may not")
    parser.add_argument("--reverse", action="store_true", help="from the last key to the first")
    parser.add_argument("--limit", type=_count, metavar="N", help="at most so many (default: all)")
    parser.add_argument(
        "--separator", metavar="TEXT", help="one level only: what follows the next TEXT is left out"
    )
    add_output(parser, "plain")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client

    client = Client(arguments.url)
    if arguments.output == "json":
        _print_json(_items(client, arguments, keys_only=arguments.separator is not None))
    elif arguments.output == "plain" or arguments.separator is not None:
        _print_keys(_items(client, arguments, keys_only=True))
    else:
        _print_table(_items(client, arguments, keys_only=False))
    return ExitCode.OK


def _items(client: "Client", arguments: argparse.Namespace, *, keys_only: bool) -> Iterator[object]:
    """One page is held at a time."""
    import os
    from urllib.parse import quote_from_bytes

    parameters = {
        "prefix": arguments.prefix or None,
        "start": arguments.start,
        "end": arguments.end,
        "separator": arguments.separator,
    }
    query = [f"{name}={quote_from_bytes(os.fsencode(text))}" for name, text in parameters.items() if text]
    query += ["reverse"] if arguments.reverse else []
    query += ["keys"] if keys_only else []
    left, cursor = arguments.limit, ""
    while left is None or left > 0:
        limit = PAGE_MAX if left is None else min(left, PAGE_MAX)
        target = f"/v1/{'mv' if arguments.mv else 'kv'}?{'&'.join([*query, f'limit={limit}'])}{cursor}"
        page = client.expect("GET", target)
        items = page["keys" if keys_only else "items"]
        assert isinstance(items, list)
        yield from items
        if left is not None:
            left -= len(items)
        if page["cursor"] is None:
            return
        cursor = f"&cursor={page['cursor']}"


def _print_keys(keys: Iterator[object]) -> None:
    from kvgossip.cli.output import escape

    for key in keys:
        print(escape(str(key)))


def _print_json(items: Iterator[object]) -> None:
    """One array, an item a line."""
    import json

    opening = "["
    for item in items:
        print(f"{opening}\n{json.dumps(item)}", end="")
        opening = ","
    print("[]" if opening == "[" else "\n]")


def _print_table(items: Iterator[object]) -> None:
    """Columns of a fixed width, so that nothing must be held; the key comes last."""
    from kvgossip.cli.output import escape

    print(f"{'BYTES':>9}  {'TYPE':<{TYPE_WIDTH}}  {'ETAG':<34}  KEY")
    for item in items:
        assert isinstance(item, dict)
        print(
            f"{item['size']:>9}  {escape(item['type']):<{TYPE_WIDTH}}  {item['etag']:<34}",
            escape(item["key"]),
            sep="  ",
        )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)
