"""``kvgossip forget``: take a member that will not come back out of the cluster."""

import argparse

from kvgossip.cli.arguments import Commands, add_url
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "forget",
        help="take a member that is gone out of the cluster",
        description="Only one that is down or has left can be forgotten (exit code 6 otherwise, 3 if it is"
        " unknown). All nodes forget it. If it comes back all the same, it is a member again.",
        epilog="example: kvgossip forget n3",
    )
    parser.add_argument("node", metavar="NODE", help="its name or replica id, as members shows it")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from urllib.parse import quote

    from kvgossip.cli.client import Client
    from kvgossip.cli.output import escape

    answer = Client(arguments.url).expect("POST", f"/v1/cluster/forget/{quote(arguments.node, safe='')}")
    forgotten = answer["forgotten"]
    assert isinstance(forgotten, list)
    for member in forgotten:
        print(f"forgotten: {escape(member['name'])}, replica {member['replica']}")
    return ExitCode.OK
