"""``kvgossip sim spread`` and its like: experiments at scale in simulated time.

A table goes to stdout; with ``--out`` the result goes to a folder as JSON, and its plots beside it as PNG.
``kvgossip sim report`` makes docs/EXPERIMENTS.md from such a folder.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from kvgossip.cli.arguments import Commands
from kvgossip.cli.exit_code import CommandError, ExitCode

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from kvgossip.sim.experiments.result import Row

FOLDER = "docs/experiments"
PAGE = "docs/EXPERIMENTS.md"
NODES = "10,100,1000,10000,100000"
OF_NODES = {
    "partition": ("6,12,24", "two halves are cut off, written to and joined: when all hold all again"),
    "loss": ("24", "frames are lost: how long a write takes to everybody"),
    "detect": ("10,30,100,300", "a node crashes: how long until all know"),
}
"""Experiments of which nothing but the number of nodes may be chosen, and what they are about."""


def add_actions(actions: Commands) -> None:
    spread = actions.add_parser(
        "spread",
        help="how fast one rumor reaches so many nodes, and how many it misses",
        epilog="example: kvgossip sim spread --nodes 10,100,1000,10000 --fanout 2",
    )
    spread.add_argument(
        "--nodes", type=_sizes, default=_sizes(NODES), metavar="N,N", help=f"how many nodes ({NODES})"
    )
    spread.add_argument("--fanout", type=int, default=2, metavar="N", help="peers told in a round (2)")
    spread.add_argument(
        "--whole", action="store_true", help="whole replicas, not rumor machines alone; some 1,000 at most"
    )
    _add_common(spread, run_spread)
    for name, (nodes, what) in OF_NODES.items():
        parser = actions.add_parser(name, help=what, epilog=f"example: kvgossip sim {name} --nodes {nodes}")
        parser.add_argument(
            "--nodes", type=_sizes, default=_sizes(nodes), metavar="N,N", help=f"how many ({nodes})"
        )
        _add_common(parser, partial(run_of_nodes, name))
    demers = actions.add_parser(
        "demers",
        help="tables 1 to 3 of Demers et al. 1987, from the rumor machine that ships",
        epilog="example: kvgossip sim demers --seconds 30",
    )
    demers.add_argument(
        "--seconds", type=float, default=600, metavar="S", help="of processor time at most for a row (600)"
    )
    _add_folder(demers)
    demers.set_defaults(run=run_demers)
    report = actions.add_parser(
        "report",
        help="make the page of all experiments from their results",
        epilog="example: kvgossip sim report --from docs/experiments",
    )
    report.add_argument(
        "--from", dest="folder", default=FOLDER, metavar="FOLDER", help=f"of the results ({FOLDER})"
    )
    report.add_argument("--out", default=PAGE, metavar="FILE", help=f"the page ({PAGE})")
    report.set_defaults(run=run_report)


def run_spread(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.sim.experiments import spread, sweep, whole

    nodes, fanout = arguments.nodes, arguments.fanout
    tasks = spread.tasks(nodes, fanout, arguments.seeds or spread.SEEDS)
    command = f"kvgossip sim spread --nodes {','.join(map(str, nodes))} --fanout {fanout}"
    if arguments.whole:
        rows = (whole.run_task(task) for task in tasks if spread.loses_interest(task.setting))
        return _conduct(arguments, "whole", f"whole-fanout-{fanout}", f"{command} --whole", lambda _: rows)
    name = f"spread-fanout-{fanout}"
    return _conduct(arguments, "spread", name, command, lambda pool: sweep.sweep(spread.run, tasks, pool))


def run_of_nodes(name: str, arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.sim.experiments import detect, loss, partition, sweep

    module = {"partition": partition, "loss": loss, "detect": detect}[name]
    tasks = module.tasks(arguments.nodes, arguments.seeds or module.SEEDS)
    command = f"kvgossip sim {name} --nodes {','.join(map(str, arguments.nodes))}"
    return _conduct(arguments, name, name, command, lambda pool: sweep.sweep(module.run, tasks, pool))


def run_demers(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.sim.experiments import demers

    rows = (demers.run_until_sure(setting, arguments.seconds) for setting in demers.settings())
    return _conduct(arguments, "demers", "demers", "kvgossip sim demers", lambda _: rows)


def run_report(arguments: argparse.Namespace) -> ExitCode:
    """The page, and the plots anew."""
    import os
    from pathlib import Path

    from kvgossip.sim.experiments import files, report

    results = report.read_all(arguments.folder)
    if not results:
        raise CommandError(f"there are no results in {arguments.folder}")
    page = Path(arguments.out)
    page.write_text(report.page(results, os.path.relpath(arguments.folder, page.parent)))
    with _needs_plots():
        for result in results.values():
            files.draw_beside(result, arguments.folder)
    return ExitCode.OK


def _add_common(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], ExitCode]) -> None:
    parser.add_argument("--seeds", type=int, metavar="N", help="of each setting (20; few of very many nodes)")
    parser.add_argument("-j", dest="jobs", type=int, default=1, metavar="N", help="processes (1)")
    _add_folder(parser)
    parser.set_defaults(run=run)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FOLDER", help="where the result goes as JSON, and its plots as PNG")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _conduct(
    arguments: argparse.Namespace,
    experiment: str,
    name: str,
    command: str,
    rows: "Callable[[Executor | None], Iterable[Row]]",
) -> ExitCode:
    """Run it, print its table, write its files."""
    import time
    from concurrent.futures import ProcessPoolExecutor

    from kvgossip.sim.experiments.files import made_with, write
    from kvgossip.sim.experiments.markdown import result_table
    from kvgossip.sim.experiments.result import Result

    jobs = getattr(arguments, "jobs", 1)
    pool = ProcessPoolExecutor(jobs) if jobs > 1 else None
    began_s, found = time.monotonic(), []
    try:
        for row in rows(pool):
            found.append(row)
            print(
                f"{row.setting}: {row.seed_count} seeds, {time.monotonic() - began_s:.0f} s", file=sys.stderr
            )
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    took_s = round(time.monotonic() - began_s, 1)
    result = Result(experiment, name, command, made_with(), today, took_s, tuple(found))
    print(result_table(result), end="")
    if arguments.out is not None:
        with _needs_plots():
            write(result, arguments.out)
    return ExitCode.OK


@contextmanager
def _needs_plots() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise CommandError(f"no plots: {error}: pip install 'kvgossip[plots]'") from None
