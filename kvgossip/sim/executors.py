"""Where seeds run: in this process, in processes of this machine, or on the workers of a Dask cluster.

All of them are a ``concurrent.futures.Executor``, so nobody else needs to know which. A seed fixes its run,
so where it ran changes nothing: if a worker is lost, Dask gives its seeds to another, and that costs time
only. (When more than ``distributed.scheduler.allowed-failures`` workers, 3, were lost over one seed, it takes
the seed for the cause and gives it up.) A worker must have the same version of this package; its results
would be those of another program.
"""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

import kvgossip
from kvgossip.errors import KvGossipError

CONNECT_TIMEOUT_S = 10


class SchedulerError(KvGossipError):
    """There is no Dask scheduler, or its workers cannot run these seeds."""


@contextmanager
def open_executor(jobs: int, scheduler: str | None) -> Iterator[Executor]:
    """``jobs`` processes, or the Dask cluster whose scheduler is at ``scheduler`` (``tcp://host:port``)."""
    if scheduler is None:
        with ProcessPoolExecutor(jobs) as pool:
            yield pool
        return
    try:
        from distributed import Client
    except ImportError:
        raise SchedulerError("a Dask cluster needs the extra: pip install 'kvgossip[distributed]'") from None
    try:
        client = Client(scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SchedulerError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    with client:
        try:
            _check_versions(client.run(package_version))
        except ImportError as error:
            raise SchedulerError(f"a worker of {scheduler} cannot run kvgossip: {error}") from None
        with client.get_executor(pure=False) as executor:  # type: ignore[no-untyped-call]
            yield executor


def package_version() -> str:
    """Of this package, on the machine where it is called."""
    return kvgossip.__version__


def _check_versions(by_worker: dict[str, str]) -> None:
    if not by_worker:
        raise SchedulerError("the Dask scheduler has no workers")
    for worker, version in sorted(by_worker.items()):
        if version != kvgossip.__version__:
            raise SchedulerError(f"{worker} has kvgossip {version}, this is {kvgossip.__version__}")
