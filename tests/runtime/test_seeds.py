"""Seeds are resolved again and again."""

import asyncio
import socket

import pytest

from kvgossip.node.effects import Event
from kvgossip.runtime.seeds import Seeds

Answer = list[tuple[int, int, int, str, tuple[str, int]]]


def test_a_name_with_several_addresses_is_several_seeds_and_a_lost_name_server_takes_none_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts: list[str] = []
    events: list[Event] = []

    async def getaddrinfo(host: str, port: int, **options: object) -> Answer:
        if not hosts:
            raise socket.gaierror("the name server is away")
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, 6, "", (found, port)) for found in hosts]

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        seeds = Seeds(("10.0.0.9:7701", "nodes.example:7701"), events.append)
        assert seeds.addresses() == ("10.0.0.9:7701",)
        hosts[:] = ["10.0.0.2", "10.0.0.1", "10.0.0.9", "::1"]
        await seeds.resolve()
        found = ("10.0.0.9:7701", "10.0.0.1:7701", "10.0.0.2:7701", "[::1]:7701")
        assert seeds.addresses() == found
        hosts.clear()
        for _ in range(3):
            await seeds.resolve()
        assert seeds.addresses() == found
        hosts[:] = ["10.0.0.5"]
        await seeds.resolve()
        assert seeds.addresses() == ("10.0.0.9:7701", "10.0.0.5:7701")

    asyncio.run(main())
    assert [event.name for event in events] == ["seed-unresolved", "seed-resolved"]
