"""Run in a network namespace of its own: ``unshare -rn sh -c 'ip link set lo up; python -m ...'``.

Cuts the loopback of that namespace with a packet filter, as a firewall that drops would, and narrows it with
a token bucket. Prints ``ok`` if links behaved.
"""

import asyncio
import subprocess

from kvgossip.runtime import link as link_module
from kvgossip.runtime import transport as transport_module
from kvgossip.runtime.loop import run
from tests.runtime.peers import Peer, until


def shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


async def a_dropped_link_is_given_up_and_dialled_anew_after_the_heal() -> None:
    async with Peer() as one, Peer() as two:
        one.send(two)
        await until(lambda: len(two.frames) == 1)
        shell("iptables -A OUTPUT -p tcp -j DROP")
        one.send(two, b"lost")
        two.send(one, b"lost")
        await until(lambda: not one.transport.linked() and not two.transport.linked(), timeout_s=3)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + 2  # long enough for TCP's own pauses to have doubled a few times
        while loop.time() < end_s:
            one.send(two, b"lost")
            await asyncio.sleep(0.1)
        shell("iptables -F")
        await until(lambda: one.connected[two.address] == 2, timeout_s=2)
        assert one.transport.counters()["links_silent"] == 1
        assert one.failed[two.address] > 0


async def a_slow_link_is_not_a_dead_one() -> None:
    async with Peer() as one, Peer() as two:
        one.send(two)
        await until(lambda: len(two.frames) == 1)
        shell("tc qdisc add dev lo root tbf rate 256kbit burst 16kb latency 400ms")
        one.send(two, b"x" * (96 << 10), is_bulk=True)  # three seconds' worth
        await until(lambda: len(two.frames) == 2, timeout_s=10)
        shell("tc qdisc del dev lo root")
        assert one.transport.counters()["links_silent"] == 0
        assert two.transport.counters()["links_silent"] == 0
        assert one.transport.counters()["dials"] == 1


async def main() -> None:
    link_module.SILENCE_S = 1.0
    link_module.PING_AFTER_S = 0.3
    transport_module.CALM_TICK_S = 0.15
    await a_dropped_link_is_given_up_and_dialled_anew_after_the_heal()
    await a_slow_link_is_not_a_dead_one()
    print("ok")


if __name__ == "__main__":
    run(main())
