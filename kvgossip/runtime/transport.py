"""Carries frames between this node and its peers, by the address that each advertises.

One link a pair, opened on demand by a send, kept while it is used, and named by every address it was
dialled by; ``openings.py`` sees to it that exactly one opens. A peer that does not answer is tried again and
again while it is wanted, at most once a second. Frames wait two seconds for a link; then they are dropped and
reported until it is reached, as is what overflows a queue: anti-entropy mends both.

Everything here runs on one event loop. ``Handlers`` are called from it, never from inside ``send``.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass
from random import Random

from aiohttp import ClientError

from kvgossip.model.ids import Address
from kvgossip.node.effects import Event
from kvgossip.runtime.endpoint import EndpointError
from kvgossip.runtime.faults import Faults
from kvgossip.runtime.handshake import DuplicateLinkError, HandshakeError, Hello, SelfReachedError
from kvgossip.runtime.lateness import Lateness
from kvgossip.runtime.link import Link, LinkCounters
from kvgossip.runtime.openings import Openings
from kvgossip.runtime.peer import REFUSED_RETRY_S, RETRY_S, WANTED_S, DialBudget, Peer
from kvgossip.runtime.send_queue import ByteBudget, SendQueue
from kvgossip.runtime.websocket import PeerListener, PeerSocket

PEERS_MAX = 4_096
REFUSALS_REMEMBERED_MAX = 256
FLUSH_TIMEOUT_S = 1.0
_TICK_S = 0.1
CALM_TICK_S = 0.5
"""While every link is answered, or acknowledged, and every peer has one: an idle node wakes up seldom."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """Whom the transport tells. None of them may raise."""

    receive: Callable[[Address, bytes], None]
    handle_connected: Callable[[Address], None]
    handle_send_failed: Callable[[Address], None]
    handle_event: Callable[[Event], None]


class Transport:
    """See the module. ``hello`` says who this node is; its nonce is drawn anew for each connection."""

    def __init__(
        self, hello: Hello, key: bytes, handlers: Handlers, *, rng: Random, faults: Faults | None = None
    ) -> None:
        self._handlers = handlers
        self._rng = rng
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._peers: dict[Address, Peer] = {}
        self._aliases: dict[Address, Address] = {}
        self._own: set[Address] = {hello.address}
        self._refusals: dict[str, str] = {}
        self._failed: dict[Address, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = ByteBudget()
        self._lateness = Lateness()
        self._budget = DialBudget(self._loop.time(), self._lateness)
        self._openings = Openings(hello, key, faults, link_to=self._link_to, take=self._take)
        self._listener = PeerListener(self._accept)
        self._tick_due_s = self._loop.time()
        self._tick_handle: asyncio.TimerHandle | None = None
        self._link_counters = LinkCounters()
        self._frames_dropped = 0
        self._dials = 0
        self._is_stopping = False

    async def start(self, sock: socket.socket) -> None:
        """Take connections from ``sock``, a listening one, and begin to dial."""
        await self._listener.start(sock)
        self._tick()

    async def stop(self) -> None:
        """Send what is queued, for ``FLUSH_TIMEOUT_S`` at most, and close all links."""
        self._is_stopping = True
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                while any(peer.link is not None and peer.queue for peer in self._peers.values()):
                    await asyncio.sleep(0.01)
        links = [peer.link for peer in self._peers.values() if peer.link is not None]
        await asyncio.gather(*(link.close() for link in links))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._openings.close()
        await self._listener.stop()

    def send(self, to: Address, data: bytes, *, is_bulk: bool) -> None:
        """Queue a frame for ``to``, at most once, in order within its lane. Never blocks."""
        now_s = self._loop.time()
        peer = self._find_peer(to)
        if peer is None:
            self._drop(to)
            return
        peer.wanted_until_s = now_s + WANTED_S
        if self._faults is not None and self._faults.drops_to(peer.address):
            if peer.link is not None:
                peer.link.note_written()
        elif (peer.link is None and peer.has_failed) or not peer.queue.push(data, is_bulk=is_bulk):
            self._drop(to)
        elif peer.link is not None:
            peer.link.wake()
        else:
            if peer.waiting_since_s is None:
                peer.waiting_since_s = now_s
            self._dial_if_due(peer, now_s)

    def is_own(self, address: Address) -> bool:
        """True if ``address`` is known to lead to this very process."""
        return address in self._own

    def linked(self) -> list[Address]:
        """The peers with an open link, by the address that they advertise."""
        return [peer.address for peer in self._peers.values() if peer.link is not None]

    @property
    def has_queued(self) -> bool:
        """True if a frame waits for a link that is open or being opened."""
        return any(peer.queue and (peer.link or peer.is_dialling) for peer in self._peers.values())

    def round_trips_s(self) -> dict[Address, float]:
        """Of each open link, where the platform tells it."""
        links = [peer.link for peer in self._peers.values() if peer.link is not None]
        told = {link.peer.address: link.round_trip_s for link in links}
        return {address: round_trip_s for address, round_trip_s in told.items() if round_trip_s is not None}

    def counters(self) -> dict[str, int]:
        """Totals since the start, by stable names."""
        return {
            **asdict(self._link_counters),
            "frames_dropped": self._frames_dropped,
            "dials": self._dials,
            "openings_failed": self._listener.openings_failed,
        }

    # -- peers

    def _find_peer(self, name: Address) -> Peer | None:
        """The peer of an address, made if need be; None if it is ourselves or there are too many."""
        address = self._aliases.get(name, name)
        peer = self._peers.get(address)
        if peer is None and address not in self._own and len(self._peers) < PEERS_MAX:
            peer = Peer(address, SendQueue(self._bytes), next_try_s=self._loop.time())
            self._peers[address] = peer
            self._hurry_tick()
        return peer

    def _names(self, peer: Peer) -> list[Address]:
        """Every address that stands for ``peer``."""
        return [peer.address, *(name for name, address in self._aliases.items() if address == peer.address)]

    def _drop(self, to: Address) -> None:
        self._frames_dropped += 1
        self._report_failure(to)

    def _report_failure(self, to: Address) -> None:
        # Not at once: the caller may be in the middle of its effects, and one report a turn is enough.
        if not self._failed:
            self._loop.call_soon(self._report_failures)
        self._failed[to] = None

    def _report_failures(self) -> None:
        failed, self._failed = self._failed, {}
        for to in failed:
            self._handlers.handle_send_failed(to)

    def _tick(self) -> None:
        """Look after links, dial who is due, forget who is not wanted."""
        now_s = self._loop.time()
        stall_s = now_s - self._tick_due_s
        self._lateness.note(stall_s)
        for peer in sorted(self._peers.values(), key=lambda peer: peer.next_try_s):
            if peer.link is not None:
                peer.link.excuse(max(stall_s, 0))
                if peer.link.check_alive(now_s) and peer.link.is_idle(now_s):
                    self._spawn(peer.link.close())
            elif peer.has_waited_enough(now_s, self._lateness.seconds):
                self._fail(peer, "peer-unreachable", "it could not be reached in time; it is tried on")
            elif peer.is_wanted(now_s):
                self._dial_if_due(peer, now_s)
            elif not peer.is_dialling:
                del self._peers[peer.address]
        is_calm = all(p.link is not None and not p.link.is_in_doubt for p in self._peers.values())
        self._plan_tick(now_s + (CALM_TICK_S if is_calm else _TICK_S))

    def _plan_tick(self, due_s: float) -> None:
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        self._tick_due_s = due_s
        self._tick_handle = self._loop.call_at(due_s, self._tick)

    def _hurry_tick(self) -> None:
        """Something needs a look soon."""
        soon_s = self._loop.time() + _TICK_S
        if not self._is_stopping and self._tick_handle is not None and soon_s < self._tick_due_s:
            self._plan_tick(soon_s)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- dialling

    def _dial_if_due(self, peer: Peer, now_s: float) -> None:
        if self._is_stopping or self._openings.is_underway(peer.address) or not peer.is_due(now_s):
            return
        if self._budget.take(now_s):
            self._dials += 1
            peer.is_dialling = True
            self._spawn(self._dial(peer))

    async def _dial(self, peer: Peer) -> None:
        """Try once to open a link, and run it."""
        started_s = self._loop.time()
        link = None
        try:
            link = await self._openings.dial(peer.address)
            if link.peer.address != peer.address:
                self._add_alias(peer.address, self._peers[link.peer.address])
        except DuplicateLinkError as error:
            self._settle_duplicate(peer, error.peer, started_s)
        except SelfReachedError:
            self._disown(peer)
        except HandshakeError as error:
            self._give_up_try(peer, started_s, REFUSED_RETRY_S, "peer-refused", _explain(error))
        except (ClientError, OSError, TimeoutError, EndpointError, ValueError) as error:
            reason = str(error) or "it did not answer in time"
            self._give_up_try(peer, started_s, RETRY_S, "peer-unreachable", reason)
        finally:
            peer.is_dialling = False
        if link is not None:
            await self._run(link)

    def _settle_duplicate(self, peer: Peer, advertised: Address | None, started_s: float) -> None:
        """The try was needless: another link carries what waits."""
        reached = self._peers.get(advertised) if advertised is not None else None
        if reached is None or reached.link is None:  # by now it is gone
            peer.plan_try(self._rng, since_s=started_s, pause_s=RETRY_S)
        elif reached is not peer:
            self._add_alias(peer.address, reached)

    def _disown(self, peer: Peer) -> None:
        """The address is our own: never again."""
        self._own.add(peer.address)
        self._drop_queue(peer)
        self._peers.pop(peer.address, None)
        self._tell("peer-is-self", peer.address, "the address leads to this node itself")

    def _give_up_try(self, peer: Peer, started_s: float, pause_s: float, name: str, reason: str) -> None:
        if peer.link is not None:
            return  # meanwhile the peer reached us
        peer.plan_try(self._rng, since_s=started_s, pause_s=pause_s)
        self._fail(peer, name, reason)

    def _fail(self, peer: Peer, name: str, reason: str) -> None:
        """From now on frames for ``peer`` are dropped, until it is reached."""
        peer.has_failed = True
        self._drop_queue(peer)
        # An unreachable peer fails now in this way, now in that: it is told once.
        trouble = name if name == "peer-unreachable" else reason
        if peer.trouble != trouble:
            peer.trouble = trouble
            self._tell(name, peer.address, reason)

    def _drop_queue(self, peer: Peer) -> None:
        peer.waiting_since_s = None
        dropped = peer.queue.clear()
        if dropped:
            self._frames_dropped += dropped
            for name in self._names(peer):
                self._report_failure(name)

    # -- accepting

    async def _accept(self, sock: PeerSocket, remote: str, mark_open: Callable[[], None]) -> None:
        """Open and run the link of a connection that came in; ``remote`` is where it came from."""
        try:
            link = await self._openings.accept(sock)
        except HandshakeError as error:
            if not isinstance(error, DuplicateLinkError) and error.peer not in self._own:
                self._note_refusal(error.peer or remote, error)
        except (ClientError, OSError, TimeoutError):
            pass  # the listener counts it
        else:
            mark_open()
            self._refusals.pop(remote, None)
            await self._run(link)

    def _note_refusal(self, who: str, error: HandshakeError) -> None:
        """Tell the log, unless it knows."""
        if self._refusals.pop(who, None) != error.reason:
            self._tell("peer-refused", who, _explain(error))
        self._refusals[who] = error.reason
        if len(self._refusals) > REFUSALS_REMEMBERED_MAX:
            del self._refusals[next(iter(self._refusals))]

    # -- links

    def _link_to(self, address: Address) -> Link | None:
        peer = self._peers.get(address)
        return peer.link if peer is not None else None

    def _take(self, sock: PeerSocket, theirs: Hello) -> Link:
        """Make a link of a proven connection, in place of any older one of that address."""
        peer = self._find_peer(theirs.address)
        if peer is None:
            sock.abort()
            raise HandshakeError(f"there is no room: at most {PEERS_MAX} peers", peer=theirs.address)
        if peer.link is not None:
            peer.link.abort()
        peer.link = Link(
            sock,
            theirs,
            peer.queue,
            receive=self._receive,
            faults=self._faults,
            counters=self._link_counters,
            now_s=self._loop.time(),
        )
        peer.has_failed = False
        peer.waiting_since_s = None
        self._refusals.pop(theirs.address, None)
        if peer.trouble:
            peer.trouble = ""
            self._tell("peer-reached", peer.address, "a link is open again")
        self._handlers.handle_connected(peer.address)
        return peer.link

    def _add_alias(self, name: Address, peer: Peer) -> None:
        """Let ``name``, by which we dialled, stand for ``peer`` while its link is open."""
        dialled = self._peers.pop(name, None)
        if dialled is not None:
            self._frames_dropped += peer.queue.take_over(dialled.queue)
            peer.wanted_until_s = max(peer.wanted_until_s, dialled.wanted_until_s)
            if dialled.trouble:
                self._tell("peer-reached", name, f"a link to it is open, as {peer.address}")
        self._aliases[name] = peer.address
        self._handlers.handle_connected(name)
        if peer.link is not None:
            peer.link.wake()

    def _receive(self, link: Link, data: bytes) -> None:
        self._handlers.receive(link.peer.address, data)

    async def _run(self, link: Link) -> None:
        try:
            await link.run()
        finally:
            self._note_closed(link)

    def _note_closed(self, link: Link) -> None:
        peer = self._peers.get(link.peer.address)
        if peer is None or peer.link is not link:
            return  # another one took its place
        names = self._names(peer)
        peer.link = None
        for name in names[1:]:
            del self._aliases[name]
        self._hurry_tick()
        # At once, but not in a circle with a peer that hangs up on us.
        peer.next_try_s = max(self._loop.time(), link.opened_s + RETRY_S)
        if link.is_lost and (link.is_unanswered or peer.queue):
            peer.has_failed = link.is_unanswered
            self._frames_dropped += peer.queue.clear()
            for name in names:
                self._report_failure(name)
        elif peer.queue:
            peer.waiting_since_s = self._loop.time()

    def _tell(self, name: str, peer: str, reason: str) -> None:
        self._handlers.handle_event(Event(name, {"peer": peer, "reason": reason}))


def _explain(error: HandshakeError) -> str:
    whose = "refused by the peer" if error.is_said_by_peer else "refused by this node"
    return f"{whose}: {error.reason}"
