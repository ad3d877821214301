"""``kvgossip load``: put every file below a directory, several at a time.

A file's key is the prefix, a slash, and its path below the directory. What cannot be stored (too large, a key
too long or not UTF-8, not readable) is named and skipped, and makes the exit code 1; a node that cannot be
reached or takes no writes ends the command.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kvgossip.cli.arguments import Commands, add_url
from kvgossip.cli.exit_code import CommandError, ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "load", help="put every file below a directory", epilog="example: kvgossip load ./site www"
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="whose files are stored")
    parser.add_argument("prefix", metavar="PREFIX", help="what the keys begin with; '' for nothing")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.bulk import Load, find_files, load_all

    if not arguments.directory.is_dir():
        raise CommandError(f"{arguments.directory} is no directory")
    started_s = time.monotonic()
    files = list(find_files(arguments.directory, arguments.prefix))
    with _progress(sum(file.size for file in files)) as advance:
        load = Load(iter(files), advance)
        load_all(load, arguments.url)
    if load.failure is not None:
        raise load.failure
    took_s = time.monotonic() - started_s
    print(
        f"loaded {load.loaded_count:,} files, {load.loaded_bytes:,} bytes, in {took_s:.1f} s;"
        f" skipped {load.skipped_count:,}"
    )
    return ExitCode.FAILURE if load.skipped_count else ExitCode.OK


@contextmanager
def _progress(bytes_total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("loading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("loading", total=bytes_total)
        yield lambda size: progress.advance(task, size)
