"""``kvgossip sim watch``: a seed of ``sim check`` as a file that replays it in a browser."""

import argparse
from typing import Any

from kvgossip.cli.exit_code import CommandError, ExitCode


def add_action(actions: Any) -> None:
    parser = actions.add_parser(
        "watch",
        help="write a file that replays a seed in a browser; exit code 1 if a promise breaks in it",
        epilog="example: kvgossip sim watch --seed 3 -o run.html",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which one (0)")
    parser.add_argument("-o", dest="out", default="run.html", metavar="FILE", help="the file (run.html)")
    parser.set_defaults(run=run_watch)


def run_watch(arguments: argparse.Namespace) -> ExitCode:
    from pathlib import Path

    from kvgossip.sim.recording import record
    from kvgossip.sim.watch import page

    recording = record(arguments.seed)
    text = page(recording)
    try:
        Path(arguments.out).write_text(text)
    except OSError as error:
        raise CommandError(f"{arguments.out}: {error.strerror}") from None
    print(f"{arguments.out}: {len(recording.frames) // 5:,} messages, {len(text.encode()) // 1_000:,} kB")
    if recording.broken:
        print(recording.broken)
    return ExitCode.FAILURE if recording.broken else ExitCode.OK
