"""The engine's timer: a loop that was held reads its sockets before the replica acts on what did not come."""

import asyncio
import io
import socket
import time
from collections.abc import Callable, Coroutine
from typing import cast

import pytest

from kvgossip.model.ids import Address
from kvgossip.node.effects import Effect, Now
from kvgossip.node.replica import Replica
from kvgossip.runtime import engine as engine_module
from kvgossip.runtime.engine import HELD_S, Engine
from kvgossip.runtime.log import Log
from kvgossip.runtime.loop import run
from kvgossip.runtime.measures import Measures
from kvgossip.store.memory import MemoryStore
from tests.runtime.peers import until


class Listener:
    """What the engine needs of a replica, with one deadline; it writes down what comes in which order."""

    def __init__(self, due_ms: int) -> None:
        self.heard: list[str] = []
        self._due_ms = due_ms

    def next_deadline_ms(self) -> int | None:
        return None if "timer" in self.heard else self._due_ms

    def take_effects(self) -> list[Effect]:
        return []

    def receive(self, sender: Address, data: bytes, now: Now) -> None:
        self.heard.append(data.decode())

    def handle_late(self, now: Now) -> None:
        self.heard.append("late")

    def handle_timer(self, now: Now) -> None:
        self.heard.append("timer")


@pytest.mark.parametrize("run", [run, asyncio.run])
@pytest.mark.parametrize(
    ("due_s", "held_s", "heard"),
    [
        (0.02, 3 * HELD_S, ["late", "frame", "timer"]),
        (0.02, 0.0, ["timer"]),
        (-1_000.0, 0.0, ["timer"]),  # what was due long ago when it was planned is not late
    ],
)
def test_what_came_while_the_loop_was_held_is_read_before_the_timer_is_told(
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[Coroutine[None, None, None]], None],
    due_s: float,
    held_s: float,
    heard: list[str],
) -> None:
    if not held_s:  # nor does a busy machine hold it for so long
        monkeypatch.setattr(engine_module, "HELD_S", 10.0)

    async def main() -> None:
        replica = Listener(due_ms=int((time.monotonic() + due_s) * 1_000))
        engine = Engine(
            cast(Replica, replica),
            MemoryStore(0),
            Log(node="n1", cluster="test", stream=io.StringIO()),
            None,
            Measures(),
            lambda event: None,
            gathered_bytes_max=1,
        )
        near, far = socket.socketpair()

        def read() -> None:  # a WebSocket's reader is woken by what the loop has read, one turn later
            time.sleep(0.02)  # it is not alone
            engine._loop.call_soon(engine.receive, Address("peer"), near.recv(100))

        with near, far:
            engine._loop.add_reader(near, read)
            engine._set_timer()
            if held_s:
                time.sleep(held_s)
                far.send(b"frame")
            await until(lambda: "timer" in replica.heard)
            engine._loop.remove_reader(near)
        assert replica.heard == heard
        await engine.stop(1.0)

    run(main())
