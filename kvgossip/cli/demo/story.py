"""The acts of the demo, in order: start, load, cut, write on both sides, heal, resolve, prove."""

import asyncio
import json
import signal
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from kvgossip.cli.demo.apart import Side, new_key, plan_changes
from kvgossip.cli.demo.client import REQUESTS_IN_FLIGHT, Answer, DemoError, NodeClient, new_session
from kvgossip.cli.demo.corpus import find_corpus
from kvgossip.cli.demo.ledger import Ledger
from kvgossip.cli.demo.proof import compare_all
from kvgossip.cli.demo.view import Row, View, open_view
from kvgossip.cli.demo.work import for_all
from kvgossip.cli.exit_code import CommandError, ExitCode
from kvgossip.cli.local_cluster import ClusterError, LocalCluster
from kvgossip.runtime.loop import run

NODE_COUNT = 5
LOOK_PERIOD_S = 0.1
PATIENCE_S = 30.0
"""For anything that must come about by itself."""
CART = "demo/cart"
"""The mv key that both sides write."""


def tell(*, must_keep: bool) -> ExitCode:
    """Run the demo. It leaves no process and no file behind, unless ``must_keep`` and all went well."""
    try:
        run(_tell(must_keep=must_keep))
    except (DemoError, ClusterError) as error:
        raise CommandError(f"demo: {error}") from None
    except asyncio.CancelledError:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


async def _tell(*, must_keep: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    cluster = LocalCluster(NODE_COUNT, flags=("--allow-faults",))
    is_kept = False
    try:
        view = open_view()
        try:
            view.say(f"starting {NODE_COUNT} nodes in {cluster.directory}")
            cluster.start()
            async with new_session() as session:
                proved = await _Story(view, [NodeClient(session, node) for node in cluster.nodes]).tell()
        finally:
            view.close()
        view.say(proved)
        is_kept = must_keep
    finally:
        if not is_kept:
            cluster.stop()
    if is_kept:
        _print_what_to_try(cluster)


class _Story:
    def __init__(self, view: View, clients: Sequence[NodeClient]) -> None:
        self._view = view
        self._clients = clients
        self._left = Side("left", clients[:3])
        self._right = Side("right", clients[3:])
        self._rows = [Row(client.name) for client in clients]
        files, self._left_out = find_corpus()
        self._ledger = Ledger(files)

    async def tell(self) -> str:
        """The last line. Raises ``DemoError`` or ``ClusterError`` if it cannot be said."""
        await self._start()
        await self._load()
        await self._cut()
        await self._write_apart()
        await self._heal()
        await self._resolve()
        return await self._prove()

    # -- the acts

    async def _start(self) -> None:
        async def all_ready() -> bool:
            return all(await asyncio.gather(*(client.is_ready() for client in self._clients)))

        async def all_acquainted() -> bool:
            answers = [await client.json("GET", "/v1/cluster/members") for client in self._clients]
            return all(_alive_count(answer) == len(self._clients) for answer in answers)

        await _until("all nodes are ready", all_ready)
        await _until("every node knows every other", all_acquainted)
        self._view.say(f"{len(self._clients)} nodes are up and know each other")
        await self._look()

    async def _load(self) -> None:
        files = self._ledger.files
        first = self._clients[0]
        size = sum(path.stat().st_size for path in files.values())
        self._view.say(
            f"loading the standard library, {len(files):,} files, {size:,} bytes, through {first.name}"
        )
        for path in self._left_out:
            self._view.say(f"left out {path}: above a limit of a node")

        async def load(key: str) -> None:
            await first.put(key, files[key].read_bytes())

        started_s = time.monotonic()
        async with self._looking():
            await for_all(files, load, in_flight=REQUESTS_IN_FLIGHT)
            await first.put(CART, b"eggs", kind="mv")
        took_s = time.monotonic() - started_s
        self._view.say(
            f"acknowledged by {first.name} in {took_s:.1f} s, {len(files) / took_s:,.0f} files a second"
        )
        took_s = await self._wait_for_one_root(len(files) + 1)
        self._view.say(f"all of it is on all nodes, {took_s:.2f} s later")

    async def _cut(self) -> None:
        for side, other in ((self._left, self._right), (self._right, self._left)):
            names = [client.name for client in other.clients]
            for client in side.clients:
                await client.json("POST", "/v1/faults", {"drop_to": names, "drop_from": names})
        self._view.say(f"cut: {self._left} | {self._right}, each side silently drops what the other sends")

    async def _write_apart(self) -> None:
        changes = plan_changes(sorted(self._ledger.files), self._left, self._right)
        context = (await self._clients[0].get(CART, kind="mv")).headers["Kv-Context"]
        async with self._looking():
            await for_all(changes, lambda change: change.make(self._ledger), in_flight=REQUESTS_IN_FLIGHT)
            await self._left.clients[0].put(CART, b"eggs, milk", kind="mv", context=context)
            await self._right.clients[0].put(CART, b"eggs, bread", kind="mv", context=context)
        deletes = sum(change.body is None for change in changes)
        self._view.say(
            f"wrote on both sides: {len(changes) - deletes} puts, {deletes} deletes, and both to mv {CART}"
        )
        await self._look_until("each side agrees within itself and not with the other", self._are_sides_apart)
        for side, other in ((self._left, self._right), (self._right, self._left)):
            for client in side.clients:
                if (await client.get(new_key(other, 0))).status != 404:
                    raise DemoError(f"{client.name} shows a write of the other side: the cut does not cut")
        dropped = await self._dropped_count()
        if not dropped:
            raise DemoError("no frame was dropped: the cut does not cut")
        self._view.show(self._rows)
        self._view.say(f"each side agrees within itself; {dropped:,} frames were dropped")

    async def _heal(self) -> None:
        for client in self._clients:
            await client.json("DELETE", "/v1/faults")
        self._view.say("healed")
        took_s = await self._wait_for_one_root(len(self._ledger.all_keys()) + 1, period_s=0.25)

        async def is_converged() -> bool:
            return (await self._clients[0].json("GET", "/v1/cluster/check"))["converged"] is True

        await _until("/v1/cluster/check says converged", is_converged)
        self._view.say(f"converged {took_s:.2f} s after the heal; /v1/cluster/check agrees")

    async def _resolve(self) -> None:
        client = self._right.clients[-1]
        answer = await client.get(CART, kind="mv")
        values = _siblings(answer)
        if values != {b"eggs, milk", b"eggs, bread"}:
            raise DemoError(f"{client.name}: mv {CART}: siblings {values}, but each side wrote one")
        items = sorted({item for value in values for item in value.split(b", ")})
        resolved = b", ".join(items)
        await client.put(CART, resolved, kind="mv", context=answer.headers["Kv-Context"])

        async def is_everywhere() -> bool:
            answers = [await other.get(CART, kind="mv") for other in self._clients]
            return all(answer.status == 200 and answer.body == resolved for answer in answers)

        await _until(f"mv {CART} is resolved on every node", is_everywhere)
        self._view.say(
            f"mv {CART} had {len(values)} siblings; resolved to {resolved.decode()!r} on every node"
        )

    async def _prove(self) -> str:
        proof = await compare_all(self._clients, self._ledger)
        if proof.differences:
            raise DemoError(f"{len(proof.differences)} differences, the first: {proof.differences[0]}")
        keys, nodes = len(self._ledger.all_keys()), len(self._clients)
        self._view.say(
            f"read {keys:,} keys through each of {nodes} nodes: {proof.read_bytes:,} bytes,"
            f" and {proof.deleted_count:,} times a delete"
        )
        return (
            f"proved: in all {proof.read_count:,} reads the SHA-256 is that of the file on disk"
            " or of the last write"
        )

    # -- looking at the nodes

    async def _look(self, *, period_s: float = 0.0) -> None:
        self._rows[:] = await asyncio.gather(*(client.row() for client in self._clients))
        self._view.show(self._rows, period_s=period_s)

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        """Keep the table alive while something else goes on; a busy node holds up no other's row."""

        async def keep_looking(index: int, client: NodeClient) -> None:
            while True:
                self._rows[index] = await client.row()
                self._view.show(self._rows, period_s=1.0)
                await asyncio.sleep(LOOK_PERIOD_S)

        tasks = [asyncio.create_task(keep_looking(*pair)) for pair in enumerate(self._clients)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_until(self, claim: str, holds: Callable[[], bool], *, period_s: float = 1.0) -> None:
        async def look() -> bool:
            await self._look(period_s=period_s)
            return holds()

        await _until(claim, look)

    async def _wait_for_one_root(self, key_count: int, *, period_s: float = 1.0) -> float:
        """Seconds until all nodes hold the same ``key_count`` keys, deleted ones included."""
        started_s = time.monotonic()
        await self._look_until(
            f"all nodes hold the same {key_count:,} keys",
            lambda: {(row.keys, row.root) for row in self._rows} == {(key_count, self._rows[0].root)},
            period_s=period_s,
        )
        took_s = time.monotonic() - started_s
        await self._look()
        return took_s

    def _are_sides_apart(self) -> bool:
        roots = [row.root for row in self._rows]
        split = len(self._left.clients)
        left, right = set(roots[:split]), set(roots[split:])
        return len(left) == len(right) == 1 and left != right and None not in left | right

    async def _dropped_count(self) -> int:
        total = 0
        for client in self._clients:
            faults = await client.json("GET", "/v1/faults")
            counts = (faults[n] for n in ("frames_dropped_to", "frames_dropped_from"))
            total += sum(count for count in counts if isinstance(count, int))
        return total


async def _until(claim: str, holds: Callable[[], Awaitable[bool]]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not await holds():
        if time.monotonic() > deadline_s:
            raise DemoError(f"after {PATIENCE_S:.0f} s it is still not so that {claim}")
        await asyncio.sleep(LOOK_PERIOD_S)


def _alive_count(answer: dict[str, object]) -> int:
    members = answer["members"]
    assert isinstance(members, list)
    return sum(member["state"] == "alive" for member in members)


def _siblings(answer: Answer) -> set[bytes]:
    if answer.status != 300:
        return {answer.body}
    return {b64decode(sibling["value"]) for sibling in json.loads(answer.body)}


def _print_what_to_try(cluster: LocalCluster) -> None:
    first, last = cluster.nodes[0].url, cluster.nodes[-1].url
    print("The nodes keep running. Try:")
    for line in (
        f"curl {first}/v1/kv/json/decoder.py",
        f"curl -X PUT --data-binary hello {first}/v1/kv/greeting",
        f"curl -i {last}/v1/kv/greeting",
        f"curl -i {last}/v1/mv/{CART}",
        f"curl {last}/v1/cluster/check",
    ):
        print(f"  {line}")
    pids = " ".join(str(node.process.pid) for node in cluster.nodes)
    print(f"Stop them:\n  kill {pids}; rm -r {cluster.directory}")
