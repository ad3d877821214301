"""``kvgossip status``: what one node holds and knows."""

import argparse
import json

from kvgossip.cli.arguments import Commands, add_output, add_url
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "status",
        help="what the node holds and knows; exit code 5 if it takes no writes",
        epilog="example: kvgossip status --url http://127.0.0.1:7700",
    )
    add_output(parser, "table")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client
    from kvgossip.cli.output import escape, print_json, print_rows

    status = Client(arguments.url).expect("GET", "/v1/status")
    is_healthy = status["is_ready"] and status["read_only_because"] is None
    if arguments.output == "json":
        print_json(status)
    else:
        rows = _rows(status)
        if arguments.output == "plain":
            print_rows("plain", (), rows)
        else:
            for name, value in rows:
                print(f"{name + ':':<24} {escape(value)}")
    return ExitCode.OK if is_healthy else ExitCode.UNHEALTHY


def _rows(status: dict[str, object]) -> list[tuple[str, str]]:
    """One a value; those of the clock and the counters last."""
    clock, counters = status.pop("clock"), status.pop("counters")
    assert isinstance(clock, dict)
    assert isinstance(counters, dict)
    ranges = {
        f"clock {replica}": ", ".join(f"{first}-{last}" for first, last in covered)
        for replica, covered in clock.items()
    }
    named = {**status, **ranges, **counters}
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in named.items()]
