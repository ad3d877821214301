"""Limits and tunables: each with its unit last in its name and the reason for its value beside it.

Limits of the data model are constants, because every node of a cluster must agree on them. What may differ
from node to node is a field of ``Tuning``.
"""

from dataclasses import dataclass
from enum import StrEnum

# -- the data model: the same on every node --------------------------------------------------------------

KEY_BYTES_MAX = 1_024
VALUE_BYTES_MAX = 1 << 20
CONTENT_TYPE_BYTES_MAX = 255
SIBLINGS_MAX = 64
"""A local write that would leave more siblings than this is refused; a merge never is."""
ENTRY_BYTES_MAX = 4 << 20
"""The same for the encoded size of a whole ``mv`` entry."""
MERGED_ENTRY_BYTES_MAX = 256 << 20
"""What a merge may grow an entry to before a peer's offer of it is refused as hostile: 64 nodes that each
filled the same key to its limit while cut off."""
STAMP_MS_MAX = 32_503_680_000_000
"""1 January 3000: a stamp beyond it could never be superseded, so it is malformed."""
CLOCK_RANGES_MAX = 256
"""Ranges a replica that a node clock keeps; coverage beyond is left out, never invented."""

# -- the wire: what a peer may make us hold --------------------------------------------------------------

WIRE_VERSION = 1
FRAME_BYTES_MAX = 1 << 20
"""No frame is larger: a batch closes at ``batch_bytes_max`` and an entry above ``inline_bytes_max`` travels
in chunks, so four times the batch leaves room for the last entry and the framing."""
CHUNK_BYTES = 64 << 10
"""What one ``Chunk`` carries of a large entry."""


class RumorDirection(StrEnum):
    """Who begins a contact: the node with the news, the one that asks for some, or both."""

    PUSH = "push"
    PULL = "pull"
    PUSH_PULL = "push-pull"


class Profile(StrEnum):
    """What the network between most nodes is like: it chooses the defaults of ``Tuning``."""

    LAN = "lan"
    WAN = "wan"


class RumorTargets(StrEnum):
    """To whom news is offered: peers not known to know it, or anybody, as in the literature.

    ``MAIL`` is direct mail (Demers et al. 1987, section 1.2): the node that took a write tells all live
    peers, whatever ``fanout`` is, and they tell nobody. Few messages and one hop, but where a peer cannot be
    reached from there, only anti-entropy brings it. All nodes must have it, or news stops at those that do.
    """

    INFORMED = "informed"
    UNIFORM = "uniform"
    MAIL = "mail"


@dataclass(frozen=True, slots=True)
class Tuning:
    """What an operator may turn on one node without asking the others."""

    # batches and frames
    batch_bytes_max: int = 256 << 10
    """A batch of entries is closed here."""
    batch_rows_max: int = 128
    """... or here: merging a row costs some 20 µs, an exchange has four batches in flight that may share a
    commit, and the event loop must not be held above 20 ms."""
    inline_bytes_max: int = 64 << 10
    """A larger entry is offered and fetched in chunks."""
    rumor_inline_bytes_max: int = 4 << 10
    """The same in a rumor, which most peers know already when it comes."""
    chunks_in_flight_max: int = 8
    transfer_bytes_max: int = 512 << 20
    """Memory for unfinished large entries, of all peers together: two of ``MERGED_ENTRY_BYTES_MAX``."""
    staged_bytes_max: int = 32 << 20
    """What may wait for the disk before local writes are refused with 503 and peers are not answered."""

    # time
    clock_drift_ms_max: int = 5_000
    """A stamp from elsewhere further ahead than this does not pull our clock along."""

    # rumors (Demers et al. 1987)
    fanout: int = 4
    """Peers that a version is told to at a time."""
    own_fanout: int = 32
    """The same, if it is more, of a version that a client wrote here, the first time; those above ``fanout``
    are of the own zone. In most clusters it is then one hop from everybody, and the others make sure."""
    rumor_k: int = 2
    """Useless contacts after which a version is no longer hot; with ``rumor_coin``, one in k ends it."""
    rumor_direction: RumorDirection = RumorDirection.PUSH
    rumor_targets: RumorTargets = RumorTargets.INFORMED
    rumor_feedback: bool = True
    """False is *blind*: every contact counts as a useless one."""
    rumor_coin: bool = False
    """Lose interest by a toss of a coin instead of by a counter."""
    rumor_coalesce_ms: int = 2
    """News starts a round after this, and other fresh news goes along: short against a disk's sync, long
    against a burst of writes."""
    rumor_interval_ms: int = 100
    """Between rounds of a rumor that nobody answered for; bounds cost, not latency."""
    rumor_timeout_ms: int = 1_000
    """After this an unanswered batch counts as neither useful nor useless."""
    rumors_hot_max: int = 50_000
    """Hot versions; the oldest above it are dropped and an exchange is started instead."""
    hot_after_exchange_max: int = 32
    """An exchange that brought more than this makes nothing hot: its news is old."""

    # anti-entropy
    exchange_interval_ms: int = 10_000
    """Jittered by half: idle cost is one root and one clock hash a period."""
    exchange_timeout_ms: int = 1_000
    """A request unanswered for this long is sent again; counted anew with every frame from the peer."""
    exchange_tries_max: int = 8
    """Sends of one request before the exchange is given up as broken half way."""
    exchange_requests_max: int = 8
    """Requests of one exchange in flight."""
    exchange_sessions_max: int = 32
    """Exchanges of other nodes that this one answers at a time."""
    rows_listed_max: int = 16
    """A range with at most this many rows is listed (24 bytes a row) instead of split (16 × 8 bytes), which
    costs a round."""

    # recount
    recount_interval_ms: int = 500
    """Between two steps of the recount of tree against rows, of some hundred rows each: a million rows in
    half an hour."""
    recount_pause_ms: int = 60_000
    """Between two recounts."""

    # aggregates (push-sum)
    aggregate_interval_ms: int = 60_000
    """Between two epochs: one costs a node some 3 kB among five and 7 kB among a thousand."""

    # members (SWIM, Lifeguard, phi accrual)
    probe_interval_ms: int = 1_000
    """One member is probed each; with ``health_multiplier_max`` stretched while this node is slow itself."""
    probe_timeout_ms: int = 400
    """Then others are asked to probe: ten times a round trip of a local network, and a slow disk's sync."""
    probe_timeout_far_ms: int = 1_500
    """The same for a member of another zone."""
    probe_helpers: int = 3
    health_multiplier_max: int = 8
    phi_threshold: float = 8.0
    """One wrong *late* in a hundred million heartbeats, if intervals are as the window says."""
    phi_window: int = 64
    """Heartbeats that the history of a peer remembers."""
    suspicion_mult: int = 2
    """The least time to refute: so many probe intervals, times log10 of the cluster's size."""
    suspicion_max_mult: int = 4
    """... and so many times that while nobody else confirms the suspicion."""
    news_interval_ms: int = 200
    """Between rounds while there is news of members."""
    news_fanout: int = 3
    news_mult: int = 4
    """An item is sent so many times log10 of the cluster's size."""
    news_bytes_max: int = 1 << 10
    """What rides along with any other message."""
    digest_interval_ms: int = 1_000
    """Tables that differ are compared at most so often: news under way may settle it."""
    seed_interval_ms: int = 5_000
    """Seeds are asked again and again, so that islands find each other."""
    cross_zone_share: float = 0.2
    """Of choices that fall on a member of another zone."""
    forget_after_ms: int = 7 * 24 * 3_600_000
    """A member that is down or has left for so long is forgotten, if most of those known are present."""
    member_message_bytes_max: int = 8 << 10
    """Of a message about members, whatever the size of the cluster."""
    vitals_interval_ms: int = 5_000
    """Between two measurements of the own load and health; what has not moved is not told again."""

    @staticmethod
    def of(profile: Profile) -> "Tuning":
        """The defaults of a profile. Those of the class are for a local network.

        Between sites a round trip takes up to half a second and lines drop packets for seconds, so members
        are asked more seldom and waited for longer: the same number of probes must fail. The numbers are
        those of memberlist's WAN configuration (HashiCorp), where it has the same.
        """
        if profile is Profile.LAN:
            return Tuning()
        return Tuning(
            exchange_timeout_ms=3_000,
            rumor_timeout_ms=3_000,
            probe_interval_ms=5_000,
            probe_timeout_ms=3_000,
            probe_timeout_far_ms=3_000,
            suspicion_mult=3,
            news_interval_ms=500,
            digest_interval_ms=5_000,
            seed_interval_ms=15_000,
        )
