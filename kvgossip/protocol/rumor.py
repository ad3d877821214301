"""Rumor mongering: news is pushed to a few peers at once, and loses interest as they turn out to know it.

Source: Demers, Greene, Hauser, Irish, Larson, Shenker, Sturgis, Swinehart, Terry, "Epidemic Algorithms for
Replicated Database Maintenance" (1987), section 1.4. The default is push, feedback, counter: the counter
belongs to a *version* and returns to zero on a useful contact (or residue rises by half). A time-out is
neither useful nor useless, or a partition would kill hot rumors. The other variants of the paper are choices
of policy: pull and push-pull (who begins a contact), blind (every contact counts as useless), coin (interest
is lost with probability 1/k), uniform targets.

We leave the paper in two places. A rumor is not offered to a peer that sent it or answered for it, so it is
also over once every reachable peer is known to know it. And contacts are driven by events: a round begins a
few milliseconds after the first fresh news and takes along whatever else is fresh by then, so the round
interval bounds cost, not latency. And the node that took a write tells ``own_fanout`` peers of it at once, as
direct mail does (section 1.2), but not instead of mongering: where that is everybody, the others begin a
round later.

A peer that let two pushes in a row time out is left out until any frame comes from it; anti-entropy, which
its return starts, is what reaches it then. Direct mail is kept for it until it is down: nobody else tells
it.

"Was it news" is an input (the answer message); whether a version is news here is the replica's business.

Invariants: at most ``rumors_hot_max`` versions are hot, the oldest is dropped first and the drop is told; at
most ``PUSHES_MAX`` pushes to one peer are unanswered; a version is in at most one unanswered push a peer.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from kvgossip.config import RumorDirection, RumorTargets, Tuning
from kvgossip.model.ids import Address, Key
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.zones import choose_by_zone
from kvgossip.wire.messages import Carried, Offer, RumorAnswer, RumorPull, RumorPush

PUSHES_MAX = 2
TIMEOUTS_MAX = 2

Load = Callable[[Key], Carried | Offer | None]
"""The committed entry of a key, as it travels; None if there is none that can be read."""


@dataclass(slots=True)
class Rumor:
    """One hot version of one key."""

    key: Key
    version: int
    knows: set[Address]
    useless_count: int = 0
    waiting: set[Address] = field(default_factory=set)
    """Peers that it is queued for or was sent to, unanswered."""
    is_scheduled: bool = False
    is_own: bool = False
    """A client wrote it here, and nobody was told yet."""


@dataclass(slots=True)
class _Push:
    """An unanswered message."""

    to: Address
    rumors: list[Rumor]
    deadline_ms: int


@dataclass(slots=True)
class _Peer:
    """What is on its way to one address."""

    queue: deque[Rumor] = field(default_factory=deque)
    pushes: int = 0
    timeouts: int = 0


class RumorMonger:
    """The hot versions of a node and their contacts."""

    def __init__(self, tuning: Tuning, rng: Random, outbox: Outbox, load: Load) -> None:
        self._tuning = tuning
        self._rng = rng
        self._outbox = outbox
        self._load = load
        self._hot: OrderedDict[Key, Rumor] = OrderedDict()
        self._due: deque[tuple[int, Rumor]] = deque()
        """Fresh rumors, in order of time; and those to be sent again, likewise."""
        self._due_again: deque[tuple[int, Rumor]] = deque()
        self._peers: dict[Address, _Peer] = {}
        self._pushes: dict[int, _Push] = {}
        self._next_sequence = 1
        self._is_informed = tuning.rumor_targets is not RumorTargets.UNIFORM
        self._mails = tuning.rumor_targets is RumorTargets.MAIL
        self._pulls = tuning.rumor_direction is not RumorDirection.PUSH
        self._next_pull_ms = 0
        self._targets: Sequence[Address] = ()
        self._near: Sequence[Address] = ()
        self._far: Sequence[Address] = ()
        self.was_dropped = False
        """Set when a version was given up unfinished; the owner starts an exchange and clears it."""
        self.sent_count = 0
        self.useful_count = 0
        self._made_hot_count = 0

    @property
    def hot_count(self) -> int:
        return len(self._hot)

    @property
    def removed_count(self) -> int:
        """Versions that are no longer hot: known by enough, overwritten or given up."""
        return self._made_hot_count - len(self._hot)

    @property
    def unshared_count(self) -> int:
        """Hot versions of which no peer is known to have them. One step a hot version."""
        return sum(not rumor.knows for rumor in self._hot.values())

    # -- inputs

    def hurry(self, now_ms: int) -> None:
        """Contact peers for everything hot at once: this node is about to leave."""
        for due in (self._due, self._due_again):
            waiting = [(now_ms, rumor) for _, rumor in due]
            due.clear()
            due.extend(waiting)

    def set_targets(self, targets: Sequence[Address], far: Collection[Address] = ()) -> None:
        """The live peers, by now; ``far``: those of them in other zones.

        ``targets`` is kept and not copied, so that many nodes of one process can share one.
        """
        self._targets = self._near = targets
        self._far = ()
        if far:
            self._near, self._far = [a for a in targets if a not in far], [a for a in targets if a in far]
        if self._peers:
            present = set(targets)
            for address in [a for a in self._peers if a not in present]:
                self._forget_peer(address)
        if self._mails:
            for rumor in list(self._hot.values()):
                self._drop_if_nothing_moves(rumor)

    def make_hot(self, key: Key, version: int, source: Address | None, now_ms: int) -> None:
        """A version is news here. ``source`` is the peer that sent it, None if a client did."""
        old = self._hot.pop(key, None)
        if old is not None and old.version == version:
            self._hot[key] = old
            if source is not None:
                self.note_known(key, version, source)
            return
        if old is not None and old.is_own:
            source = None  # merged with what it sent: it lacks what was written here
        targets = self._targets
        if self._is_informed and not self._pulls and len(targets) == 1 and targets[0] == source:
            return  # of two nodes, the other one sent it
        if self._mails and source is not None and old is None:
            return  # its origin tells everybody; but what I was telling myself, I tell as it is by now
        self._made_hot_count += 1
        rumor = Rumor(key, version, set() if source is None else {source}, is_own=source is None)
        self._hot[key] = rumor
        if source is not None and not self._far and len(targets) <= self._tuning.own_fanout:
            # Its origin tells everybody just now: who heard of it makes sure of that a round later.
            self._schedule(rumor, self._due_again, now_ms + self._tuning.rumor_interval_ms)
        else:
            self._schedule(rumor, self._due, now_ms + self._tuning.rumor_coalesce_ms)
        if len(self._hot) > self._tuning.rumors_hot_max:
            self._hot.popitem(last=False)
            self.was_dropped = True

    def note_known(self, key: Key, version: int, peer: Address) -> None:
        """``peer`` showed that it holds this version: do not offer it there."""
        rumor = self._hot.get(key)
        if rumor is not None and rumor.version == version:
            rumor.knows.add(peer)
            if self._mails:
                self._drop_if_nothing_moves(rumor)

    def handle_answer(self, sender: Address, answer: RumorAnswer, now_ms: int) -> None:
        """Feedback. Ignored if late, doubled or of another length than the push."""
        push = self._pushes.get(answer.sequence)
        if push is None or push.to != sender or len(push.rumors) != len(answer.was_news):
            return
        self._end_push(answer.sequence, push)
        for rumor, was_news in zip(push.rumors, answer.was_news, strict=True):
            rumor.waiting.discard(sender)
            rumor.knows.add(sender)
            if self._hot.get(rumor.key) is not rumor:
                continue  # overwritten or over meanwhile
            self.useful_count += was_news
            if self._loses_interest(rumor, was_news=bool(was_news)):
                del self._hot[rumor.key]
            elif not rumor.is_scheduled:
                self._schedule(rumor, self._due_again, now_ms + self._tuning.rumor_interval_ms)
        self._flush_peer(sender, now_ms)

    def handle_pull(self, sender: Address, now_ms: int) -> None:
        """``sender`` asks for news: push it what is hot and not known to be known there."""
        if sender in self._targets:
            for rumor in list(islice(self._hot.values(), self._tuning.batch_rows_max)):
                if self._may_be_told(rumor, sender):
                    self._enqueue(rumor, sender)
        self._flush_peer(sender, now_ms)

    def handle_heard(self, sender: Address, now_ms: int) -> bool:
        """Any frame came from ``sender``: it is reachable. True if it had been left out."""
        peer = self._peers.get(sender)
        if peer is None or peer.timeouts == 0:
            return False
        was_silent = peer.timeouts >= TIMEOUTS_MAX
        peer.timeouts = 0
        if was_silent and self._mails:  # its mail was kept
            for rumor in self._hot.values():
                if self._may_be_told(rumor, sender):
                    self._enqueue(rumor, sender)
            self._flush_peer(sender, now_ms)
        return was_silent

    def handle_send_failed(self, to: Address, now_ms: int) -> None:
        """What was on its way to ``to`` may be lost: neither useful nor useless; try again later."""
        for sequence, push in [(s, p) for s, p in self._pushes.items() if p.to == to]:
            self._give_back(sequence, push, now_ms)

    def handle_timer(self, now_ms: int) -> None:
        for sequence, push in [(s, p) for s, p in self._pushes.items() if p.deadline_ms <= now_ms]:
            self._give_back(sequence, push, now_ms)
        if self._due and self._due[0][0] <= now_ms:
            for _ in range(len(self._due)):
                self._take_turn(self._due, now_ms)
        while self._due_again and self._due_again[0][0] <= now_ms:
            self._take_turn(self._due_again, now_ms)
        for address in list(self._peers):
            self._flush_peer(address, now_ms)
        if self._pulls and now_ms >= self._next_pull_ms:
            self._next_pull_ms = now_ms + self._tuning.rumor_interval_ms
            if self._targets:
                self._outbox.send(self._rng.choice(self._targets), RumorPull())

    def next_deadline_ms(self) -> int | None:
        deadlines = [due[0][0] for due in (self._due, self._due_again) if due]
        if self._pulls:
            deadlines.append(self._next_pull_ms)
        if self._pushes:
            # Pushes are in order of time, so the first has the earliest deadline.
            deadlines.append(next(iter(self._pushes.values())).deadline_ms)
        return min(deadlines, default=None)

    def check_invariants(self) -> None:
        assert len(self._hot) <= self._tuning.rumors_hot_max
        assert all(key == rumor.key for key, rumor in self._hot.items())
        for address, peer in self._peers.items():
            assert peer.pushes == sum(push.to == address for push in self._pushes.values()) <= PUSHES_MAX
        for rumor in self._hot.values():
            is_moved = rumor.is_scheduled or rumor.waiting or self._pulls or self._is_kept(rumor)
            assert is_moved, "a hot rumor that nothing will move again"

    # -- policy

    def _loses_interest(self, rumor: Rumor, *, was_news: bool) -> bool:
        """Judge one contact. The only place that tells feedback from blind and counter from coin."""
        if was_news and self._tuning.rumor_feedback:
            rumor.useless_count = 0
            return False
        if self._mails:
            return False  # it is told until everybody has answered, or is silent
        rumor.useless_count += 1
        if self._tuning.rumor_coin:
            return self._rng.randrange(self._tuning.rumor_k) == 0
        return rumor.useless_count >= self._tuning.rumor_k

    def _may_be_told(self, rumor: Rumor, address: Address) -> bool:
        """Only the variant with informed targets cares who knows a version already."""
        return address not in rumor.waiting and not (self._is_informed and address in rumor.knows)

    # -- contacts

    def _schedule(self, rumor: Rumor, due: deque[tuple[int, Rumor]], at_ms: int) -> None:
        rumor.is_scheduled = True
        due.append((at_ms, rumor))

    def _take_turn(self, due: deque[tuple[int, Rumor]], now_ms: int) -> None:
        _, rumor = due.popleft()
        rumor.is_scheduled = False
        if self._hot.get(rumor.key) is rumor:
            self._contact(rumor, now_ms)

    def _contact(self, rumor: Rumor, now_ms: int) -> None:
        """Queue a version for some peers; it is over if there is nobody left to tell.

        While somebody is left a further round follows, or peers that do not answer would keep it from others.
        """
        if self._tuning.rumor_direction is RumorDirection.PULL:
            return  # it waits to be asked for
        if not self._targets and not rumor.waiting:
            del self._hot[rumor.key]  # nobody is there to be told
            return

        def is_open(address: Address) -> bool:
            return self._may_be_told(rumor, address) and not self._is_silent(address)

        for address in self._choose(rumor, is_open):
            self._enqueue(rumor, address)
        rumor.is_own = False
        # Few know a version that is hot here, so of many targets only the first few are looked at.
        if any(map(is_open, self._targets)):
            self._schedule(rumor, self._due_again, now_ms + self._tuning.rumor_interval_ms)
        elif not rumor.waiting and not self._is_kept(rumor):
            del self._hot[rumor.key]

    def _choose(self, rumor: Rumor, is_open: Callable[[Address], bool]) -> list[Address]:
        if self._mails:
            return list(filter(is_open, self._targets))
        tuning = self._tuning
        chosen = choose_by_zone(
            self._rng,
            self._near,
            self._far,
            count=tuning.fanout,
            far_share=tuning.cross_zone_share,
            is_open=is_open,
        )
        if rumor.is_own and len(chosen) < tuning.own_fanout:
            chosen += choose_by_zone(
                self._rng,
                self._near,
                (),
                count=tuning.own_fanout - len(chosen),
                far_share=0.0,
                is_open=lambda address: address not in chosen and is_open(address),
            )
        return chosen

    def _enqueue(self, rumor: Rumor, address: Address) -> None:
        rumor.waiting.add(address)
        self._peers.setdefault(address, _Peer()).queue.append(rumor)

    def _is_kept(self, rumor: Rumor) -> bool:
        """True if it is mail for a peer that is silent: sent on its return, dropped when it is down."""
        return self._mails and any(a not in rumor.knows and self._is_silent(a) for a in self._targets)

    def _drop_if_nothing_moves(self, rumor: Rumor) -> None:
        """Kept mail is over when those that it was kept for know it, or are down."""
        if not (rumor.is_scheduled or rumor.waiting or self._is_kept(rumor)):
            del self._hot[rumor.key]

    def _is_silent(self, address: Address) -> bool:
        peer = self._peers.get(address)
        return peer is not None and peer.timeouts >= TIMEOUTS_MAX

    def _flush_peer(self, address: Address, now_ms: int) -> None:
        peer = self._peers.get(address)
        while peer is not None and peer.queue and peer.pushes < PUSHES_MAX:
            self._push(address, peer, now_ms)

    def _push(self, address: Address, peer: _Peer, now_ms: int) -> None:
        """Send one batch of entries and offers, up to the limits.

        An offer counts as large as what it offers: all that the peer fetches before it answers.
        """
        entries: list[tuple[Rumor, Carried]] = []
        offers: list[tuple[Rumor, Offer]] = []
        size = count = 0
        while peer.queue and size < self._tuning.batch_bytes_max and count < self._tuning.batch_rows_max:
            rumor = peer.queue[0]
            is_hot = self._hot.get(rumor.key) is rumor
            item = self._load(rumor.key) if is_hot else None
            if is_hot and item is None:
                del self._hot[rumor.key]
            if item is None or (address in rumor.knows and self._is_informed):
                peer.queue.popleft()
                self._skip(rumor, address, now_ms)
                continue
            size += item.size if isinstance(item, Offer) else len(item.key) + len(item.data)
            if count and size > 2 * self._tuning.batch_bytes_max:
                break  # a large one goes alone
            peer.queue.popleft()
            count += 1
            if isinstance(item, Offer):
                offers.append((rumor, item))
            else:
                entries.append((rumor, item))
        if not count:
            return
        sequence = self._next_sequence
        self._next_sequence += 1
        rumors = [rumor for rumor, _ in (*entries, *offers)]  # in the order of the answer
        self._pushes[sequence] = _Push(address, rumors, now_ms + self._tuning.rumor_timeout_ms)
        peer.pushes += 1
        self.sent_count += count
        carried, offered = tuple(item for _, item in entries), tuple(item for _, item in offers)
        self._outbox.send(address, RumorPush(sequence, carried, offered))

    def _skip(self, rumor: Rumor, address: Address, now_ms: int) -> None:
        """A queued version need not go to ``address`` after all."""
        rumor.waiting.discard(address)
        if self._hot.get(rumor.key) is rumor and not rumor.is_scheduled:
            self._schedule(rumor, self._due_again, now_ms + self._tuning.rumor_interval_ms)

    def _end_push(self, sequence: int, push: _Push) -> None:
        del self._pushes[sequence]
        peer = self._peers.get(push.to)
        if peer is not None:
            peer.pushes -= 1

    def _give_back(self, sequence: int, push: _Push, now_ms: int) -> None:
        """No answer: the contact did not happen."""
        self._end_push(sequence, push)
        peer = self._peers.get(push.to)
        if peer is not None:
            peer.timeouts += 1
            if peer.timeouts >= TIMEOUTS_MAX:
                while peer.queue:
                    self._skip(peer.queue.popleft(), push.to, now_ms)
        for rumor in push.rumors:
            self._skip(rumor, push.to, now_ms)

    def _forget_peer(self, address: Address) -> None:
        """A peer is no longer live: nothing waits for it."""
        for sequence, push in [(s, p) for s, p in self._pushes.items() if p.to == address]:
            self._give_back(sequence, push, 0)
        peer = self._peers.pop(address)
        while peer.queue:
            self._skip(peer.queue.popleft(), address, 0)
