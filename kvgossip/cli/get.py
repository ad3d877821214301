"""``kvgossip get``: read one value, byte for byte, to stdout."""

import argparse
import sys

from kvgossip.cli.arguments import Commands, add_key, add_url
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "get",
        help="read one value",
        description="Writes the value to stdout. Of an mv key the context goes to stderr; several"
        " siblings are written as a JSON list and end with exit code 6.",
    )
    add_key(parser)
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client, key_target

    reply = Client(arguments.url).request("GET", key_target(arguments.key, is_mv=arguments.mv))
    if reply.context is not None:
        print(f"context: {reply.context}", file=sys.stderr)
    if reply.status not in (200, 300):
        raise reply.refusal()
    sys.stdout.buffer.write(reply.body)
    return ExitCode.OK if reply.status == 200 else ExitCode.CONFLICT
