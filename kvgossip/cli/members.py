"""``kvgossip members``: who is in the cluster, as one node sees it, once or for as long as one watches."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvgossip.cli import member_cells as cells
from kvgossip.cli.arguments import Commands, add_output, add_url
from kvgossip.cli.exit_code import ExitCode

if TYPE_CHECKING:
    from kvgossip.cli.client import Client

WATCH_S = 1.0
HEADER = (
    *("NODE", "STATE", "HEARD", "HEALTH", "ZONE", "ROUND TRIP", "PHI", "KEYS", "PEER", "API", "REPLICA"),
    *("GENERATION", "INCARNATION", "SOFTWARE", "TAGS"),
)
_MEASURED = ("heard_ms_ago", "round_trip_ms", "link_round_trip_ms", "phi", "load", "root")
"""What is always another number, so no reason to print a table again."""


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "members",
        help="who is in the cluster, as the node sees it",
        description="HEALTH is ok, or why a member that is alive cannot serve.",
        epilog="example: kvgossip members --watch",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="live, until it is interrupted; into a file or a pipe, again after each change",
    )
    add_output(parser, "table")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    import sys

    from kvgossip.cli.client import Client

    client = Client(arguments.url)
    if not arguments.watch:
        _print(arguments.output, _ask(client))
    elif arguments.output == "table" and sys.stdout.isatty():
        _draw_live(client)
    else:
        _print_changes(client, arguments.output)
    return ExitCode.OK


def _ask(client: "Client") -> dict[str, object]:
    return client.expect("GET", "/v1/cluster/members")


def _again_and_again(client: "Client") -> Iterator[dict[str, object]]:
    """Never ends by itself."""
    from time import sleep

    while True:
        yield _ask(client)
        sleep(WATCH_S)


def _draw_live(client: "Client") -> None:
    from rich.live import Live

    from kvgossip.cli.output import drawn

    with Live(auto_refresh=False) as live:
        for answer in _again_and_again(client):
            live.update(drawn(HEADER, _rows(answer)), refresh=True)


def _print_changes(client: "Client", output: str) -> None:
    import sys

    last: list[cells.Member] = []
    for answer in _again_and_again(client):
        steady = [
            {name: value for name, value in member.items() if name not in _MEASURED}
            for member in cells.members_of(answer)
        ]
        if steady != last:
            if last and output != "json":
                print()
            last = steady
            _print(output, answer)
            sys.stdout.flush()


def _print(output: str, answer: dict[str, object]) -> None:
    from kvgossip.cli.output import print_json, print_rows

    if output == "json":
        print_json(answer)
    else:
        print_rows(output, HEADER, _rows(answer))


def _rows(answer: dict[str, object]) -> list[tuple[str, ...]]:
    return [_row(member) for member in cells.members_of(answer)]


def _row(member: cells.Member) -> tuple[str, ...]:
    load = member["load"]
    assert isinstance(load, dict)
    return (
        str(member["name"]),
        str(member["state"]),
        cells.heard(member),
        cells.health(member),
        str(member["zone"]) or "–",
        cells.milliseconds(member["round_trip_ms"]),
        str(member["phi"]),
        str(load["keys"]),
        str(member["peer"]),
        str(member["api"]),
        str(member["replica"]),
        str(member["generation"]),
        str(member["incarnation"]),
        str(member["software"]),
        cells.tags(member) or "–",
    )
