"""A cluster is cut, clients write on both sides, the cut heals: when do all nodes agree, and at what cost.

t = 0 is the moment at which healing begins. *Converged*: all nodes have the same root, and each answers every
key that differed with the join of all acknowledged writes. Clients read from every node at a fixed open-loop
rate all the time; a read or write that fails or is refused is a client error. Residue is the share of what
the nodes lacked at t = 0 that cannot be read there yet, from the nodes' traces. Traffic is the payload of all
messages between nodes, membership's own included, from the heal to converged.
"""

import argparse
import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench import differences
from bench.differences import Differences, Operation
from bench.environment import Figures, Series, percentile, write_points, write_result
from bench.http_load import Connection, at_rate, connections, load_keys
from bench.testbed import MODES, Testbed, start_testbed
from kvgossip.model.dot import Dot

TARGETS = {"converged_s": 3.0, "client_errors": 0.0}
TARGET_OF_MANY = {"payload_ratio": 2.0}
"""Where thousands of entries differ: what few cost is mostly membership and the rumors still told."""
MANY = 1_000
RATE_HZ_MAX = 1_000.0
READS_HZ = 100.0
READ_TURN_S = 0.25
CONNECTIONS_A_NODE = 8
IDLE_S_MAX = 5.0
CONVERGE_TIMEOUT_S = 300.0
POLL_S = 0.05
SAMPLE_S = 0.5
AFTER_S = 2.0
RESIDUE_POINTS = 60

SWEEPS: dict[str, list[dict[str, Any]]] = {
    "nodes": [{"nodes": nodes} for nodes in (3, 5, 9, 15)],
    "divergence": [{"divergence": share} for share in (0.001, 0.01, 0.1, 0.3, 1.0)],
    "keys": [{"keys": keys, "divergence": 1_000 / keys} for keys in (1_000, 10_000, 100_000, 1_000_000)],
    "rumors": [{"has_rumors": has_rumors} for has_rumors in (True, False)],
}
"""What each sweep changes in the setting. Over the keys, 1,000 of them differ each time."""

Claim = Callable[[], Awaitable[bool]]
Messages = list[dict[tuple[str, str], float]]
"""Of each node: (``bytes`` of payload or ``messages`` sent, kind) → how many so far."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one run does. ``divergence`` is the share of keys that come to differ."""

    mode: str
    nodes: int
    keys: int
    divergence: float
    partition_s: float
    has_rumors: bool = True


@dataclass(slots=True)
class Clients:
    """Latencies in ms from the intended moment of each request, and what went wrong."""

    read_ms: list[float] = field(default_factory=list)
    write_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench partition")
    parser.add_argument("--mode", choices=MODES, default="loopback")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--divergence", type=float, default=0.1, help="share of keys that come to differ")
    parser.add_argument("--partition", type=float, default=10.0, help="seconds; longer if the writes need it")
    parser.add_argument("--without-rumors", action="store_true", help="anti-entropy alone")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sweep", choices=SWEEPS, help="several settings instead of one")
    parser.add_argument("--name", default="partition", help="of the result")
    options = parser.parse_args(arguments)
    setting = Setting(
        options.mode,
        options.nodes,
        options.keys,
        options.divergence,
        options.partition,
        not options.without_rumors,
    )
    if options.sweep:
        swept = [replace(setting, **changes) for changes in SWEEPS[options.sweep]]
        write_points(options.name, [(vars_of(each), measure_runs(each, options.runs)[0]) for each in swept])
    else:
        runs, series = measure_runs(setting, options.runs)
        has_many = setting.keys * setting.divergence >= MANY
        targets = TARGETS | (TARGET_OF_MANY if has_many else {})
        write_result(options.name, vars_of(setting), runs, targets, series)


def measure_runs(setting: Setting, count: int) -> tuple[list[Figures], Series]:
    """Figures of each run, and the curves of the last one."""
    runs = []
    series: Series = {}
    for seed in range(1, count + 1):
        figures, series = asyncio.run(measure(setting, Random(seed)))
        runs.append(figures)
        print(
            f"run {seed}: converged {figures['converged_s']:.2f} s, x{figures['payload_ratio']:.2f}",
            flush=True,
        )
    return runs, series


def vars_of(setting: Setting) -> dict[str, object]:
    return {name: getattr(setting, name) for name in Setting.__slots__} | {
        "value_bytes": 100,
        "seeds": "from 1",
    }


async def measure(setting: Setting, rng: Random) -> tuple[Figures, Series]:
    module = "kvgossip" if setting.has_rumors else "bench.without_rumors"
    with start_testbed(setting.mode, setting.nodes, module=module) as bed:
        return await _Run(setting, bed, rng).run()


class _Run:
    """One cluster from its start to its end. Nodes of side 0 come first."""

    def __init__(self, setting: Setting, bed: Testbed, rng: Random) -> None:
        self._setting = setting
        self._bed = bed
        self._rng = rng
        half = setting.nodes // 2
        self._sides = (list(range(half)), list(range(half, setting.nodes)))
        self._differences = Differences()
        self._clients = Clients()
        self._traffic: list[tuple[float, float]] = []
        """(monotonic seconds, payload bytes a node sent so far)"""
        self._is_over = False

    async def run(self) -> tuple[Figures, Series]:
        bed, setting, rng = self._bed, self._setting, self._rng
        names = [f"partition/{index:09d}" for index in range(setting.keys)]
        operations = differences.draw_operations(names, setting.divergence, rng)
        await self._wait(self._all_alive, "all nodes know each other")
        await load_keys(bed.apis[0], names, lambda _: rng.randbytes(differences.VALUE_BYTES))
        await self._wait(self._agree, "the loaded keys are everywhere")
        background = [asyncio.create_task(self._read_always(names)), asyncio.create_task(self._sample())]
        await asyncio.sleep(AFTER_S)
        cut_at_s = time.monotonic()
        await asyncio.to_thread(bed.cut, self._sides[0])
        await self._write(operations)
        await self._wait(self._sides_agree, "each side agrees within itself")
        before = await self._messages()
        healed_at_s = time.monotonic()
        healing = asyncio.create_task(asyncio.to_thread(bed.heal))
        members = asyncio.create_task(self._wait(self._all_alive, "all alive after the heal"))
        await self._wait(self._agree, "converged after the heal")
        converged_s = time.monotonic() - healed_at_s
        after = await self._messages()
        await healing
        members_at_s = await members
        await asyncio.sleep(AFTER_S)  # the traces are flushed every second
        self._is_over = True
        await asyncio.gather(*background)
        joined = self._differences.joined()
        wrong = await asyncio.gather(
            *[asyncio.to_thread(differences.count_wrong, api, joined) for api in bed.apis]
        )
        arrivals_s = self._arrivals_s(healed_at_s)
        figures = {
            "differing": float(len(joined)),
            "wrong": float(sum(wrong)),
            "converged_s": converged_s,
            "t_50_s": percentile(arrivals_s, 0.50),
            "t_99_s": percentile(arrivals_s, 0.99),
            "t_last_s": arrivals_s[-1],
            "members_healed_s": members_at_s - healed_at_s,
            **self._cost(before, after),
            **self._experience(),
        }
        if sum(wrong):
            raise RuntimeError(f"the nodes agree on something else than the join of all writes: {figures}")
        return figures, self._series(arrivals_s, cut_at_s, healed_at_s, converged_s)

    # -- clients

    async def _write(self, operations: list[Operation]) -> None:
        rate_hz = min(RATE_HZ_MAX, len(operations) / self._setting.partition_s)
        apis = [[self._bed.apis[node] for node in side] for side in self._sides]
        pools = [_Pool(addresses * CONNECTIONS_A_NODE) for addresses in apis]

        async def write(index: int) -> None:
            operation = operations[index]
            intended_s = time.monotonic()
            async with pools[operation.side].lend() as connection:
                answer = await differences.perform(connection, operation)
            self._clients.write_ms.append((time.monotonic() - intended_s) * 1e3)
            if answer.status in (201, 204):
                self._differences.note(operation, answer)
            else:
                self._clients.errors[str(answer.status)] += 1

        await at_rate(rate_hz, len(operations) / rate_hz + 1e-6, write)
        for pool in pools:
            await pool.close()

    async def _read_always(self, names: list[str]) -> None:
        pools = [_Pool([address] * 2) for address in self._bed.apis]

        async def read(index: int) -> None:
            intended_s = time.monotonic()
            try:
                async with pools[self._rng.randrange(len(pools))].lend() as connection:
                    answer = await connection.get(names[self._rng.randrange(len(names))])
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self._clients.errors[type(error).__name__] += 1
                return
            self._clients.read_ms.append((time.monotonic() - intended_s) * 1e3)
            if answer.status not in (200, 404):
                self._clients.errors[str(answer.status)] += 1

        while not self._is_over:
            await at_rate(READS_HZ, READ_TURN_S, read)
        for pool in pools:
            await pool.close()

    # -- what the nodes say

    async def _wait(self, claim: Claim, what: str) -> float:
        """The monotonic second at which ``claim`` held."""
        deadline_s = time.monotonic() + CONVERGE_TIMEOUT_S
        while not await claim():
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{what}: not within {CONVERGE_TIMEOUT_S:.0f} s")
            await asyncio.sleep(POLL_S)
        return time.monotonic()

    async def _agree(self) -> bool:
        return len(set(await self._roots())) == 1

    async def _sides_agree(self) -> bool:
        roots = await self._roots()
        return all(len({roots[node] for node in side}) == 1 for side in self._sides)

    async def _roots(self) -> list[object]:
        return [json.loads(body)["root"] for body in await self._ask_all(b"/v1/status")]

    async def _all_alive(self) -> bool:
        for body in await self._ask_all(b"/v1/cluster/members"):
            states = [member["state"] for member in json.loads(body)["members"]]
            if states != ["alive"] * self._setting.nodes:
                return False
        return True

    async def _messages(self) -> Messages:
        wanted = {"kvgossip_peer_bytes": "bytes", "kvgossip_peer_messages": "messages"}
        return [
            {
                (wanted[family.name], sample.labels["kind"]): sample.value
                for family in text_string_to_metric_families(_lines_with("kvgossip_peer_", body))
                if family.name in wanted
                for sample in family.samples
                if sample.labels.get("direction") == "sent" and sample.name.endswith("_total")
            }
            for body in await self._ask_all(b"/metrics")
        ]

    async def _ask_all(self, target: bytes) -> list[bytes]:
        async with connections(self._bed.apis) as opened:
            return [
                answer.body for answer in await asyncio.gather(*[c.request(b"GET", target) for c in opened])
            ]

    async def _sample(self) -> None:
        while not self._is_over:
            sent = [
                count
                for node in await self._messages()
                for (what, _), count in node.items()
                if what == "bytes"
            ]
            self._traffic.append((time.monotonic(), sum(sent) / self._setting.nodes))
            await asyncio.sleep(SAMPLE_S)

    # -- figures

    def _arrivals_s(self, healed_at_s: float) -> list[float]:
        """Seconds from the heal to each of what the nodes lacked, ascending."""
        arrivals = []
        for side, nodes in enumerate(self._sides):
            lacked = {dot for entry in self._differences.lacked(side).values() for dot in entry.dots()}
            for node in nodes:
                seen = _first_visible_s(self._bed.trace(node), lacked)
                if len(seen) != len(lacked):
                    raise RuntimeError(
                        f"a node agrees, and {len(lacked) - len(seen)} writes are not in its trace"
                    )
                arrivals += [visible_s - healed_at_s for visible_s in seen.values()]
        return sorted(arrivals)

    def _cost(self, before: Messages, after: Messages) -> Figures:
        spent: defaultdict[tuple[str, str], float] = defaultdict(float)
        for first, last in zip(before, after, strict=True):
            for kind, count in last.items():
                spent[kind] += count - first.get(kind, 0.0)
        lacked_bytes = sum(
            len(nodes) * differences.encoded_bytes(self._differences.lacked(side))
            for side, nodes in enumerate(self._sides)
        )
        sent_bytes = sum(count for (what, _), count in spent.items() if what == "bytes")
        by_kind = {
            f"{what}_{kind}_a_node": count / len(after)
            for (what, kind), count in sorted(spent.items())
            if count
        }
        return {
            "lacked_bytes": float(lacked_bytes),
            "payload_bytes": sent_bytes,
            "payload_ratio": sent_bytes / lacked_bytes,
            **by_kind,
        }

    def _experience(self) -> Figures:
        clients = self._clients
        if clients.errors:
            print(f"client errors: {dict(clients.errors)}")
        return {
            "reads": float(len(clients.read_ms)),
            "read_p50_ms": percentile(clients.read_ms, 0.50),
            "read_p99_ms": percentile(clients.read_ms, 0.99),
            "writes": float(len(clients.write_ms)),
            "write_p50_ms": percentile(clients.write_ms, 0.50),
            "write_p99_ms": percentile(clients.write_ms, 0.99),
            "client_errors": float(clients.errors.total()),
        }

    def _series(
        self, arrivals_s: list[float], cut_at_s: float, healed_at_s: float, converged_s: float
    ) -> Series:
        count = len(arrivals_s)
        picked = sorted({round(at * (count - 1) / RESIDUE_POINTS) for at in range(RESIDUE_POINTS + 1)})
        return {
            "residue": [[round(arrivals_s[at], 4), 1 - (at + 1) / count] for at in picked],
            "bytes_a_node": [[round(at_s - healed_at_s, 3), sent] for at_s, sent in self._traffic],
            "cut": [[cut_at_s - healed_at_s, 0.0], [converged_s, 0.0]],
        }


class _Pool:
    """Connections to some nodes, lent out in turn; one that was idle for long is opened anew."""

    def __init__(self, addresses: list[str]) -> None:
        self._idle: asyncio.Queue[tuple[str, Connection | None, float]] = asyncio.Queue()
        for address in addresses:
            self._idle.put_nowait((address, None, 0.0))

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        address, connection, used_s = await self._idle.get()
        try:
            if connection is not None and time.monotonic() - used_s > IDLE_S_MAX:
                await connection.close()
                connection = None
            if connection is None:
                connection = await Connection.open(address)
            yield connection
        finally:
            self._idle.put_nowait((address, connection, time.monotonic()))

    async def close(self) -> None:
        while not self._idle.empty():
            _, connection, _ = self._idle.get_nowait()
            if connection is not None:
                await connection.close()


def _lines_with(name: str, page: bytes) -> str:
    """The lines of a page of metrics that are of interest: to parse all of them is much work."""
    return "".join(line for line in page.decode().splitlines(keepends=True) if name in line)


def _first_visible_s(trace: str, wanted: set[Dot]) -> dict[Dot, float]:
    """Monotonic seconds at which each of ``wanted`` that is in the trace was first readable."""
    seen: dict[Dot, float] = {}
    names = {str(dot): dot for dot in wanted}
    for line in trace.splitlines():
        text, _, visible_ns = line.partition(" ")
        dot = names.get(text)
        if dot is not None and visible_ns:
            seen.setdefault(dot, int(visible_ns) / 1e9)
    return seen
