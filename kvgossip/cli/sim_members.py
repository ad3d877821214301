"""``kvgossip sim members``: experiments on membership alone, at any size, and the report of all of them."""

import argparse
from functools import partial
from typing import Any

from kvgossip.cli import sim_jobs
from kvgossip.cli.configuration import PREFIX
from kvgossip.cli.exit_code import CommandError, ExitCode

SIZES = ("nodes", "seconds", "percent")


def add_action(actions: Any) -> None:
    parser = actions.add_parser(
        "members",
        help="run experiments on membership alone; exit code 1 if a promise breaks",
        epilog="example: kvgossip sim members crash --nodes 100 --seeds 20 -j 2",
    )
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="which one; without it, each")
    parser.add_argument("--nodes", type=int, metavar="N", help="how many members")
    parser.add_argument("--seconds", type=int, metavar="N", help="how long, in simulated time")
    parser.add_argument("--percent", type=int, metavar="N", help="of loss, or of churn a minute")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="how many seeds (5)")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first one (0)")
    sim_jobs.add_arguments(parser)
    parser.add_argument("--mutant", metavar="NAME", help="run them against a copy with this fault in it")
    parser.add_argument(
        "--report",
        action="store_true",
        help="run all at full size and write docs/MEMBERSHIP.md (a quarter of an hour of one core)",
    )
    parser.set_defaults(run=run_members)


def run_members(arguments: argparse.Namespace) -> ExitCode:
    from pathlib import Path

    from kvgossip.sim.members.hunting import EXPERIMENTS, run
    from kvgossip.sim.members.plan import line, run_plan, write

    if arguments.mutant is not None:
        return _run_mutant(arguments)
    if arguments.report:
        with sim_jobs.open_executor(arguments) as pool:
            write(run_plan(pool, partial(print, flush=True)), Path())
        return ExitCode.OK
    names = [arguments.experiment] if arguments.experiment else list(EXPERIMENTS)
    if names[0] not in EXPERIMENTS:
        raise CommandError(f"there is no experiment {names[0]}: choose from {', '.join(EXPERIMENTS)}")
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    sizes = {name: getattr(arguments, name) for name in SIZES if getattr(arguments, name) is not None}
    is_broken = False
    with sim_jobs.open_executor(arguments) as pool:
        for name in names:
            try:
                outcomes = list(pool.map(partial(run, name, **sizes), seeds))
            except TypeError as error:
                raise CommandError(f"{name} has no such size: {error}") from None
            print(line(name, outcomes), flush=True)
            for outcome in outcomes:
                if outcome.violation is not None:
                    is_broken = True
                    broken = outcome.violation
                    print(f"  seed {outcome.seed}: {broken.promise} is broken: {broken.saw}")
                    given = "".join(f" --{size} {value}" for size, value in sizes.items())
                    print(f"  again: kvgossip sim members {name}{given} --first {outcome.seed} --seeds 1")
    return ExitCode.FAILURE if is_broken else ExitCode.OK


def _run_mutant(arguments: argparse.Namespace) -> ExitCode:
    """The same command without ``--mutant``, against the mutated copy."""
    import subprocess
    import sys

    from kvgossip.sim.mutant import MutantError
    from kvgossip.sim.mutants import find_mutant
    from kvgossip.sim.mutation import mutated_package

    command = [sys.executable, "-m", "kvgossip", "sim", "members"]
    command += [arguments.experiment] if arguments.experiment else []
    for name in (*SIZES, "seeds", "first"):
        value = getattr(arguments, name)
        command += [] if value is None else [f"--{name}", str(value)]
    command += ["-j", str(arguments.jobs)]
    try:
        with mutated_package(find_mutant(arguments.mutant)) as (directory, environment):
            given = {name: text for name, text in environment.items() if not name.startswith(PREFIX)}
            return ExitCode(subprocess.run(command, env=given, cwd=directory).returncode)
    except MutantError as error:
        raise CommandError(str(error)) from None
