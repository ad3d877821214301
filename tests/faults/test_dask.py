"""Seeds on a Dask cluster: a scheduler and two workers on loopback, of which one is killed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kvgossip.cli.main import main
from kvgossip.sim.executors import SchedulerError, open_executor
from kvgossip.sim.run import Case, run_case
from tests.faults.conftest import cannot_run

pytestmark = pytest.mark.faults
CASES = [Case(seed, windows=(), clients=(0,), writes_each=20, nodes=3) for seed in range(8)]


class DaskCluster:
    """Processes on loopback, without a dashboard; workers have no nanny that would start them again."""

    def __init__(self, folder: Path, cleanup: ExitStack, workers: int) -> None:
        self._folder = folder
        self._cleanup = cleanup
        scheduler = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        self.address = self._start("scheduler", scheduler, r"Scheduler at:\s+(tcp://\S+)")[1]
        arguments = [self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        self.workers = [
            self._start("worker", [*arguments, "--name", str(i)], r"Registered to:\s+(\S+)")[0]
            for i in range(workers)
        ]

    def _start(self, what: str, arguments: list[str], sign: str) -> tuple[subprocess.Popen[str], str]:
        """Start a process and read on to the line that says that it is ready."""
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=environment, cwd=self._folder
        )
        self._cleanup.callback(process.wait)
        self._cleanup.callback(process.kill)
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(sign, line):
                return process, found[1]
        raise AssertionError(f"the {what} ended with {process.wait()}")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    try:
        import distributed  # noqa: F401
    except ImportError:
        cannot_run("distributed is not installed")
    with ExitStack() as cleanup:
        yield DaskCluster(tmp_path, cleanup, workers=2)


def test_a_worker_that_is_killed_costs_time_and_no_result(cluster: DaskCluster) -> None:
    here = [run_case(case).trace for case in CASES]
    with open_executor(1, cluster.address) as executor:
        reports = iter(executor.map(run_case, CASES))
        there = [next(reports).trace]
        cluster.workers[0].kill()
        there += [report.trace for report in reports]
    assert there == here


def test_the_command_runs_its_seeds_on_the_cluster(
    cluster: DaskCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    part = ["--seeds", "2", "--windows", "none", "--clients", "0", "--writes", "5"]
    assert main(["sim", "check", *part, "--scheduler", cluster.address]) == 0
    there = capsys.readouterr().out.splitlines()[:2]
    assert main(["sim", "check", *part]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == there


def test_a_scheduler_without_workers_is_named(tmp_path: Path) -> None:
    with ExitStack() as cleanup:
        alone = DaskCluster(tmp_path, cleanup, workers=0)
        with pytest.raises(SchedulerError, match="has no workers"), open_executor(1, alone.address):
            pass
