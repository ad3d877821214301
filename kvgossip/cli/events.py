"""``kvgossip events``: what happens among the members, a line each, as one node sees it."""

import argparse

from kvgossip.cli import member_cells as cells
from kvgossip.cli.arguments import Commands, add_output, add_url
from kvgossip.cli.exit_code import CommandError, ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "events",
        help="what happens among the members, as it happens",
        description="Kinds are join, alive, suspect, down, leave, change and forget. Runs until it is"
        " interrupted; exit code 4 if the node stops.",
        epilog="example: kvgossip events -o json",
    )
    add_output(parser, "table")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from json import loads

    from kvgossip.cli.client import Client

    client = Client(arguments.url)
    for line in client.follow("/v1/cluster/events"):
        if line.startswith(b"data: "):
            _show(loads(line.removeprefix(b"data: ")), arguments.output)
    raise CommandError(f"{arguments.url}: the stream of events broke off", ExitCode.UNREACHABLE)


def _show(event: dict[str, object], output: str) -> None:
    """Print one event. Raises ``CommandError`` at the last one."""
    from datetime import datetime
    from json import dumps

    from kvgossip.cli.output import escape

    if event["kind"] == "end":
        if event["reason"] == "stopping":
            raise CommandError("the node stops", ExitCode.UNREACHABLE)
        raise CommandError("the node dropped this command: its output is not read fast enough")
    if output == "json":
        print(dumps(event), flush=True)
        return
    named = [str(event["kind"]), str(event["name"]), str(event["peer"]), str(event["replica"])]
    row = [escape(cell) for cell in (*named, cells.health(event))]
    if output == "plain":
        print("\t".join(row), flush=True)
    else:
        kind, name, peer, replica, state = row
        print(f"{datetime.now():%H:%M:%S}  {kind:<7}  {name}  {peer}  {replica}  {state}", flush=True)
