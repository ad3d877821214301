"""Links over a network that is really cut, where this machine allows a namespace for it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAMESPACE = ("unshare", "--net", "--map-root-user")
ROOT = Path(__file__).parents[2]


def can_cut() -> bool:
    if not all(shutil.which(tool) for tool in ("unshare", "ip", "iptables", "tc")):
        return False
    try_it = "ip link set lo up && iptables -A OUTPUT -p udp -j DROP"
    return subprocess.run([*NAMESPACE, "sh", "-c", try_it], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_cut(), reason="no network namespace with a packet filter is to be had here")
def test_links_survive_a_network_that_drops_and_one_that_is_slow() -> None:
    script = f"ip link set lo mtu 1500 && ip link set lo up && {sys.executable} -m tests.runtime.cut_network"
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "ok", done.stderr
