"""``kvgossip delete``: delete one key."""

import argparse

from kvgossip.cli.arguments import Commands, add_context, add_key, add_url, check_context
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "delete",
        help="delete one key",
        description="Of an mv key without --context, deletes what the node holds now; the new context goes to"
        " stdout.",
        epilog="example: kvgossip delete flags/dark-mode",
    )
    add_key(parser)
    add_context(parser)
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client, key_target

    check_context(arguments.parser, arguments)
    headers = {} if arguments.context is None else {"Kv-Context": arguments.context}
    target = key_target(arguments.key, is_mv=arguments.mv)
    reply = Client(arguments.url).request("DELETE", target, headers=headers)
    if reply.status != 204:
        raise reply.refusal()
    if reply.context is not None:
        print(reply.context)
    return ExitCode.OK
