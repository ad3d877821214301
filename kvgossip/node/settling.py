"""Settling: after every input the machines react to each other until nothing is left to do.

Then what they want sent is collected, so one input leads to one set of effects.
"""

from kvgossip.node.convergence import ConvergenceChecks
from kvgossip.node.copy_watch import CopyWatch
from kvgossip.node.effects import Now
from kvgossip.node.endings import Endings
from kvgossip.node.exchanges import Exchanges
from kvgossip.node.journal import Journal
from kvgossip.node.leaving import Leaving
from kvgossip.node.meeting import Meeting
from kvgossip.node.merging import Merging
from kvgossip.node.sending import Sending
from kvgossip.node.staging import Staging
from kvgossip.protocol.rumor import RumorMonger


class Settling:
    """The order in which the machines react."""

    def __init__(
        self,
        staging: Staging,
        *,
        merging: Merging,
        copies: CopyWatch,
        meeting: Meeting,
        rumors: RumorMonger,
        exchanges: Exchanges,
        checks: ConvergenceChecks,
        leaving: Leaving,
        endings: Endings,
        sending: Sending,
        journal: Journal,
    ) -> None:
        self._staging = staging
        self._merging = merging
        self._copies = copies
        self._meeting = meeting
        self._rumors = rumors
        self._exchanges = exchanges
        self._checks = checks
        self._leaving = leaving
        self._endings = endings
        self._sending = sending
        self._journal = journal

    def settle(self, now: Now) -> None:
        now_ms = now.monotonic_ms
        for event in self._merging.take_events():
            self._journal.notify(event)
        self._copies.look_at_merges()
        self._meeting.react(now)
        if self._rumors.was_dropped:
            self._rumors.was_dropped = False
            self._exchanges.schedule.handle_rumors_dropped(now_ms)
        self._exchanges.schedule.handle_progress(now_ms)
        self._journal.add_all(self._checks.take_ended(now_ms))
        self._journal.add_all(self._leaving.take_ended(now_ms))
        answered = self._staging.take_answers()
        if answered is not None:
            self._endings.tell(answered, now_ms)
            self._exchanges.schedule.handle_progress(now_ms)
        self._sending.send_all(now)
