"""One transport in a process of its own: prints its address, then sends back what it gets."""

import asyncio

from kvgossip.runtime.loop import run
from tests.runtime.peers import Peer


async def main() -> None:
    async with Peer() as peer:
        print(peer.address, flush=True)
        while True:
            for sender, data in peer.received:
                peer.send(sender, data)
            peer.received.clear()
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    run(main())
