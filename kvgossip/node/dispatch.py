"""Dispatch: a frame from a peer is decoded and handed to the machine that it concerns.

No frame does harm: one that breaks the protocol is counted and told, and so is a row that it asks for and
that cannot be read.
"""

from kvgossip.errors import CorruptRowError, RemoteError
from kvgossip.model.ids import Address
from kvgossip.node.admission import Admission
from kvgossip.node.convergence import ConvergenceChecks
from kvgossip.node.copy_watch import CopyWatch
from kvgossip.node.effects import Now
from kvgossip.node.exchanges import Exchanges
from kvgossip.node.journal import Journal
from kvgossip.node.meeting import Meeting
from kvgossip.node.merging import Merging
from kvgossip.node.traffic import Traffic
from kvgossip.node.waiters import RumorOrigin
from kvgossip.node.wall_clock import WallClock
from kvgossip.protocol.aggregation import Aggregation
from kvgossip.protocol.rumor import RumorMonger
from kvgossip.protocol.transfer import ChunkServer
from kvgossip.store.base import Store
from kvgossip.wire import codec
from kvgossip.wire import messages as m


class Dispatch:
    """Knows which machine takes which message, and when none does."""

    def __init__(
        self,
        store: Store,
        *,
        meeting: Meeting,
        rumors: RumorMonger,
        exchanges: Exchanges,
        merging: Merging,
        chunks: ChunkServer,
        checks: ConvergenceChecks,
        aggregation: Aggregation,
        copies: CopyWatch,
        admission: Admission,
        clock: WallClock,
        traffic: Traffic,
        journal: Journal,
    ) -> None:
        self._store = store
        self._meeting = meeting
        self._rumors = rumors
        self._exchanges = exchanges
        self._merging = merging
        self._chunks = chunks
        self._checks = checks
        self._aggregation = aggregation
        self._copies = copies
        self._admission = admission
        self._clock = clock
        self._traffic = traffic
        self._journal = journal

    def receive(self, sender: Address, data: bytes, now: Now) -> None:
        """A frame from the peer at ``sender``. Never raises for what is in it."""
        try:
            message, news = codec.decode_frame(data)
            self._traffic.count_received(message, len(data), is_far=self._meeting.is_far(sender))
            self._receive(sender, message, news, now)
        except RemoteError as error:
            self._journal.count("frames_refused")
            self._journal.tell("frame-refused", peer=sender, reason=str(error))
        except CorruptRowError as error:
            self._journal.tell_corrupt_row(error, peer=sender)

    def _receive(self, sender: Address, message: m.Message, news: m.MemberNews | None, now: Now) -> None:
        now_ms = now.monotonic_ms
        if isinstance(message, m.Hello):
            self._meeting.receive_hello(sender, message, now_ms)
            return
        if not self._meeting.admits(sender, message):
            return
        if self._rumors.handle_heard(sender, now.monotonic_ms):
            self._exchanges.schedule.want(sender, now_ms)
        self._exchanges.handle_heard(sender, now_ms)
        self._meeting.handle_heard(sender, now_ms)
        if news is not None:
            self._meeting.receive(sender, news, now)
        self._dispatch(sender, message, now)

    def _dispatch(self, sender: Address, message: m.Message, now: Now) -> None:
        now_ms = now.monotonic_ms
        match message:
            case m.Ping() | m.Ack() | m.PingReq() | m.Nack():
                self._meeting.receive(sender, message, now)
            case m.MemberSyn() | m.MemberAck() | m.MemberAck2() | m.MemberNews():
                self._meeting.receive(sender, message, now)
            case m.AggregatePush() | m.AggregateAnswer():
                self._aggregation.receive(sender, message, now_ms)
            case _ if self._copies.is_reissuing:
                pass  # no data until this node is sure of its dots; the sender tries again
            case m.RumorPush():
                if self._admission.can_merge():
                    origin, corrected = RumorOrigin(message.sequence), self._clock.corrected(now)
                    self._merging.begin(sender, origin, message.entries, message.offers, corrected)
            case m.RumorAnswer():
                self._rumors.handle_answer(sender, message, now_ms)
            case m.RumorPull():
                self._rumors.handle_pull(sender, now_ms)
            case m.ChunkAsk():
                self._chunks.answer(sender, message, self._store.get, now_ms)
            case m.Chunk():
                self._merging.handle_chunk(sender, message, self._clock.corrected(now))
            case m.RootAsk():
                self._checks.handle_ask(sender, message)
            case m.RootAnswer():
                self._checks.handle_answer(sender, message)
            case m.Hello():
                raise AssertionError("taken before")
            case _:
                can_merge = self._admission.can_merge()
                self._exchanges.receive(sender, message, self._clock.corrected(now), can_merge=can_merge)
