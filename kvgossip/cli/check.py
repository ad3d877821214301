"""``kvgossip check``: do all members hold the same? Exit code 0 if so, 5 if not."""

import argparse

from kvgossip.cli.arguments import Commands, add_url
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser("check", help="do all members hold the same? exit code 5 if not")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client
    from kvgossip.cli.table import print_table

    checked = Client(arguments.url).expect("GET", "/v1/cluster/check")
    members = checked["members"]
    assert isinstance(members, list)
    rows = [
        (member["name"], member["state"], str(member["entries"]), member["root"] or "no answer")
        for member in members
    ]
    print_table(("NODE", "STATE", "ENTRIES", "ROOT"), rows)
    if checked["converged"]:
        print(f"converged: all {len(rows)} members hold the same")
        return ExitCode.OK
    roots = {member["root"] for member in members}
    silent = sum(member["root"] is None for member in members)
    print(f"not converged: {len(roots - {None})} different roots, {silent} members without an answer")
    return ExitCode.UNHEALTHY
