"""``kvgossip aggregate``: a number of all nodes together, as one node has estimated it."""

import argparse

from kvgossip.cli.arguments import Commands, add_output, add_url
from kvgossip.cli.exit_code import ExitCode

METRICS = ("keys", "writes_per_s", "cpu_permille", "memory_bytes", "disk_free_bytes")
"""As in ``model/aggregate.py``, which no one-shot command should wait for; a test holds them equal."""


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "aggregate",
        help="a number of all nodes together: sum, average, least and greatest",
        description="The nodes find it by gossip, every minute. ERROR: by which share NODES, SUM and AVERAGE"
        " may be off. AGE: since the values were read.",
        epilog="example: kvgossip aggregate keys",
    )
    parser.add_argument("metric", choices=METRICS, help="which number")
    add_output(parser, "table")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client
    from kvgossip.cli.output import print_json, print_rows

    answer = Client(arguments.url).expect("GET", f"/v1/cluster/aggregate?metric={arguments.metric}")
    if arguments.output == "json":
        print_json(answer)
        return ExitCode.OK
    names = ("metric", "count", "sum", "average", "minimum", "maximum", "error", "age_ms")
    metric, count, total, average, minimum, maximum, error, age_ms = (answer[name] for name in names)
    row = (
        str(metric),
        f"{count:.6g}",
        f"{total:.6g}",
        f"{average:.6g}",
        str(minimum),
        str(maximum),
        f"{error:.2%}",
        f"{age_ms} ms",
    )
    header = ("METRIC", "NODES", "SUM", "AVERAGE", "LEAST", "GREATEST", "ERROR", "AGE")
    print_rows(arguments.output, header, [row])
    return ExitCode.OK
