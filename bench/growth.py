"""Growth: what an operation costs as the store grows, in one plot.

One replica on RocksDB in this process, holding 10,000, 100,000, 1,000,000 and 10,000,000 entries (made by
``filled.py``). Each operation is done on random keys; what is counted is processor time of all threads, so
compaction is in it and the disk is not.

    get     read an entry and its version
    put     a client's write in a commit of 64, as group commit makes them
    merge   an entry out of a rumor of 512
    list    a row of a listing of 100
    compare the fingerprints that an exchange needs to find one row, level by level
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from bench.environment import RESULTS, Figures, write_result
from bench.filled import VALUE_BYTES, fill, key_of
from bench.merge import SECRET, Pair
from kvgossip.config import Tuning
from kvgossip.model.ids import Key
from kvgossip.model.value import Value
from kvgossip.store.merkle import TOP_BITS
from kvgossip.store.rocks import RocksStore

SIZES = [10_000, 100_000, 1_000_000]
OPERATIONS = ("get", "list", "compare", "put", "merge")
GROWTH_MAX = 2.5
ROWS_LISTED_MAX = Tuning().rows_listed_max
COMMIT_WRITES = 64
LISTED = 100
WARM_UP = 20_000


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench growth")
    parser.add_argument("--entries", type=int, nargs="+", default=SIZES)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="write the plot of the kept results there, no runs")
    options = parser.parse_args(arguments)
    if options.plot is not None:
        plot(options.plot)
        return
    runs = [measure(options.entries, options.operations) for _ in range(options.runs)]
    parameters: dict[str, object] = {"entries": list(options.entries), "operations": options.operations}
    targets = {name: GROWTH_MAX for name in runs[0] if name.startswith("growth_")}
    write_result("growth", parameters, runs, targets)


def measure(sizes: list[int], operations: int) -> Figures:
    figures: Figures = {}
    for entries in sizes:
        directory = Path(tempfile.mkdtemp(prefix="kvgossip-growth-"))
        try:
            costs = _measure_one(directory, entries, operations)
        finally:
            shutil.rmtree(directory)
        figures |= {f"{name}_us_at_{entries}": cost for name, cost in costs.items()}
    for name in OPERATIONS:
        at_sizes = [figures[f"{name}_us_at_{entries}"] for entries in sizes]
        figures[f"growth_{name}"] = max(at_sizes) / at_sizes[0]
    return figures


def _measure_one(path: Path, entries: int, operations: int) -> Figures:
    rng = Random(entries)
    store, peer = (RocksStore(path / name, SECRET.digest_seed) for name in "ab")
    try:
        fill(store, SECRET.digest_seed, entries)
        pair = Pair([store, peer], entries, counter=entries)

        def some_key() -> Key:
            return key_of(rng.randrange(entries))

        def list_some() -> None:
            pair.replica.scan(some_key(), None, rows_max=LISTED, bytes_max=1 << 20)

        def put_some() -> None:
            for _ in range(COMMIT_WRITES):
                pair.replica.put(some_key(), Value(rng.randbytes(VALUE_BYTES)), pair.now)
            pair.commit()

        for _ in range(WARM_UP):
            pair.replica.read(some_key())
        merged = [rng.randrange(entries) for _ in range(operations)]
        return {
            "get": _cost_us(operations, lambda: pair.replica.read(some_key())),
            "list": _cost_us(operations // LISTED, list_some) / LISTED,
            "compare": _cost_us(operations // 20, lambda: _descend(store, rng.getrandbits(64))),
            "put": _cost_us(operations // COMMIT_WRITES, put_some) / COMMIT_WRITES,
            "merge": pair.receive(merged, pair.counter) / operations * 1e6,
        }
    finally:
        store.close()
        peer.close()


def _descend(store: RocksStore, hash_: int) -> None:
    """Down to a range that an exchange would list."""
    bits, child_bits = 0, TOP_BITS
    while True:
        children = store.children(hash_ >> 64 - bits, bits, child_bits)
        if children[(hash_ >> 64 - child_bits) & len(children) - 1].row_count <= ROWS_LISTED_MAX:
            return
        bits, child_bits = child_bits, child_bits + 4


def plot(to: Path) -> None:
    """Draw the kept medians. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    result = json.loads((RESULTS / "growth.json").read_text())
    sizes, median = result["parameters"]["entries"], result["median"]
    for name in OPERATIONS:
        costs = [median[f"{name}_us_at_{entries}"] for entries in sizes]
        pyplot.plot(
            sizes, [cost / costs[0] for cost in costs], marker="o", label=f"{name} ({costs[0]:.1f} µs)"
        )
    pyplot.axhline(GROWTH_MAX, color="grey", linestyle="--")
    pyplot.xscale("log")
    pyplot.xlabel("entries held")
    pyplot.ylabel("cost, as a multiple of that at the smallest size")
    pyplot.ylim(bottom=0)
    pyplot.legend()
    pyplot.savefig(to, dpi=120)


def _cost_us(times: int, operation: Callable[[], object]) -> float:
    started_s = time.process_time()
    for _ in range(times):
        operation()
    return (time.process_time() - started_s) / times * 1e6
