"""A write is on the disk before it is acknowledged: seen from outside, in the order of the system calls.

``kill -9`` proves nothing here, because the page cache survives it.
"""

import re
from pathlib import Path

import pytest

from kvgossip.cli.local_cluster import NodeProcess
from kvgossip.sim.mutant import Mutant
from kvgossip.sim.mutation import mutated_package
from tests.faults.calls import Load
from tests.faults.conftest import MakeCluster
from tests.faults.strace import Call, need_strace, read_calls, traced

pytestmark = pytest.mark.faults

WRITES_MIN = 100
SYNC_TAKEN_OUT = Mutant(
    name="sync-taken-out",
    path="store/rocks_open.py",
    old="self._rdict.flush_wal(True)",
    new="pass",
    promise="P2",
)


def test_for_every_acknowledged_write_a_sync_of_the_log_ended_before_the_answer(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    node = make_cluster(1).nodes[0]
    assert unsynced(node, tmp_path / "trace", []) == []


def test_a_build_without_the_sync_is_found_out(make_cluster: MakeCluster, tmp_path: Path) -> None:
    node = make_cluster(1).nodes[0]
    with mutated_package(SYNC_TAKEN_OUT) as (directory, environment):
        into_the_copy = ["env", "-C", directory, f"PYTHONPATH={environment['PYTHONPATH']}"]
        assert len(unsynced(node, tmp_path / "trace", into_the_copy)) > WRITES_MIN / 2


def unsynced(node: NodeProcess, trace: Path, prefix: list[str]) -> list[str]:
    """Load the node; the keys whose answer was sent without a sync of the log before it."""
    need_strace()
    node.command = [*prefix, *traced(trace), *node.command]
    node.start()
    node.wait_ready()
    with Load(node, "strace", threads=8, pause_s=0.001) as load:
        while len(load.acknowledged) < WRITES_MIN:
            node.check_alive()
    node.stop()
    calls = read_calls(trace)
    failed = [key for key in load.acknowledged if not was_synced(calls, key, load.dots[key])]
    print(f"{len(failed)} of {len(load.acknowledged)} acknowledged writes without a sync before the answer")
    return failed


def was_synced(calls: list[Call], key: str, dot: str) -> bool:
    """True if a sync of the log began after the write of ``key`` and ended before its answer was sent.

    The log has the key three times, in two rows and in the value; at the end of a block one may be cut.
    """
    named = re.compile(re.escape(key) + r"(?!\d)")
    written = next(
        (
            call
            for call in calls
            if call.file.endswith(".log") and "write" in call.name and named.search(call.text)
        ),
        None,
    )
    answered = next((call for call in calls if f"Kv-Dot: {dot}\\r" in call.text), None)
    assert written is not None, f"the trace has no write of {key} to the log"
    assert answered is not None, f"the trace has no answer for {key}"
    assert "HTTP/1.1 20" in answered.text
    return any(
        call.name in ("fdatasync", "fsync")
        and (call.fd, call.file) == (written.fd, written.file)
        and call.began > written.ended
        and call.ended < answered.began
        for call in calls
    )
