"""The parts of one node, and how they are joined: each is given exactly what it talks to.

Made once, at the start; none is exchanged later. First the machines, which keep the state, then what joins
them: it hands a message, the end of a commit or a change among the members to every machine concerned.
"""

from dataclasses import dataclass
from random import Random

from kvgossip.node.admission import Admission
from kvgossip.node.commits import Commits
from kvgossip.node.convergence import ConvergenceChecks
from kvgossip.node.copy_watch import CopyWatch
from kvgossip.node.dispatch import Dispatch
from kvgossip.node.endings import Endings
from kvgossip.node.exchanges import Exchanges
from kvgossip.node.identity import Identity
from kvgossip.node.journal import Journal
from kvgossip.node.leaving import Leaving
from kvgossip.node.meeting import Meeting
from kvgossip.node.merging import Merging
from kvgossip.node.myself import Myself
from kvgossip.node.peers import Peers
from kvgossip.node.profile import NodeProfile
from kvgossip.node.recount import Recount
from kvgossip.node.rows import Rows
from kvgossip.node.sending import Sending
from kvgossip.node.settling import Settling
from kvgossip.node.staging import Staging
from kvgossip.node.traffic import Traffic
from kvgossip.node.vital_signs import VitalSigns
from kvgossip.node.wall_clock import WallClock
from kvgossip.protocol.aggregation import Aggregation
from kvgossip.protocol.outbox import Outbox
from kvgossip.protocol.rumor import Load, RumorMonger
from kvgossip.protocol.transfer import ChunkServer, Transfers
from kvgossip.store.base import Store


@dataclass(frozen=True, slots=True)
class Machines:
    """What keeps the state of a node."""

    outbox: Outbox
    journal: Journal
    traffic: Traffic
    store: Store
    rows: Rows
    staging: Staging
    admission: Admission
    me: Myself
    peers: Peers
    clock: WallClock
    rumors: RumorMonger
    chunks: ChunkServer
    merging: Merging
    exchanges: Exchanges
    recount: Recount
    vitals: VitalSigns
    aggregation: Aggregation
    news_bytes_max: int


@dataclass(frozen=True, slots=True)
class Joints:
    """What joins the machines to each other."""

    copies: CopyWatch
    meeting: Meeting
    leaving: Leaving
    checks: ConvergenceChecks
    commits: Commits
    dispatch: Dispatch
    settling: Settling


def make_machines(
    profile: NodeProfile,
    identity: Identity,
    *,
    store: Store,
    digest_seed: int,
    rng: Random,
    load_hot: Load,
    now_ms: int,
) -> Machines:
    """Adopt what ``store`` holds. Raises ``StoreError`` or ``EncodingError`` if it cannot be read."""
    tuning, outbox = profile.tuning, Outbox()
    rows = Rows(store, digest_seed=digest_seed)
    staging = Staging(store, replica=identity.replica, digest_seed=digest_seed, tuning=tuning)
    me = Myself(identity, staging, profile)
    peers = Peers(me.record(), store, staging, tuning=tuning, rng=rng, outbox=outbox, now_ms=now_ms)
    rumors = RumorMonger(tuning, rng, outbox, load_hot)
    merging = Merging(staging, Transfers(tuning, digest_seed, outbox), rumors, digest_seed)
    merging.counter_at_start = me.counter_at_start
    exchanges = Exchanges(
        store,
        staging,
        merging,
        me=profile.peer,
        load=lambda keys: rows.load_many(keys, tuning.inline_bytes_max),
        tuning=tuning,
        rng=rng,
        outbox=outbox,
        now_ms=now_ms,
    )
    admission = Admission(staging, tuning.staged_bytes_max)
    recount = Recount(store, staging, tuning, now_ms)
    table = peers.membership.table
    vitals = VitalSigns(table, store, staging, admission=admission, offsets=peers.offsets, recount=recount)
    return Machines(
        outbox=outbox,
        journal=Journal(),
        traffic=Traffic(),
        store=store,
        rows=rows,
        staging=staging,
        admission=admission,
        me=me,
        peers=peers,
        clock=WallClock(peers.offsets),
        rumors=rumors,
        chunks=ChunkServer(digest_seed, outbox),
        merging=merging,
        exchanges=exchanges,
        recount=recount,
        vitals=vitals,
        aggregation=Aggregation(
            tuning,
            rng,
            outbox,
            read_me=lambda: table.me.replica,
            read_live=lambda: [peer.member.replica for peer in table.live()],
            count_members=lambda: table.present_count,
            choose=peers.membership.choice.addresses,
            read_load=vitals.read_load,
            now_ms=now_ms,
        ),
        news_bytes_max=tuning.news_bytes_max,
    )


def join_machines(machines: Machines, rng: Random, *, announces_visible: bool) -> Joints:
    """Raises ``StoreError`` if the record of an unfinished reissue cannot be read."""
    of = machines
    copies = CopyWatch(
        of.store,
        of.staging,
        me=of.me,
        peers=of.peers,
        merging=of.merging,
        exchanges=of.exchanges,
        admission=of.admission,
        journal=of.journal,
        rng=rng,
    )
    meeting = Meeting(
        of.peers, of.me, copies=copies, rumors=of.rumors, exchanges=of.exchanges, journal=of.journal
    )
    endings = Endings(rumors=of.rumors, exchanges=of.exchanges, outbox=of.outbox, journal=of.journal)
    checks = ConvergenceChecks(
        of.peers.membership,
        of.peers.acquaintances.replica_at,
        of.outbox,
        store=of.store,
        staging=of.staging,
    )
    leaving = Leaving(of.peers.membership, of.rumors)
    return Joints(
        copies=copies,
        meeting=meeting,
        leaving=leaving,
        checks=checks,
        commits=Commits(
            of.staging,
            merging=of.merging,
            rumors=of.rumors,
            exchanges=of.exchanges,
            meeting=meeting,
            copies=copies,
            admission=of.admission,
            endings=endings,
            clock=of.clock,
            journal=of.journal,
            announces_visible=announces_visible,
        ),
        dispatch=Dispatch(
            of.store,
            meeting=meeting,
            rumors=of.rumors,
            exchanges=of.exchanges,
            merging=of.merging,
            chunks=of.chunks,
            checks=checks,
            aggregation=of.aggregation,
            copies=copies,
            admission=of.admission,
            clock=of.clock,
            traffic=of.traffic,
            journal=of.journal,
        ),
        settling=Settling(
            of.staging,
            merging=of.merging,
            copies=copies,
            meeting=meeting,
            rumors=of.rumors,
            exchanges=of.exchanges,
            checks=checks,
            leaving=leaving,
            endings=endings,
            sending=Sending(
                of.outbox,
                peers=of.peers,
                me=of.me,
                traffic=of.traffic,
                journal=of.journal,
                news_bytes_max=of.news_bytes_max,
            ),
            journal=of.journal,
        ),
    )
