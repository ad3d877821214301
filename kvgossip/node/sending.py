"""Sending: the last step of a message, from the outbox of the machines to the bytes of a ``Send``."""

from dataclasses import replace

from kvgossip.config import STAMP_MS_MAX
from kvgossip.node.effects import Now, Send
from kvgossip.node.journal import Journal
from kvgossip.node.myself import Myself
from kvgossip.node.peers import MEMBER_TABLE_MESSAGES, WITHOUT_WORD, Peers
from kvgossip.node.traffic import Traffic
from kvgossip.protocol.outbox import Outbox
from kvgossip.wire import codec
from kvgossip.wire import messages as m

_BULK = (m.RumorPush, m.Compared, m.Fetched, m.Give, m.Chunk)


class Sending:
    """Drains the outbox. What must not leave yet is held by ``Peers``."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        peers: Peers,
        me: Myself,
        traffic: Traffic,
        journal: Journal,
        news_bytes_max: int,
    ) -> None:
        self._outbox = outbox
        self._peers = peers
        self._me = me
        self._traffic = traffic
        self._journal = journal
        self._news_bytes_max = news_bytes_max

    def send_all(self, now: Now) -> None:
        for to, message in self._outbox.take():
            for ready in self._peers.outgoing(to, message, self._me.known()):
                if not isinstance(ready, WITHOUT_WORD):
                    self._me.note_told()
                if isinstance(ready, m.Ping | m.Ack):
                    ready = replace(ready, wall_ms=min(now.wall_ms, STAMP_MS_MAX))
                data = codec.encode(ready, self._news_beside(ready))
                self._traffic.count_sent(ready, len(data), is_far=self._peers.is_far(to))
                self._journal.add(Send(to, data, isinstance(ready, _BULK)))

    def _news_beside(self, message: m.Message) -> m.MemberNews | None:
        """What rides along: news of members, but for messages that are about members anyway."""
        if isinstance(message, (m.Hello, *MEMBER_TABLE_MESSAGES)):
            return None
        return self._peers.membership.take_news(self._news_bytes_max)
