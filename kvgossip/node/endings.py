"""Endings: what waited for the disk is durable, and whoever waits for it is told.

Clients get the answer to their ticket; the origin of a merge job gets its feedback, and what was news becomes
hot, unless an exchange brought so much of it that others get it the same way.
"""

from kvgossip.errors import CorruptRowError
from kvgossip.node.effects import Done
from kvgossip.node.exchanges import Exchanges
from kvgossip.node.journal import Journal
from kvgossip.node.staging import Staged
from kvgossip.node.waiters import FetchOrigin, GiveOrigin, MergeJob, RumorOrigin
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.rumor import RumorMonger
from kvgossip.wire import messages as m


class Endings:
    """Tells whoever waits."""

    def __init__(
        self, *, rumors: RumorMonger, exchanges: Exchanges, outbox: Outbox, journal: Journal
    ) -> None:
        self._rumors = rumors
        self._exchanges = exchanges
        self._outbox = outbox
        self._journal = journal

    def tell(self, staged: Staged, now_ms: int) -> None:
        """What ``staged`` held is durable."""
        for ticket, result in staged.results:
            self._journal.add(Done(ticket, result))
        for job in staged.waiters:
            self._end_job(job, now_ms)

    def _end_job(self, job: MergeJob, now_ms: int) -> None:
        if isinstance(job.origin, RumorOrigin):
            self._journal.count("entries_by_rumor", job.news_count)
        else:
            self._journal.count("entries_by_exchange", job.news_count)
        becomes_hot = True
        match job.origin:
            case RumorOrigin(sequence):
                self._outbox.send(job.sender, m.RumorAnswer(sequence, bytes(job.was_news)))
            case FetchOrigin() as origin:
                try:
                    becomes_hot = self._exchanges.end_fetch(job, origin, now_ms)
                except CorruptRowError as error:  # the exchange is broken; others wait for this batch, too
                    self._journal.tell_corrupt_row(error, peer=job.sender)
            case GiveOrigin() as origin:
                becomes_hot = self._exchanges.end_give(job, origin)
        if becomes_hot:
            for key, digest in job.news:
                self._rumors.make_hot(key, digest, job.sender, now_ms)
