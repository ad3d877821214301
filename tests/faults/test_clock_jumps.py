"""The wall clock of one of two nodes jumps; whatever it says, a write supersedes what its node had seen."""

import time
from functools import partial
from pathlib import Path

import pytest

from kvgossip.cli.local_cluster import NodeProcess
from tests.faults.calls import Answer, converged, get, put, status, until
from tests.faults.conftest import MakeCluster, cannot_run, need

pytestmark = pytest.mark.faults

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)


def wrong_clock(offset: Path) -> list[str]:
    """What comes before a command whose wall clock, and no other, is off by what the file says."""
    need("faketime")
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if library is None:
        cannot_run("faketime has no libfaketimeMT.so.1 in any known folder")
    return [
        *("env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={offset}"),
        *("FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"),
    ]


def test_writes_supersede_although_a_wall_clock_jumps(make_cluster: MakeCluster, tmp_path: Path) -> None:
    """+6 h at a start, −1 h at the next, then +6 h and −1 h while it runs."""
    offset = tmp_path / "offset"
    cluster = make_cluster(2)
    wrong, right = cluster.nodes
    wrong.command = [*wrong_clock(offset), *wrong.command]
    offset.write_text("+6h")
    cluster.start()
    cluster.wait_ready()
    stamps_ms = [write_and_see(wrong, right, "a"), write_and_see(right, wrong, "b")]
    check_offset(wrong, +6)
    for text, hours, at_restart in (
        ("-1h", -1, True),
        ("+6h", 6, False),
        ("-1h", -1, False),
        ("+0", 0, True),
    ):
        if at_restart:
            assert wrong.stop() == 0
        offset.write_text(text)
        if at_restart:
            wrong.start()
            wrong.wait_ready()
        stamps_ms.append(write_and_see(wrong, right, f"wrong {len(stamps_ms)}"))
        stamps_ms.append(write_and_see(right, wrong, f"right {len(stamps_ms)}"))
        check_offset(wrong, hours)
    assert stamps_ms == sorted(stamps_ms)
    until(lambda: converged(cluster.nodes), "both nodes agree")
    assert status(right)["counters"]["stamps_ahead"] > 0


def check_offset(node: NodeProcess, hours: int) -> None:
    """The jump took effect, and the stamp of a new key follows the clock: no mark of the future is kept."""
    answer = put(node, f"new{time.time_ns()}", "v")
    assert answer.status == 201
    assert abs(stamp_ms(answer) / 1_000 - time.time() - hours * 3_600) < 60


def write_and_see(writer: NodeProcess, reader: NodeProcess, value: str) -> int:
    """Write at one node, and wait until the other serves it. The milliseconds of the stamp."""
    answer = put(writer, "k", value)
    assert answer.status in (201, 204)
    assert get(writer, "k").body == value.encode()
    until(partial(serves, reader, value), f"{reader.name} serves {value!r}", 10.0)
    return stamp_ms(answer)


def stamp_ms(answer: Answer) -> int:
    return int(answer.headers["kv-stamp"].partition(".")[0])


def serves(node: NodeProcess, value: str) -> bool:
    return get(node, "k").body == value.encode()
