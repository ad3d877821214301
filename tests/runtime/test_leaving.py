"""A node that is stopped says farewell on real connections; one that is killed does not."""

import asyncio
from contextlib import AsyncExitStack

from kvgossip.runtime.loop import run
from tests.runtime.nodes import Loopback
from tests.runtime.peers import until
from tests.runtime.test_node import cluster


def states(node: Loopback) -> dict[str, str]:
    return {status.member.name: status.state for status in node.replica.members(node.now())}


def test_a_stopped_node_is_left_for_all_its_peers_at_once_and_its_news_is_there() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one, two, three = await cluster(stack, 3)
            await asyncio.gather(*(three.write(f"k{number}", "v") for number in range(300)))
            await three.drain()
            assert not three.is_ready
            await until(lambda: states(one)["n3"] == states(two)["n3"] == "left", timeout_s=1)
            await until(lambda: one.root == two.root == three.root)
            assert three.read("k0") is not None, "reads go on until the stop"
            await three.stop()
            assert "node-left" in three.logged()

    run(main())
