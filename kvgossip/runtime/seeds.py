"""Seeds are names, resolved again and again: behind one name there may be several nodes, and they may move.

What does not resolve keeps the addresses it had, so a name server that is away takes no seed away.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence

from kvgossip.model.ids import Address
from kvgossip.node.effects import Event
from kvgossip.runtime.endpoint import Endpoint

RESOLVE_TIMEOUT_S = 5.0
ADDRESSES_A_NAME_MAX = 64


class Seeds:
    """The seed addresses of a node, as they were last resolved."""

    def __init__(self, names: Sequence[str], handle_event: Callable[[Event], None]) -> None:
        self._endpoints = [Endpoint.parse(name) for name in names]
        self._handle_event = handle_event
        self._found: dict[Endpoint, list[Address]] = {
            endpoint: [endpoint.address] for endpoint in self._endpoints if endpoint.is_numeric
        }
        self._unresolved: set[Endpoint] = set()

    def addresses(self) -> tuple[Address, ...]:
        """All addresses of all names, each once, in the order given."""
        found = (address for endpoint in self._endpoints for address in self._found.get(endpoint, ()))
        return tuple(dict.fromkeys(found))

    async def resolve(self) -> None:
        """Ask for all names anew, at once. Takes ``RESOLVE_TIMEOUT_S`` at most."""
        names = [endpoint for endpoint in self._endpoints if not endpoint.is_numeric]
        await asyncio.gather(*(self._resolve(endpoint) for endpoint in names))

    async def _resolve(self, endpoint: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                answers = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            if endpoint not in self._unresolved:
                self._unresolved.add(endpoint)
                reason = str(error) or "the name server did not answer in time"
                self._handle_event(Event("seed-unresolved", {"seed": str(endpoint), "reason": reason}))
            return
        hosts = sorted({str(place[0]) for *_, place in answers})[:ADDRESSES_A_NAME_MAX]
        self._found[endpoint] = [Endpoint(host, endpoint.port).address for host in hosts]
        if endpoint in self._unresolved:
            self._unresolved.discard(endpoint)
            self._handle_event(Event("seed-resolved", {"seed": str(endpoint)}))
