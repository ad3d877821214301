"""``kvgossip repair``: give a stopped node a database without its damaged rows; its peers bring them back."""

import argparse
from pathlib import Path

from kvgossip.cli.arguments import Commands
from kvgossip.cli.exit_code import CommandError, ExitCode

NAMED_MAX = 20


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "repair",
        help="drop the rows of a stopped node that cannot be read, so that its peers bring them back",
        description="Copy what can be read of a stopped node's data into a new database in the same"
        " directory. Rows that cannot be read are named and dropped; the node gets them from its peers after"
        " its start."
        " The damaged files are kept in DIR/DAMAGED, so as much space as the data takes must be free.",
        epilog="example: kvgossip repair --data-dir /data",
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", type=Path, required=True, help="of a node that is stopped"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.errors import StoreError
    from kvgossip.store.rocks_repair import repair_directory

    try:
        repaired = repair_directory(arguments.data_dir)
    except StoreError as error:
        raise CommandError(str(error)) from None
    damaged = arguments.data_dir / "DAMAGED"
    if repaired.set_aside is not None:
        print(f"nothing could be kept: {repaired.set_aside}")
        print(
            f"all files were set aside in {damaged}: this node starts empty, as a new replica, and its peers"
        )
        print("bring the data; what no peer has is in those files alone")
        return ExitCode.OK
    print(f"{repaired.kept_count} rows kept, {repaired.lost_count} lost, {repaired.gap_count} damaged places")
    for key in repaired.lost[:NAMED_MAX]:
        print(f"lost: {key[1:].decode(errors='replace')!r}")
    if repaired.lost_count > NAMED_MAX:
        print(f"and {repaired.lost_count - NAMED_MAX} more")
    print(f"the damaged files are in {damaged}: remove them when all is well")
    return ExitCode.OK
