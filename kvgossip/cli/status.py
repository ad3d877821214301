"""``kvgossip status``: what one node holds and knows."""

import argparse
import json

from kvgossip.cli.arguments import Commands, add_url
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "status", help="what the node holds and knows; exit code 5 if it takes no writes"
    )
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client

    status = Client(arguments.url).expect("GET", "/v1/status")
    clock, counters = status.pop("clock"), status.pop("counters")
    assert isinstance(clock, dict)
    assert isinstance(counters, dict)
    for name, value in status.items():
        _print(name, value)
    for replica, ranges in clock.items():
        _print(f"clock {replica}", ", ".join(f"{first}-{last}" for first, last in ranges))
    for name, value in counters.items():
        _print(name, value)
    is_healthy = status["is_ready"] and status["read_only_because"] is None
    return ExitCode.OK if is_healthy else ExitCode.UNHEALTHY


def _print(name: str, value: object) -> None:
    shown = value if isinstance(value, str) else json.dumps(value)
    print(f"{name + ':':<24} {shown}")
