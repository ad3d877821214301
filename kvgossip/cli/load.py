"""``kvgossip load``: put every file below a directory, several at a time.

A file's key is the prefix, a slash, and its path below the directory. What cannot be stored (too large, a key
too long or not UTF-8, not readable) is named and skipped, and makes the exit code 1; a node that cannot be
reached or takes no writes ends the command.
"""

import argparse
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kvgossip.cli.arguments import Commands, add_url
from kvgossip.cli.exit_code import CommandError, ExitCode

if TYPE_CHECKING:
    from kvgossip.cli.client import Client

REQUESTS_IN_FLIGHT = 16
"""Enough for a node to gather into one commit what waits for the disk."""
OVERLOAD_TRIES_MAX = 10


def add_command(commands: Commands) -> None:
    parser = commands.add_parser("load", help="put every file below a directory")
    parser.add_argument("directory", metavar="DIR", type=Path)
    parser.add_argument("prefix", metavar="PREFIX", help="what the keys begin with; '' for nothing")
    add_url(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class File:
    path: Path
    key: bytes
    size: int


@dataclass(slots=True)
class Load:
    """What the threads share. ``lock`` guards all of it."""

    files: Iterator[File]
    advance: Callable[[int], None]
    """Tells the progress bar how many bytes were done."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    loaded_count: int = 0
    loaded_bytes: int = 0
    skipped_count: int = 0
    failure: CommandError | None = None

    def next_file(self) -> File | None:
        with self.lock:
            return None if self.failure else next(self.files, None)

    def finish(self, file: File, *, stored_bytes: int | None) -> None:
        with self.lock:
            self.advance(file.size)
            if stored_bytes is None:
                self.skipped_count += 1
            else:
                self.loaded_count += 1
                self.loaded_bytes += stored_bytes

    def fail(self, error: CommandError) -> None:
        with self.lock:
            self.failure = self.failure or error


def run(arguments: argparse.Namespace) -> ExitCode:
    if not arguments.directory.is_dir():
        raise CommandError(f"{arguments.directory} is no directory")
    started_s = time.monotonic()
    files = list(find_files(arguments.directory, arguments.prefix))
    with _progress(sum(file.size for file in files)) as advance:
        load = Load(iter(files), advance)
        _run_threads(load, arguments.url)
    if load.failure is not None:
        raise load.failure
    took_s = time.monotonic() - started_s
    print(
        f"loaded {load.loaded_count:,} files, {load.loaded_bytes:,} bytes, in {took_s:.1f} s;"
        f" skipped {load.skipped_count:,}"
    )
    return ExitCode.FAILURE if load.skipped_count else ExitCode.OK


def find_files(directory: Path, prefix: str) -> Iterator[File]:
    """Every regular file below ``directory``, links to files followed, in order of path."""
    start = os.fsencode(prefix)
    if start and not start.endswith(b"/"):
        start += b"/"
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            try:
                status = path.stat()
            except OSError:  # a link to nothing is named when it is opened
                yield File(path, start + os.fsencode(path.relative_to(directory).as_posix()), 0)
                continue
            if stat.S_ISREG(status.st_mode):
                yield File(path, start + os.fsencode(path.relative_to(directory).as_posix()), status.st_size)


def _run_threads(load: Load, url: str) -> None:
    threads = [
        threading.Thread(target=_work, args=(load, url), daemon=True) for _ in range(REQUESTS_IN_FLIGHT)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work(load: Load, url: str) -> None:
    from kvgossip.cli.client import Client

    try:
        client = Client(url)
        while (file := load.next_file()) is not None:
            try:
                load.finish(file, stored_bytes=_put(client, file))
            except _SkippedError as error:
                print(f"kvgossip: skipped {file.path}: {error}", file=sys.stderr)
                load.finish(file, stored_bytes=None)
        client.close()
    except CommandError as error:
        load.fail(error)


class _SkippedError(Exception):
    """One file was not stored; the others may be."""


def _put(client: "Client", file: File) -> int:
    """Store one file and return its size."""
    from mimetypes import guess_type

    from kvgossip.cli.client import key_target
    from kvgossip.config import VALUE_BYTES_MAX

    try:
        with file.path.open("rb") as opened:
            body = opened.read(VALUE_BYTES_MAX + 1)
    except OSError as error:
        raise _SkippedError(error.strerror) from None
    if len(body) > VALUE_BYTES_MAX:
        raise _SkippedError(f"it has more than {VALUE_BYTES_MAX:,} bytes, the limit of a value")
    content_type, _ = guess_type(file.path.name)
    headers = {"Content-Type": content_type} if content_type else {}
    for tries_left in reversed(range(OVERLOAD_TRIES_MAX)):
        reply = client.request("PUT", key_target(file.key, is_mv=False), body=body, headers=headers)
        if reply.status in (201, 204):
            return len(body)
        if not (reply.status == 503 and "Retry-After" in reply.headers and tries_left):
            break
        time.sleep(float(reply.headers["Retry-After"]))
    refusal = reply.refusal()
    if refusal.code is ExitCode.FAILURE:
        raise _SkippedError(str(refusal))
    raise refusal


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
