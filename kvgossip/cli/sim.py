"""``kvgossip sim``: run the simulator's seeds, and the mutants that prove that it can fail.

A seed is a whole run: nodes, clients, faults, then a heal. Its line says what happened in it; a failure names
the promise that was broken and what was seen, is shrunk to a small part of its seed, and tells the one
command that shows this again. What happened in all seeds is summed up at the end.
"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvgossip.cli import experiments, sim_glomers, sim_jobs, sim_members, sim_watch
from kvgossip.cli.arguments import Commands
from kvgossip.cli.configuration import PREFIX
from kvgossip.cli.exit_code import CommandError, ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from kvgossip.sim.mutation import Caught
    from kvgossip.sim.run import Report
    from kvgossip.sim.totals import Totals

OUT = "docs/MUTANTS.md"
RESULTS = "bench/results/seeds.json"
REPORT = "docs/SIMULATION.md"
REPORT_SEEDS = 20
"""So often the report is written anew: a sweep that is interrupted leaves one of what was run."""


def add_command(commands: Commands) -> None:
    parser = commands.add_parser("sim", help="run whole clusters in simulated time, with faults")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="run seeds and check every promise; exit code 1 if one breaks",
        epilog="example: kvgossip sim check --seeds 100 -j 2",
    )
    check.add_argument("--seeds", type=int, default=25, metavar="N", help="how many seeds (25)")
    check.add_argument("--first", type=int, default=0, metavar="S", help="the first one (0)")
    sim_jobs.add_arguments(check)
    check.add_argument(
        "--windows", type=_numbers, metavar="N,N", help="only these faults of each seed, or none"
    )
    check.add_argument("--clients", type=_numbers, metavar="N,N", help="only these clients of each seed")
    check.add_argument("--writes", type=int, metavar="N", help="so many writes of each client")
    check.add_argument("--mutant", metavar="NAME", help="run them against a copy with this fault in it")
    check.add_argument(
        "--report", action="store_true", help=f"write what happened to {REPORT} and {RESULTS}, as it goes"
    )
    check.add_argument("--trace", action="store_true", help="print every event of the run; one process")
    check.set_defaults(run=run_check)
    sim_members.add_action(actions)
    sim_glomers.add_action(actions)
    sim_watch.add_action(actions)
    mutants = actions.add_parser(
        "mutants",
        help="run every mutant until a checker catches it",
        epilog="example: kvgossip sim mutants -j 2",
    )
    mutants.add_argument("-j", dest="jobs", type=int, default=1, metavar="N", help="processes (1)")
    mutants.add_argument("--out", default=OUT, metavar="FILE", help=f"where the table goes ({OUT})")
    mutants.set_defaults(run=run_mutants)
    experiments.add_actions(actions)


def run_check(arguments: argparse.Namespace) -> ExitCode:
    if arguments.mutant is not None:
        return _check_mutant(arguments)
    import time

    from kvgossip.sim.totals import Totals

    totals, began_s = Totals(), time.monotonic()
    for report in _with_progress(_reports(arguments), arguments.seeds):
        print(_line(report), flush=True)
        totals.add(report)
        if report.violation is not None:
            _explain(report)
        if arguments.report and (
            totals.seed_count % REPORT_SEEDS == 0 or totals.seed_count == arguments.seeds
        ):
            _write_report(arguments, totals, time.monotonic() - began_s)
    print(totals.text(time.monotonic() - began_s))
    return ExitCode.FAILURE if totals.broken_count else ExitCode.OK


def run_mutants(arguments: argparse.Namespace) -> ExitCode:
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from kvgossip.sim.mutant import MutantError
    from kvgossip.sim.mutants import MUTANTS
    from kvgossip.sim.mutation import table, try_mutant

    results: list[Caught] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:  # each runs in a process of its own
        try:
            for caught in pool.map(try_mutant, MUTANTS):
                results.append(caught)
                print(_mutant_line(caught), flush=True)
        except MutantError as error:
            pool.shutdown(cancel_futures=True)
            raise CommandError(str(error)) from None
    Path(arguments.out).write_text(table(results))
    survivors = [caught.mutant.name for caught in results if caught.promise is None]
    print(f"{len(results) - len(survivors)} of {len(results)} mutants were caught")
    return ExitCode.FAILURE if survivors else ExitCode.OK


def _reports(arguments: argparse.Namespace) -> "Iterator[Report]":
    """In order of seed."""
    from kvgossip.sim.run import Case, run_case

    cases = [
        Case(seed, windows=arguments.windows, clients=arguments.clients, writes_each=arguments.writes)
        for seed in range(arguments.first, arguments.first + arguments.seeds)
    ]
    if arguments.trace or (arguments.jobs <= 1 and arguments.scheduler is None):
        for case in cases:
            yield run_case(case, print if arguments.trace else None)
        return
    with sim_jobs.open_executor(arguments) as executor:
        yield from executor.map(run_case, cases)


def _write_report(arguments: argparse.Namespace, totals: "Totals", real_s: float) -> None:
    import json
    import os
    import platform
    from datetime import UTC, datetime
    from pathlib import Path

    from kvgossip.sim.mutant import PACKAGE
    from kvgossip.sim.totals import page

    command = f"kvgossip sim check --first {arguments.first} --seeds {arguments.seeds} -j {arguments.jobs}"
    where: dict[str, object] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(PACKAGE),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    figures = totals.figures(command, where, real_s)
    for name, text in ((RESULTS, json.dumps(figures, indent=1) + "\n"), (REPORT, page(figures))):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def _commit(folder: "Path") -> str:
    """Of the checkout that the package runs from, if it is one."""
    import subprocess

    command = ["git", "-C", str(folder), "rev-parse", "--short=10", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _with_progress(reports: "Iterator[Report]", count: int) -> "Iterator[Report]":
    """A bar on stderr, if that is a terminal."""
    import sys

    if not sys.stderr.isatty():
        yield from reports
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(reports, "seeds", total=count, console=Console(stderr=True))


def _explain(report: "Report") -> None:
    """What broke, and the smallest part of the seed in which it still does."""
    from kvgossip.sim.shrink import command, shrink

    assert report.violation is not None
    print(f"  {report.violation.promise} is broken: {report.violation.saw}", flush=True)
    small = shrink(report)
    assert small.violation is not None
    print(f"  again: {command(report.case)}")
    if small.case != report.case:
        print(f"  small: {command(small.case)}")
        print(f"    {small.operation_count} writes, {_faults(small)}: {small.violation.saw}", flush=True)


def _numbers(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(map(int, text.split(",")))


def _check_mutant(arguments: argparse.Namespace) -> ExitCode:
    """The same command without ``--mutant``, against the mutated copy."""
    import subprocess
    import sys

    from kvgossip.sim.mutant import MutantError
    from kvgossip.sim.mutants import find_mutant
    from kvgossip.sim.mutation import mutated_package

    command = [sys.executable, "-m", "kvgossip", "sim", "check"]
    command += ["--first", str(arguments.first), "--seeds", str(arguments.seeds), "-j", str(arguments.jobs)]
    if arguments.trace:
        command.append("--trace")
    if arguments.writes is not None:
        command += ["--writes", str(arguments.writes)]
    for name in ("windows", "clients"):
        numbers = getattr(arguments, name)
        if numbers is not None:
            command += [f"--{name}", ",".join(map(str, numbers)) or "none"]
    try:
        with mutated_package(find_mutant(arguments.mutant)) as (directory, environment):
            given = {name: text for name, text in environment.items() if not name.startswith(PREFIX)}
            return ExitCode(subprocess.run(command, env=given, cwd=directory).returncode)
    except MutantError as error:
        raise CommandError(str(error)) from None


def _line(report: "Report") -> str:
    state = "ok    " if report.violation is None else "BROKEN"
    return (
        f"seed {report.case.seed} {state} {report.node_count} nodes, {report.operation_count} writes"
        f" ({report.concurrent_count} concurrent, {report.conditional_count} conditional,"
        f" {report.covering_delete_count} deletes of a value, {report.alone_count} on a node alone,"
        f" {report.erased_count} erased), {report.read_count} reads,"
        f" {report.broken_exchange_count} exchanges broken; {_faults(report)};"
        f" {report.simulated_s:.0f} s simulated, a core of {report.core_count} converged in"
        f" {report.core_settled_s:.1f} s, all {report.settled_s:.1f} s after the heal;"
        f" trace {report.trace[:8]}"
    )


def _faults(report: "Report") -> str:
    return " ".join(f"{fault.value} {count}" for fault, count in report.injected.items()) or "no faults"


def _mutant_line(caught: "Caught") -> str:
    name = caught.mutant.name
    if caught.promise is None:
        return f"{name}: SURVIVED {caught.seed} seeds in {caught.seconds:.1f} s"
    note = "" if caught.promise == caught.mutant.promise else f" (aimed at {caught.mutant.promise})"
    return f"{name}: caught by {caught.promise}{note} with seed {caught.seed} in {caught.seconds:.1f} s"
