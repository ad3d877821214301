"""``kvgossip demo``: run the whole story on five real nodes and end with one line and an exit code."""

import argparse

from kvgossip.cli.arguments import Commands
from kvgossip.cli.exit_code import ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "demo",
        help="five local nodes, real files, a cut, a heal, and proof",
        description="Starts five nodes on loopback, loads the standard library of this Python through one of"
        " them, cuts two nodes off from three, writes on both sides, heals, and compares every value"
        " on every node. Needs some 200 MB of temporary disk, less than 90 s, and no network.",
        epilog="example: kvgossip demo --keep",
    )
    parser.add_argument("--keep", action="store_true", help="leave the nodes running, and print what to try")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.demo.story import tell

    return tell(must_keep=arguments.keep)
