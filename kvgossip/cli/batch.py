"""``kvgossip batch``: many operations over one connection, a JSON line each, answered by a line each.

A batch is no transaction: a line that fails is answered as such and the others go on. Both directions stream,
so nothing grows with its length.
"""

import argparse
import sys
from io import FileIO

from kvgossip.cli.arguments import Commands, add_url
from kvgossip.cli.exit_code import CommandError, ExitCode

READ_BYTES = 64 << 10


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "batch",
        help="many operations, a JSON line each",
        description='Lines are {"op": "put", "key": …, "value": …} and alike; the answers go to stdout. The'
        " exit code is that of the first line that failed.",
        epilog="example: kvgossip batch operations.ndjson",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="- is stdin, the default")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from json import loads

    from kvgossip.cli.client import Client, exit_code_of

    code = ExitCode.OK
    with _open(arguments.file) as file:
        parts = iter(lambda: file.read(READ_BYTES), b"")
        for line in Client(arguments.url).converse("/v1/batch", parts):
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            if code is ExitCode.OK:
                code = exit_code_of(loads(line)["status"])
    return code


def _open(name: str) -> FileIO:
    """Without a buffer: a thread that still waits for stdin must not hold its lock when the process ends."""
    try:
        return FileIO(0, closefd=False) if name == "-" else FileIO(name)
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}") from None
