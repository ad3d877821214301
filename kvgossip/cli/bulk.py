"""Many files into one node, several at a time: the work of ``kvgossip load``."""

import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from mimetypes import guess_type
from pathlib import Path

from kvgossip.cli.client import Client, key_target
from kvgossip.cli.exit_code import CommandError, ExitCode
from kvgossip.config import VALUE_BYTES_MAX

REQUESTS_IN_FLIGHT = 16
"""Enough for a node to gather into one commit what waits for the disk."""
OVERLOAD_TRIES_MAX = 10


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


def load_all(load: Load, url: str) -> None:
    """Returns when all is done, or ``load.failure`` is set."""
    threads = [
        threading.Thread(target=_work, args=(load, url), daemon=True) for _ in range(REQUESTS_IN_FLIGHT)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work(load: Load, url: str) -> None:
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


def _put(client: Client, file: File) -> int:
    """Store one file and return its size."""
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
