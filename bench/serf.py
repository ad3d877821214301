"""serf as the yardstick of spreading: how soon an event is at the last agent.

Agents on loopback, as they come (profile ``lan``), and user events of 100 bytes at a fixed open-loop rate to
all in turn. An event is heard through the stream of each agent's RPC (msgpack over TCP), so *spread* is what
``python -m bench spread`` calls so, from the request to the last agent. Unlike a write of kvgossip an event
is not stored: nothing waits for a disk.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgpack

from bench.environment import Figures, percentile, write_result
from bench.http_load import at_rate
from kvgossip.cli.local_cluster import free_addresses

PAYLOAD_BYTES = 100
STARTS_AT_ONCE = 5
READY_TIMEOUT_S = 30.0
JOIN_TIMEOUT_S = 60.0
SETTLE_S = 10.0
"""Between the last event and the count of those that never arrived."""

Document = dict[str, Any]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench serf")
    parser.add_argument("--nodes", type=int, default=30)
    parser.add_argument("--rate", type=float, default=2.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    if shutil.which("serf") is None:
        raise SystemExit("serf is not here: apt-get install serf")
    runs = [asyncio.run(measure(options.nodes, options.rate, options.seconds)) for _ in range(options.runs)]
    parameters = {"nodes": options.nodes, "rate_hz": options.rate, "seconds": options.seconds}
    write_result("serf", {**parameters, "payload_bytes": PAYLOAD_BYTES}, runs, {})


class Agent:
    """The RPC of one agent: requests one at a time, and the events that it hears."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._unpacker = msgpack.Unpacker(raw=False)
        self._sequence = 0
        self.heard_ns: dict[str, int] = {}
        """When each event was heard first, by its name."""

    async def ask(self, command: str, body: Document | None = None) -> int:
        """Send a request. Returns its sequence number, which its answer will carry.

        A command takes a body or takes none, and serf reads one too many as another request.
        """
        self._sequence += 1
        head = msgpack.packb({"Command": command, "Seq": self._sequence})
        self._writer.write(head if body is None else head + msgpack.packb(body))
        await self._writer.drain()
        return self._sequence

    async def expect(self, sequence: int) -> None:
        """Wait for the answer to a request. Raises ``RuntimeError`` if it is an error or another's."""
        answer = await self._next()
        if answer["Seq"] != sequence or answer["Error"]:
            raise RuntimeError(f"serf answered {answer}")

    async def members(self) -> int:
        await self.expect(await self.ask("members"))
        return sum(member["Status"] == "alive" for member in (await self._next())["Members"])

    async def listen(self) -> None:
        """Note what is heard, for ever. Events alone have a body; answers to ``event`` have none."""
        await self.expect(await self.ask("stream", {"Type": "user"}))
        while True:
            document = await self._next()
            if "Name" in document:
                self.heard_ns.setdefault(document["Name"], time.monotonic_ns())

    def close(self) -> None:
        self._writer.close()

    async def _next(self) -> Document:
        while True:
            for document in self._unpacker:
                found: Document = document
                return found
            data = await self._reader.read(1 << 16)
            if not data:
                raise RuntimeError("the agent has closed the connection")
            self._unpacker.feed(data)


@asynccontextmanager
async def running(count: int) -> AsyncIterator[list[Agent]]:
    """``count`` agents that know each other. Killed when the block ends."""
    addresses = free_addresses(2 * count)
    binds, rpcs = addresses[:count], addresses[count:]
    with ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(TemporaryDirectory(prefix="kvgossip-serf-")))
        agents: list[Agent] = []
        for index, (bind, rpc) in enumerate(zip(binds, rpcs, strict=True)):
            log = cleanup.enter_context((directory / f"{index}.log").open("wb"))
            command = ["serf", "agent", f"-node=n{index}", f"-bind={bind}", f"-rpc-addr={rpc}"]
            command += [f"-join={seed}" for seed in binds[: min(index, STARTS_AT_ONCE)]]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            cleanup.callback(process.wait)
            cleanup.callback(process.kill)
            agents.append(await _connect(rpc))
            cleanup.callback(agents[-1].close)
        deadline_s = time.monotonic() + JOIN_TIMEOUT_S
        while min([await agent.members() for agent in agents]) < count:
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{count} agents did not find each other in {JOIN_TIMEOUT_S:.0f} s")
            await asyncio.sleep(0.5)
        yield agents


async def _connect(rpc: str) -> Agent:
    host, port = rpc.split(":")
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            agent = Agent(*await asyncio.open_connection(host, int(port)))
        except ConnectionError:
            if time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(0.05)
        else:
            await agent.expect(await agent.ask("handshake", {"Version": 1}))
            return agent


async def measure(nodes: int, rate_hz: float, seconds: float) -> Figures:
    sent_ns: dict[str, int] = {}
    async with running(nodes) as agents:
        listening = [asyncio.create_task(agent.listen()) for agent in agents]
        await asyncio.sleep(nodes / 3)  # as long as kvgossip's nodes have to settle

        async def send(index: int) -> None:
            name = f"e{index}"
            sent_ns[name] = time.monotonic_ns()
            body = {"Name": name, "Payload": os.urandom(PAYLOAD_BYTES), "Coalesce": False}
            await agents[index % nodes].ask("event", body)

        await at_rate(rate_hz, seconds, send)
        await asyncio.sleep(SETTLE_S)
        for task in listening:
            if task.done():
                task.result()  # an agent that went away
            task.cancel()
        heard_ns = [agent.heard_ns for agent in agents]
    arrived = [name for name in sent_ns if all(name in heard for heard in heard_ns)]
    last_ms = [(max(heard[name] for heard in heard_ns) - sent_ns[name]) / 1e6 for name in arrived]
    return {
        "events": float(len(sent_ns)),
        "never_arrived": float(len(sent_ns) - len(arrived)),
        "spread_last_p50_ms": percentile(last_ms, 0.50),
        "spread_last_p99_ms": percentile(last_ms, 0.99),
    }
