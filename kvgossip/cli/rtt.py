"""``kvgossip rtt``: how far every other member is, as probes and as the kernel measured it."""

import argparse

from kvgossip.cli import member_cells as cells
from kvgossip.cli.arguments import Commands, add_output, add_url
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "rtt",
        help="the round trip from the node to each other member",
        description="PROBE is that of the last probe that the member answered itself, both nodes' work"
        " included; LINK is the kernel's, of the connection that is open. A dash: there was none.",
        epilog="example: kvgossip rtt -o plain",
    )
    add_output(parser, "table")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client
    from kvgossip.cli.output import print_json, print_rows

    answer = Client(arguments.url).expect("GET", "/v1/cluster/members")
    others = [member for member in cells.members_of(answer) if not member["is_self"]]
    if arguments.output == "json":
        names = ("name", "replica", "peer", "zone", "state", "round_trip_ms", "link_round_trip_ms")
        print_json({"members": [{name: member[name] for name in names} for member in others]})
        return ExitCode.OK
    rows = [
        (
            str(member["name"]),
            str(member["state"]),
            str(member["zone"]) or "–",
            cells.milliseconds(member["round_trip_ms"]),
            cells.milliseconds(member["link_round_trip_ms"]),
            str(member["peer"]),
        )
        for member in others
    ]
    print_rows(arguments.output, ("NODE", "STATE", "ZONE", "PROBE", "LINK", "PEER"), rows)
    return ExitCode.OK
