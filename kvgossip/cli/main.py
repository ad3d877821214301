"""The command line: one file a command.

Each command's file declares its arguments and imports what it needs when it runs, so that a one-shot command
starts without aiohttp, RocksDB or rich.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from kvgossip import __version__
from kvgossip.cli import (
    aggregate,
    batch,
    check,
    completion,
    delete,
    events,
    forget,
    get,
    leave,
    list_keys,
    load,
    members,
    put,
    repair,
    rtt,
    serve,
    sim,
    status,
)
from kvgossip.cli.configuration import complete, configure, print_config
from kvgossip.cli.demo import command as demo
from kvgossip.cli.exit_code import CommandError, ExitCode


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        found = configure(parser, arguments, os.environ)
        if arguments.print_config:
            print_config(found, arguments.find_defaults() if "find_defaults" in arguments else {})
            return ExitCode.OK
        code: ExitCode = arguments.run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        print(f"kvgossip: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE
    return code


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kvgossip",
        description="A leaderless key-value store in which every node answers alone and all nodes converge.",
        epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 cannot connect or timed out,"
        " 5 unhealthy or not converged, 6 conflict.",
    )
    parser.add_argument("--version", action="version", version=f"kvgossip {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        serve,
        put,
        get,
        delete,
        list_keys,
        batch,
        load,
        members,
        events,
        rtt,
        forget,
        leave,
        status,
        check,
        aggregate,
        repair,
        demo,
        sim,
        completion,
    ):
        command.add_command(commands)
    complete(parser)
    return parser
