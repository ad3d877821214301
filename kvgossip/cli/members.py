"""``kvgossip members``: who is in the cluster, as one node sees it."""

import argparse

from kvgossip.cli.arguments import Commands, add_output, add_url
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "members",
        help="who is in the cluster, as the node sees it",
        epilog="example: kvgossip members -o plain",
    )
    add_output(parser, "table")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client
    from kvgossip.cli.output import print_json, print_rows

    answer = Client(arguments.url).expect("GET", "/v1/cluster/members")
    members = answer["members"]
    assert isinstance(members, list)
    if arguments.output == "json":
        print_json(answer)
        return ExitCode.OK
    header = ("NODE", "STATE", "HEARD", "PEER", "API", "REPLICA", "GENERATION", "SOFTWARE")
    rows = [
        (
            member["name"],
            member["state"],
            _heard(member),
            member["peer"],
            member["api"],
            member["replica"],
            str(member["generation"]),
            member["software"],
        )
        for member in members
    ]
    print_rows(arguments.output, header, rows)
    return ExitCode.OK


def _heard(member: dict[str, object]) -> str:
    if member["is_self"]:
        return "itself"
    heard_ms = member["heard_ms_ago"]
    return "never" if heard_ms is None else f"{heard_ms} ms ago"
