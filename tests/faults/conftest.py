"""Faults on real processes: what a row needs of the machine, and nodes that leave nothing behind."""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NoReturn

import pytest

from kvgossip.cli.local_cluster import LocalCluster

MakeCluster = Callable[..., LocalCluster]


def cannot_run(reason: str) -> NoReturn:
    """End a row that this machine cannot run: loudly, and where ``CI=true`` it counts as a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"this row cannot run here: {reason}")
    warnings.warn(f"A ROW OF THE FAULT MATRIX DID NOT RUN: {reason}", stacklevel=3)
    pytest.skip(reason)


def need(*programs: str, root: bool = False) -> None:
    """Go on only if the programs are installed and, if asked, this is root."""
    for program in programs:
        if shutil.which(program) is None:
            cannot_run(f"{program} is not installed")
    if root and os.geteuid() != 0:
        cannot_run("this needs root")


@pytest.fixture
def make_cluster() -> Iterator[MakeCluster]:
    """``LocalCluster``, stopped and removed at the end of the test."""
    with ExitStack() as cleanup:
        yield lambda count, **kwargs: cleanup.enter_context(LocalCluster(count, **kwargs))
