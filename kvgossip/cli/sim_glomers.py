"""``kvgossip sim glomers``: the broadcast challenge of Gossip Glomers, scored as Maelstrom does."""

import argparse
from typing import Any

from kvgossip.cli.exit_code import CommandError, ExitCode

PAGE, FIGURES = "docs/GLOMERS.md", "docs/glomers.json"


def add_action(actions: Any) -> None:
    parser = actions.add_parser(
        "glomers",
        help="play Gossip Glomers' broadcast challenge; exit code 1 if a broadcast is lost",
        epilog="example: kvgossip sim glomers mail --seeds 3 -j 2",
    )
    parser.add_argument("setting", nargs="?", default="mail", metavar="SETTING", help="which one (mail)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many seeds (1)")
    parser.add_argument(
        "--partitions", action="store_true", help="40 s with two partitions, not 20 s without"
    )
    parser.add_argument("-j", dest="jobs", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument(
        "--report",
        action="store_true",
        help="play all settings, and write docs/GLOMERS.md and its JSON (ten minutes)",
    )
    parser.set_defaults(run=run_glomers)


def run_glomers(arguments: argparse.Namespace) -> ExitCode:
    from concurrent.futures import ProcessPoolExecutor
    from pathlib import Path

    from kvgossip.sim.glomers import SETTINGS, Game, play
    from kvgossip.sim.glomers_report import PLAN, as_json, line, with_figures

    if arguments.setting not in SETTINGS:
        raise CommandError(f"there is no setting {arguments.setting}: choose from {', '.join(SETTINGS)}")
    duration_s = 40 if arguments.partitions else 20
    chosen = tuple(
        Game(arguments.setting, seed, duration_s=duration_s, has_partitions=arguments.partitions)
        for seed in range(arguments.seeds)
    )
    games = PLAN if arguments.report else chosen
    scores = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for score in pool.map(play, games):
            print(line(score), flush=True)
            scores.append(score)
    if arguments.report:
        page = Path(PAGE)
        page.write_text(with_figures(page.read_text(), scores))
        Path(FIGURES).write_text(as_json(scores))
    return ExitCode.FAILURE if any(score.lost_count for score in scores) else ExitCode.OK
