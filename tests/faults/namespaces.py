"""Network namespaces for rows of the fault matrix; see ``bench/namespaces.py``."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench import namespaces
from kvgossip.cli.local_cluster import NodeProcess
from tests.faults.conftest import cannot_run, need


@contextmanager
def network(nodes: list[NodeProcess]) -> Iterator[namespaces.Network]:
    """Move nodes that are not started yet into namespaces. They are killed when the block ends."""
    need("ip", "iptables", root=True)
    try:
        with namespaces.network(nodes) as made:
            yield made
    except subprocess.CalledProcessError as error:
        cannot_run(f"no network namespace can be made: {error.stderr.strip()}")
