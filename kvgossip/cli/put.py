"""``kvgossip put``: write one value."""

import argparse

from kvgossip.cli.arguments import Commands, add_context, add_key, add_url, check_context
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "put",
        help="write one value",
        description="Of an mv key the new context goes to stdout.",
        epilog="example: kvgossip put flags/dark-mode --value on",
    )
    add_key(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("file", metavar="FILE", nargs="?", help="the value; - is stdin, the default")
    source.add_argument("--value", help="the value itself")
    add_context(parser)
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client, key_target
    from kvgossip.cli.values import from_file, from_text

    check_context(arguments.parser, arguments)
    if arguments.file is not None or arguments.value is None:
        given = from_file(arguments.file or "-")
    else:
        given = from_text(arguments.value)
    headers = given.headers
    if arguments.context is not None:
        headers["Kv-Context"] = arguments.context
    target = key_target(arguments.key, is_mv=arguments.mv)
    reply = Client(arguments.url).request("PUT", target, body=given.body, headers=headers)
    if reply.status not in (201, 204):
        raise reply.refusal()
    if reply.context is not None:
        print(reply.context)
    return ExitCode.OK
