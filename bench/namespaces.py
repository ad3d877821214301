"""Network namespaces: each node with an address of its own, packets dropped by iptables, bytes counted.

The addresses are in 10.203.0.0/16 on a bridge that exists for the run alone. Needs root, iproute2, iptables.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kvgossip.cli.local_cluster import NodeProcess

_NEIGHBOUR_LIMITS = [Path(f"/proc/sys/net/ipv4/neigh/default/gc_thresh{number}") for number in (3, 2, 1)]


class Network:
    """One namespace a node, all on one bridge that this process reaches too."""

    def __init__(self, nodes: list[NodeProcess]) -> None:
        mark = os.getpid() % 10_000
        self._subnet = f"10.203.{mark % 250}"
        self._names = [f"kvg{mark}n{number}" for number in range(1, len(nodes) + 1)]
        self._bridge = f"kvg{mark}br"
        self._with_rules: set[str] = set()
        moved = {}
        for number, node in enumerate(nodes, start=1):
            for address in (node.api, node.peer):
                moved[address] = f"{self._address(number)}:{address.rpartition(':')[2]}"
        for name, node in zip(self._names, nodes, strict=True):
            command = [_moved(argument, moved) for argument in node.command]
            node.command = ["ip", "netns", "exec", name, *command]
            node.api, node.peer = moved[node.api], moved[node.peer]

    def set_up(self, cleanup: ExitStack) -> None:
        _run(f"ip link add {self._bridge} type bridge")
        cleanup.callback(_run, f"ip link del {self._bridge}")
        _run(f"ip addr add {self._subnet}.254/24 dev {self._bridge}")
        _run(f"ip link set {self._bridge} up")
        # Where a Docker engine runs, the host's firewall drops what it does not know on bridges, too.
        forwarded = f"FORWARD -i {self._bridge} -o {self._bridge} -j ACCEPT"
        _run(f"iptables -I {forwarded}")
        cleanup.callback(_run, f"iptables -D {forwarded}")
        self._make_room_for_neighbours(cleanup)
        for number, name in enumerate(self._names, start=1):
            _run(f"ip netns add {name}")
            cleanup.callback(_run, f"ip netns del {name}")
            _run(f"ip link add {name} type veth peer name eth0 netns {name}")
            _run(f"ip link set {name} master {self._bridge} up")
            _run(f"ip -n {name} addr add {self._address(number)}/24 dev eth0")
            _run(f"ip -n {name} link set eth0 up")
            _run(f"ip -n {name} link set lo up")

    def _make_room_for_neighbours(self, cleanup: ExitStack) -> None:
        """The kernel counts the neighbours of all namespaces together, and above its limit drops packets.

        As it comes the limit is 1,024, which 33 nodes exceed that all know each other.
        """
        wanted = len(self._names) ** 2 + 1_024
        for threshold in _NEIGHBOUR_LIMITS:
            limit = threshold.read_text()
            if int(limit) < wanted:
                threshold.write_text(str(wanted))
                cleanup.callback(threshold.write_text, limit)

    def cut(self, side: list[int]) -> None:
        """Drop all packets between the nodes of ``side``, counted from 1, and the others, both ways."""
        for number in side:
            name = self._names[number - 1]
            self._with_rules.add(name)
            for other in range(1, len(self._names) + 1):
                if other not in side:
                    address = self._address(other)
                    _run(f"ip netns exec {name} iptables -A INPUT -s {address} -j DROP")
                    _run(f"ip netns exec {name} iptables -A OUTPUT -d {address} -j DROP")

    def dropped_packets(self) -> int:
        """How many the rules that stand now have dropped."""
        dropped = 0
        for name in sorted(self._with_rules):
            for chain in ("INPUT", "OUTPUT"):
                listed = _run(f"ip netns exec {name} iptables -L {chain} -v -n -x")
                dropped += sum(int(line.split()[0]) for line in listed.splitlines() if "DROP" in line)
        return dropped

    def heal(self) -> None:
        """Take all rules out, one node after the other."""
        for name in sorted(self._with_rules):
            _run(f"ip netns exec {name} iptables -F")
        self._with_rules.clear()

    def sent_bytes(self) -> list[int]:
        """What each node has sent so far: frames of the Ethernet, so all headers and all of TCP's own."""
        counter = "/sys/class/net/eth0/statistics/tx_bytes"
        return [int(_run(f"ip netns exec {name} cat {counter}")) for name in self._names]

    def _address(self, number: int) -> str:
        return f"{self._subnet}.{number}"


@contextmanager
def network(nodes: list[NodeProcess]) -> Iterator[Network]:
    """Move nodes that are not started yet into namespaces. They are killed when the block ends.

    Raises ``CalledProcessError`` if no namespace can be made.
    """
    made = Network(nodes)
    with ExitStack() as cleanup:
        made.set_up(cleanup)
        for node in nodes:
            cleanup.callback(_end, node)
        yield made


def _end(node: NodeProcess) -> None:
    if node.started is not None:
        node.kill()


def _moved(argument: str, moved: dict[str, str]) -> str:
    return ",".join(moved.get(part, part) for part in argument.split(","))


def _run(command: str) -> str:
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout
