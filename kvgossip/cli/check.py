"""``kvgossip check``: do all members hold the same? Exit code 0 if so, 5 if not."""

import argparse

from kvgossip.cli import member_cells as cells
from kvgossip.cli.arguments import Commands, add_output, add_url
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "check",
        help="do all members hold the same? exit code 5 if not",
        epilog="example: kvgossip check -o json",
    )
    add_output(parser, "table")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client
    from kvgossip.cli.output import print_json, print_rows

    checked = Client(arguments.url).expect("GET", "/v1/cluster/check")
    members = checked["members"]
    assert isinstance(members, list)
    code = ExitCode.OK if checked["converged"] else ExitCode.UNHEALTHY
    if arguments.output == "json":
        print_json(checked)
        return code
    rows = [
        (
            member["name"],
            member["state"],
            cells.health(member),
            str(member["entries"]),
            member["root"] or "no answer",
        )
        for member in members
    ]
    print_rows(arguments.output, ("NODE", "STATE", "HEALTH", "ENTRIES", "ROOT"), rows)
    if arguments.output == "table":
        print(_verdict(members, is_converged=code is ExitCode.OK))
    return code


def _verdict(members: list[dict[str, str | None]], *, is_converged: bool) -> str:
    if is_converged:
        return f"converged: all {len(members)} members hold the same"
    roots = {member["root"] for member in members}
    silent = sum(member["root"] is None for member in members)
    return f"not converged: {len(roots - {None})} different roots, {silent} members without an answer"
