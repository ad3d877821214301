"""Opens links, dialled and accepted, so that two nodes that open at once end with exactly one.

**The rule.** The node with the lesser address decides, at the last step of the handshake that the other one
dialled: it waits a while for its own try to end, and if a link has opened since that handshake began, it
answers *duplicate*. A dialler that learns whom it has reached, and holds a link to that very process
already, turns back; so does one of two tries that dialled the same node by two names. A link that opens
although an older one is held means that the peer knows the older one is dead: it takes its place.

Why that leaves one: a link is open at the acceptor before it is open at the dialler (it opens with the
sending of WELCOME). So whoever dials a node that has a link to it learns so in time, and of two handshakes
that pass each other the lesser node ends one. If its own try takes too long for that, the second link to open
replaces the first.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from os import urandom

from kvgossip.model.ids import Address
from kvgossip.runtime.conversation import converse
from kvgossip.runtime.faults import Faults
from kvgossip.runtime.handshake import NONCE_BYTES, DuplicateLinkError, Hello, Opening
from kvgossip.runtime.link import Link
from kvgossip.runtime.websocket import OPENING_TIMEOUT_S, PeerDialler, PeerSocket

OWN_TRY_WAIT_S = 1.5
"""Who reached us waits so long for our own try to reach him: less than his frames wait for the link."""
_HANG_POLL_S = 0.1


class Openings:
    """``link_to`` finds the open link to an address; ``take`` makes one of a proven connection."""

    def __init__(
        self,
        hello: Hello,
        key: bytes,
        faults: Faults | None,
        *,
        link_to: Callable[[Address], Link | None],
        take: Callable[[PeerSocket, Hello], Link],
    ) -> None:
        self._hello = hello
        self._key = key
        self._faults = faults
        self._link_to = link_to
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._dialler = PeerDialler()
        self._claims: dict[Address, asyncio.Event] = {}
        """Whom we are dialling, by every name known for it; set when the try has ended."""
        self._proven: set[Address] = set()
        """Who proved the secret and waits for our own try to end."""

    def is_underway(self, address: Address) -> bool:
        """True if a link with ``address`` may open any moment, so that another try is needless."""
        return address in self._claims or address in self._proven

    async def dial(self, name: Address) -> Link:
        """Reach the node at ``name`` within ``OPENING_TIMEOUT_S``.

        Raises ``HandshakeError`` or one of its kinds, ``EndpointError``, ``ClientError``, ``OSError``,
        ``TimeoutError``.
        """
        claim = self._claims[name] = asyncio.Event()
        try:
            async with asyncio.timeout(OPENING_TIMEOUT_S):
                return await self._dial(name, claim)
        finally:
            self._claims = {other: held for other, held in self._claims.items() if held is not claim}
            claim.set()

    async def accept(self, sock: PeerSocket) -> Link:
        """Answer the handshake of a connection that came in. Raises as ``dial`` does."""
        started_s = self._loop.time()

        async def check(opening: Opening) -> None:
            assert opening.peer is not None
            await self._hang_while_cut(opening.peer.address)
            if opening.is_done:
                await self._give_way(opening.peer, started_s)

        opening = Opening(self._new_hello(), self._key, is_dialler=False)
        async with asyncio.timeout(OPENING_TIMEOUT_S):
            return self._take(sock, await converse(sock, opening, check))

    async def close(self) -> None:
        await self._dialler.close()

    async def _dial(self, name: Address, claim: asyncio.Event) -> Link:
        async def check(opening: Opening) -> None:
            assert opening.peer is not None
            await self._hang_while_cut(opening.peer.address)
            if not opening.is_done:
                await self._claim(opening.peer, name, claim)

        await self._hang_while_cut(name)
        sock = await self._dialler.connect(name)
        opening = Opening(self._new_hello(), self._key, is_dialler=True)
        return self._take(sock, await converse(sock, opening, check))

    async def _claim(self, theirs: Hello, name: Address, claim: asyncio.Event) -> None:
        """We know now whom we are dialling. Turn back if a link to that process is open."""
        if theirs.address != name:
            while (other := self._claims.get(theirs.address)) is not None:
                await other.wait()
            self._claims[theirs.address] = claim
        link = self._link_to(theirs.address)
        if link is not None and link.peer.instance == theirs.instance:
            raise DuplicateLinkError("a link is open already", peer=theirs.address)

    async def _give_way(self, theirs: Hello, started_s: float) -> None:
        """If the decision is ours: wait for our own try to reach that peer, and refuse if a link opened."""
        if self._hello.address > theirs.address:
            return
        self._proven.add(theirs.address)
        try:
            claim = self._claims.get(theirs.address)
            if claim is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(OWN_TRY_WAIT_S):
                        await claim.wait()
        finally:
            self._proven.discard(theirs.address)
        link = self._link_to(theirs.address)
        if link is not None and link.peer.instance == theirs.instance and link.opened_s >= started_s:
            raise DuplicateLinkError("a link is open already", peer=theirs.address)

    def _new_hello(self) -> Hello:
        return replace(self._hello, nonce=urandom(NONCE_BYTES))

    async def _hang_while_cut(self, peer: Address) -> None:
        """Injected faults: a handshake gets no answer while its peer is cut off."""
        if self._faults is None or not self._faults.cuts(peer):
            return
        self._faults.handshakes_dropped += 1
        while self._faults.cuts(peer):
            await asyncio.sleep(_HANG_POLL_S)
