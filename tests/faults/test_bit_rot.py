"""One bit flipped in the database of a node that stands beside a healthy one, again and again.

Two nodes are loaded once; their directories, copied, are where each flip begins. The kind of file is
drawn first and the place second, so that the small ones get their share. Whatever the bit was:

* the node starts, or refuses in one line that tells of ``kvgossip repair``;
* a GET answers the right bytes, or 503 and names the row, or 404 for a row that comes back from the peer; if
  it told that log records are lost, it may serve what the row was before them, until the peer is heard;
* the peer holds what it held;
* after ``kvgossip repair``, where a row or the start needs it, everything is back.
"""

import json
import shutil
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from kvgossip.cli.local_cluster import ClusterError, NodeProcess
from tests.cli.processes import TIMEOUT_S, command
from tests.faults.calls import call, converged, status, until
from tests.faults.conftest import MakeCluster

FLIPS, FLIPS_LONG = 24, 200
KINDS: dict[str, Callable[[str], bool]] = {
    "table (SST)": lambda name: name.endswith(".sst"),
    "log": lambda name: name.endswith(".log"),
    "MANIFEST": lambda name: name.startswith("MANIFEST-"),
    "CURRENT": lambda name: name == "CURRENT",
    "OPTIONS": lambda name: name.startswith("OPTIONS-"),
    "IDENTITY and settings": lambda name: name in ("IDENTITY", "rocksdict-config.json"),
}
WEIGHTS = (12, 5, 3, 1, 2, 1)
NAMED_S, SETTLED_S = 1.0, 20.0
ROWS = 1_200


@pytest.mark.faults
def test_a_flipped_bit_is_never_served_or_spread_and_the_peer_brings_everything_back(
    make_cluster: MakeCluster,
) -> None:
    flip_bits(make_cluster, FLIPS)


@pytest.mark.faults_long
def test_two_hundred_flipped_bits_are_never_served_or_spread(make_cluster: MakeCluster) -> None:
    flip_bits(make_cluster, FLIPS_LONG)


def flip_bits(make_cluster: MakeCluster, count: int, rng_seed: int | None = None) -> None:
    """Prints the table of outcomes. Replay: pass the seed that a failure names."""
    rng_seed = time.time_ns() % 1_000_000 if rng_seed is None else rng_seed
    print(f"rng_seed {rng_seed}")
    rng = Random(rng_seed)
    cluster = make_cluster(2)
    rotten, healthy = cluster.nodes
    rows = load(rotten, healthy)
    for node in cluster.nodes:
        shutil.copytree(node.data_dir, pristine(node))
    outcomes: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        for node in cluster.nodes:
            shutil.rmtree(node.data_dir)
            shutil.copytree(pristine(node), node.data_dir)
            node.log.write_text("")
        place = flip(rotten.data_dir, rng)
        try:
            outcomes[place.partition(":")[0], meet(rotten, healthy, rows)] += 1
        except (AssertionError, ClusterError) as error:
            error.add_note(
                f"flip {number} of rng_seed {rng_seed}, {place}\n{rotten.log.read_text()[-3_000:]}"
            )
            raise
        finally:
            rotten.kill()
            healthy.kill()
    for (kind, outcome), times in sorted(outcomes.items()):
        print(f"| {kind} | {outcome} | {times} |")
    assert any("repair" in outcome for _, outcome in outcomes), "no flip did any harm"


def pristine(node: NodeProcess) -> Path:
    return node.data_dir.with_name(f"{node.name}-pristine")


@dataclass(frozen=True, slots=True)
class Rows:
    """What a GET of each key answers, and what it answered before a key was deleted."""

    held: dict[str, bytes | None]
    older: dict[str, bytes]


def load(rotten: NodeProcess, healthy: NodeProcess) -> Rows:
    """Rows of both kinds, most of them in tables and some in the log."""
    held: dict[str, bytes | None] = {}
    older: dict[str, bytes] = {}
    for node in (rotten, healthy):
        node.start()
        node.wait_ready()
    for part in range(3):  # a stop moves what is in the log to tables; a kill leaves it
        lines = []
        for number in range(part, ROWS, 3):
            key, kind = f"{number:04}", "mv" if number % 5 == 0 else "kv"
            text = f"{key} is the value " * (3_000 if number % 200 == 0 else 1 + number % 20)
            held[f"{kind}/{key}"] = text.encode()
            lines.append({"op": "put", "kind": kind, "key": key, "value": text})
        for number in range(part, ROWS, 50):
            value = held.get(f"kv/{number:04}")
            if value is not None:
                older[f"kv/{number:04}"], held[f"kv/{number:04}"] = value, None
                lines.append({"op": "delete", "kind": "kv", "key": f"{number:04}"})
        assert {answer["status"] for answer in batch(rotten, lines)} <= {201, 204}
        until(lambda: converged((rotten, healthy)), "both hold the load")
        if part < 2:
            assert rotten.stop() == 0
            rotten.start()
            rotten.wait_ready()
    rotten.kill()
    healthy.kill()
    return Rows(held, older)


def batch(node: NodeProcess, lines: list[dict[str, str]]) -> list[dict[str, object]]:
    answer = call(node, "POST", "/v1/batch", "\n".join(map(json.dumps, lines)).encode())
    assert answer.status == 200
    return [json.loads(line) for line in answer.body.splitlines()]


def flip(directory: Path, rng: Random) -> str:
    """Flip one bit. Returns where."""
    kind = rng.choices(list(KINDS), WEIGHTS)[0]
    files = [path for path in sorted(directory.iterdir()) if KINDS[kind](path.name) and path.stat().st_size]
    file = rng.choices(files, [path.stat().st_size for path in files])[0]
    data = bytearray(file.read_bytes())
    at, bit = rng.randrange(len(data)), rng.randrange(8)
    data[at] ^= 1 << bit
    file.write_bytes(data)
    return f"{kind}: bit {bit} of byte {at} of {file.name}"


def meet(rotten: NodeProcess, healthy: NodeProcess, rows: Rows) -> str:
    """Start both; what became of the flipped bit."""
    healthy.start()
    healthy.wait_ready()
    root = status(healthy)["root"]
    rotten.start()
    outcome = outcome_of_start(rotten, healthy, rows)
    if "repair" in outcome:
        repair(rotten, outcome)
        rotten.start()
        rotten.wait_ready()
        until(lambda: converged((rotten, healthy)), "the peer brings everything back", SETTLED_S)
    for node in (rotten, healthy):
        assert all(is_right for is_right, _ in read_all(node, rows)), f"{node.name} lacks something"
        assert status(node)["root"] == root, f"{node.name} holds something else"
        assert status(node)["counters"]["internal_errors"] == 0
    return outcome


def outcome_of_start(rotten: NodeProcess, healthy: NodeProcess, rows: Rows) -> str:
    try:
        rotten.wait_ready()
    except ClusterError:
        return check_refused(rotten)
    read_all(rotten, rows)  # at once: nothing wrong is served
    named_s, deadline_s = time.monotonic() + NAMED_S, time.monotonic() + SETTLED_S
    while True:
        unreadable = sum(not is_right for is_right, _ in read_all(rotten, rows))
        if unreadable and "row-corrupt" in rotten.log.read_text() and time.monotonic() > named_s:
            assert all(is_right or answered == 503 for is_right, answered in read_all(rotten, rows))
            return "named: some rows are not served until a repair"
        if not unreadable and converged((rotten, healthy)):
            break
        assert time.monotonic() < deadline_s, f"{unreadable} rows are not right"
        time.sleep(0.1)
    if "log-lost" in rotten.log.read_text():
        return "named: records of the log are lost, and the peer has brought them back"
    if "row-corrupt" in rotten.log.read_text():
        return "named: all rows are served, and what is computed from them needs a repair"
    return "not met: everything is served"


def check_refused(node: NodeProcess) -> str:
    assert node.process.wait(10) == 1
    said = node.log.read_text()
    spoken = [line for line in said.splitlines() if line.startswith("kvgossip: ")]
    assert len(spoken) == 1
    assert "Traceback" not in said
    assert f"kvgossip repair --data-dir {node.data_dir}" in spoken[0]
    return "refused: the node starts after a repair"


def repair(node: NodeProcess, outcome: str) -> None:
    node.kill()
    with command("repair", "--data-dir", node.data_dir) as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, f"{outcome}: {out}{err}"


def read_all(node: NodeProcess, rows: Rows) -> list[tuple[bool, int]]:
    """Of each key: is it served as it must be, and the status (0: as it was). Raises if that is wrong."""
    lines = []
    for path in rows.held:
        kind, _, key = path.partition("/")
        lines.append({"op": "get", "kind": kind, "key": key})
    read = []
    for (path, value), answer in zip(rows.held.items(), batch(node, lines), strict=True):
        told = answer["status"]
        if told == 200:
            found = answer["siblings"][0] if path.startswith("mv/") else answer  # type: ignore[index]
            served = b64decode(str(found["value" if path.startswith("mv/") else "value_base64"]))
            if served != value:
                assert served == rows.older.get(path), f"{path} is served wrong"
                assert "log-lost" in node.log.read_text(), f"{path} is served as it was, and no loss was told"
                told = 0
        elif told == 503:
            assert "row-unreadable" in str(answer["problem"]), answer
            assert path[3:] in str(answer["problem"]), answer
        else:
            assert told == 404, answer
        read.append((told == (404 if value is None else 200), int(str(told))))
    return read
