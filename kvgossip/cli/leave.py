"""``kvgossip leave``: let a node leave the cluster in order, and its process end."""

import argparse

from kvgossip.cli.arguments import Commands, add_url
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "leave",
        help="let the node leave in order, and end",
        description="As SIGTERM does: it takes no more writes, hands on its news, tells the others, and ends"
        " within ten seconds. It is a member again when it is started again; who restarts it by rule, such as"
        " systemd or Kubernetes, has to be told first.",
        epilog="example: kvgossip leave --url http://127.0.0.1:7710",
    )
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client
    from kvgossip.cli.output import escape

    reply = Client(arguments.url).request("POST", "/v1/cluster/leave")
    if reply.status != 202:
        raise reply.refusal()
    print(f"{escape(str(reply.json()['leaving']))} leaves")
    return ExitCode.OK
