"""The copy watch: takes a node that runs on a copied directory to its new identity (see ``node/copies.py``).

Several parts notice that this directory is a copy; all of them say so here. From then on no data is taken in
or sent until the writes of this start are issued again and durable, also across a crash in between.
"""

from random import Random

from kvgossip.errors import CorruptRowError
from kvgossip.model.dot import VersionVector
from kvgossip.model.ids import Key, format_id
from kvgossip.node.admission import Admission
from kvgossip.node.copies import META_REISSUE, OldDots, Reissue
from kvgossip.node.exchanges import Exchanges
from kvgossip.node.journal import Journal
from kvgossip.node.merging import Merging
from kvgossip.node.myself import Myself
from kvgossip.node.peers import Peers
from kvgossip.node.staging import Staging
from kvgossip.store.base import Store


class CopyWatch:
    """Nothing, or one reissue under way."""

    def __init__(
        self,
        store: Store,
        staging: Staging,
        *,
        me: Myself,
        peers: Peers,
        merging: Merging,
        exchanges: Exchanges,
        admission: Admission,
        journal: Journal,
        rng: Random,
    ) -> None:
        """Go on with a reissue that the last start did not finish. Raises ``StoreError``."""
        self._store = store
        self._staging = staging
        self._me = me
        self._peers = peers
        self._merging = merging
        self._exchanges = exchanges
        self._admission = admission
        self._journal = journal
        self._rng = rng
        self._reissue: Reissue | None = None
        unfinished = store.get_meta(META_REISSUE)
        if unfinished is not None:
            self._begin(OldDots.decode(unfinished))

    @property
    def is_reissuing(self) -> bool:
        return self._reissue is not None

    def found(self, how: str) -> None:
        """This data directory is a copy of another: go on as a new replica."""
        if self._admission.is_closed or self._reissue is not None:
            return
        old = self._me.renew(self._rng)
        self._journal.tell("copy-found", reason=how, replica=format_id(self._me.identity.replica))
        self._merging.counter_at_start = 0
        self._peers.handle_new_identity(self._me.record())
        self._begin(old)

    def look_at_context(self, context: VersionVector | None) -> None:
        """A client names what it has seen."""
        if context is not None and context.counter(self._me.identity.replica) > self._staging.own_counter:
            self.found("a client's context names writes of this replica that it does not hold")

    def prepare_write(self, key: Key) -> None:
        """A client writes to ``key``: dots of it that were given up are issued again first.

        Otherwise the new entry would hold them beside its own, and the clock of its batch would not cover
        them. Raises ``CorruptRowError``.
        """
        if self._reissue is not None:
            self._reissue.renew(key)

    def look_at_merges(self) -> None:
        """A merge may have met a dot of this replica that it did not issue."""
        if self._merging.found_copy:
            self._merging.found_copy = False
            self.found("a peer holds writes of this replica that it did not issue")

    def step(self) -> None:
        """Reissue some more rows; the next step is due as soon as the disk is idle."""
        reissue = self._reissue
        if reissue is None:
            return
        if not reissue.is_walked:
            try:
                reissue.step()
            except CorruptRowError as error:
                self._journal.tell_corrupt_row(error)
        elif self._staging.is_idle and reissue.finish():
            self._journal.tell("writes-reissued", entries=reissue.reissued_count)
            self._reissue = None
            self._exchanges.resume()
            self._peers.gives_no_data = False

    def handle_discarded(self) -> None:
        """Everything staged was discarded: begin the walk anew."""
        if self._reissue is not None:
            self._reissue = Reissue(self._store, self._staging, self._reissue.old)

    def _begin(self, old: OldDots) -> None:
        self._exchanges.pause()
        self._peers.gives_no_data = True
        self._reissue = Reissue(self._store, self._staging, old)
