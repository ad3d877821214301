"""``-j`` and ``--scheduler``: where the seeds of a ``kvgossip sim`` command run."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kvgossip.cli.exit_code import CommandError, ExitCode

if TYPE_CHECKING:
    from concurrent.futures import Executor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-j", dest="jobs", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run on a Dask cluster instead: tcp://host:port of its scheduler",
    )


@contextmanager
def open_executor(arguments: argparse.Namespace) -> "Iterator[Executor]":
    """As the arguments say. Raises ``CommandError`` if there is no such cluster."""
    from kvgossip.sim import executors

    try:
        with executors.open_executor(arguments.jobs, arguments.scheduler) as executor:
            yield executor
    except executors.SchedulerError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
