"""``kvgossip serve``: run one node until it is told to stop.

SIGTERM, SIGINT and ``kvgossip leave`` stop it in order: it is no longer ready and refuses requests, those in
flight finish, news is handed on, the peers are told that it leaves, the store is closed, and the exit code is
0, within ten seconds. A second signal ends it at once, which is no more than a crash, and a crash is not a
leave.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kvgossip.cli.arguments import Commands, Extend, milliseconds, several
from kvgossip.cli.exit_code import CommandError, ExitCode

if TYPE_CHECKING:
    import asyncio

    from kvgossip.runtime.settings import Settings

OPEN_FILES_MAX = 16_384
"""Connections and RocksDB's files together need more than the usual soft limit of 1,024."""


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "serve",
        help="run one node",
        epilog="example: kvgossip serve --data-dir /var/lib/kvgossip --seeds n1.example:7701",
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--node", metavar="NAME", help="what people call this node (default: the name of the host)")
    add("--cluster", metavar="NAME", help="the cluster it belongs to (default: kvgossip)")
    add("--listen", metavar="HOST:PORT", help="where clients reach it (default: 127.0.0.1:7700)")
    add("--peer-listen", metavar="HOST:PORT", help="where other nodes reach it (default: 127.0.0.1:7701)")
    add(
        "--seeds",
        metavar="HOST:PORT,...",
        type=several,
        help="peer listeners to join through (default: none)",
    )
    add("--zone", metavar="NAME", help="where it is; peers are chosen mostly within the zone (default: none)")
    add(
        "--tag",
        metavar="KEY=VALUE",
        type=several,
        action=Extend,
        help="what the cluster is told of it; may be given again (default: none)",
    )
    add(
        "--profile",
        choices=("lan", "wan"),
        default="lan",
        help="intervals and time-outs for one site, or for lines between sites (default: lan)",
    )
    add(
        "--cross-zone-share",
        metavar="SHARE",
        type=float,
        help="of choices of a peer that fall on another zone (default: 0.2)",
    )
    add(
        "--forget-after",
        dest="forget_after_ms",
        metavar="DURATION",
        type=milliseconds,
        help="forget a member that is gone for so long, such as 36h (default: 7d)",
    )
    add(
        "--phi-threshold",
        metavar="PHI",
        type=float,
        help="how unlikely a silence must be to count as late (default: 8)",
    )
    add("--data-dir", metavar="DIR", type=Path, help="where the data is kept (default: in memory only)")
    add("--secret-file", metavar="FILE", type=Path, help="the secret that the cluster shares (default: none)")
    add("--advertise-api", metavar="HOST:PORT", help="what others are told of --listen, if they differ")
    add("--advertise-peer", metavar="HOST:PORT", help="what others are told of --peer-listen, if they differ")
    add("--allow-faults", action="store_true", help="let /v1/faults cut this node off, for tests")
    add(
        "--trace",
        metavar="FILE",
        type=Path,
        help="write when each write became readable here, for benchmarks",
    )
    parser.set_defaults(run=run, find_defaults=find_defaults)


def find_defaults() -> dict[str, object]:
    """What ``Settings`` has where nothing is said."""
    from dataclasses import fields

    from kvgossip.runtime.settings import Settings

    alone = Settings()
    return {field.name: getattr(alone, field.name) for field in fields(Settings)}


def run(arguments: argparse.Namespace) -> ExitCode:
    from dataclasses import fields

    from kvgossip.config import Tuning
    from kvgossip.runtime.loop import run as run_loop
    from kvgossip.runtime.settings import Settings, SettingsError

    names = {field.name for field in fields(Settings)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    try:
        settings = Settings(**{**given, "tuning": Tuning(**arguments.tuning)})
    except SettingsError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    _raise_file_limit()
    run_loop(_serve(settings))
    return ExitCode.OK


async def _serve(settings: "Settings") -> None:
    """Returns when the node has stopped. Raises ``CommandError`` if it cannot start."""
    import asyncio
    import logging
    from dataclasses import replace

    from kvgossip.api.server import start_api
    from kvgossip.errors import CorruptRowError, DamagedError, StoreError
    from kvgossip.runtime.collector import freeze_what_started
    from kvgossip.runtime.endpoint import Endpoint
    from kvgossip.runtime.log import Log, LogHandler
    from kvgossip.runtime.node import Node
    from kvgossip.runtime.settings import SettingsError
    from kvgossip.runtime.websocket import bind

    asked_to_stop = _catch_signals()  # or by an operator, over HTTP
    try:
        listening = bind(Endpoint.parse(settings.listen))
    except OSError as error:
        reason = error.strerror or error
        raise CommandError(f"listen {settings.listen} cannot be used: {reason}") from None
    settings = replace(settings, advertise_api=settings.api_address(Endpoint.of(listening)))
    log = Log(node=settings.node, cluster=settings.cluster)
    logging.basicConfig(handlers=[LogHandler(log)])
    try:
        node = Node(settings, log=log, asked_to_stop=asked_to_stop)
        await node.start()
    except CorruptRowError as error:  # a record that a start needs
        log.close()
        raise CommandError(str(DamagedError(str(settings.data_dir), str(error)))) from None
    except (SettingsError, StoreError) as error:
        log.close()
        raise CommandError(str(error)) from None
    api = await start_api(node, listening)
    freeze_what_started()
    kept = settings.data_dir or "memory only"
    state = (
        "is ready"
        if node.replica.read_only_because is None
        else "serves reads only: it cannot write to its disk"
    )
    peers = node.replica.members(node.now())[0].member.peer
    print(
        f"{settings.node} {state}: API http://{settings.advertise_api}, peers {peers}, data {kept}",
        flush=True,
    )
    await asked_to_stop.wait()
    await node.drain()  # meanwhile the API says that it is not ready
    await asyncio.gather(node.stop(), api.close())


def _catch_signals() -> "asyncio.Event":
    """Set at the first SIGTERM or SIGINT; the second ends the process."""
    import asyncio
    import os
    import signal

    asked = asyncio.Event()

    signals = 0

    def take(number: int) -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            os._exit(128 + number)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, take, number)
    return asked


def _raise_file_limit() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(OPEN_FILES_MAX, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
