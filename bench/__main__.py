"""``python -m bench NAME [options]``: run one benchmark, print its figures, keep them as JSON."""

import sys
from importlib import import_module

NAMES = (
    "batch",
    "cluster",
    "crash",
    "docker",
    "exchange",
    "growth",
    "idle",
    "join",
    "latency",
    "members",
    "memory",
    "merge",
    "partition",
    "peers",
    "report",
    "serf",
    "spread",
    "stall",
    "starts",
)


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print(f"usage: python -m bench NAME [options], NAME one of: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    import_module(f"bench.{sys.argv[1]}").main(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
