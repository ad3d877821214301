"""``/metrics``: what a node counts and measures, for Prometheus.

Values are read when they are asked for; nothing is kept here. Labels are kinds, states, causes and peers,
never keys, so the number of series is bounded by the number of members. docs/METRICS.md lists every name, and
a test holds it to a running node.
"""

import platform
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from aiohttp import web
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from kvgossip.api.answer import Answer
from kvgossip.node.effects import Refusal
from kvgossip.node.status import MemberStatus, Status
from kvgossip.node.traffic import KINDS
from kvgossip.runtime.histogram import Histogram
from kvgossip.runtime.node import Node
from kvgossip.runtime.vitals import resident_bytes
from kvgossip.store.rocks_open import free_bytes

PREFIX = "kvgossip_"
PRESENT_STATES = ("alive", "suspect")
MEMBER_STATES = (*PRESENT_STATES, "down", "left")
ROOT_DIGITS = 12
"""What a float holds exactly."""

_COUNTERS = {
    "rumors_sent": "Versions sent to a peer as a rumor.",
    "rumors_useful": "Versions sent as a rumor that were news to the peer.",
    "rumors_removed": "Versions that are no longer hot: known by enough, overwritten or given up.",
    "entries_by_rumor": "Entries from peers that were news and came by rumor.",
    "entries_by_exchange": "Entries from peers that were news and came by exchange: what it mended.",
    "entries_refused": "Entries from peers that could not be merged.",
    "exchanges_completed": "Exchanges that this node asked for and that settled every difference.",
    "exchanges_broken": "Exchanges that this node asked for and that ended half way.",
    "exchanges_put_off": "Exchanges that this node asked for while either side was busy.",
    "frames_refused": "Frames from peers that break the protocol.",
    "frames_before_hello": "Frames from peers that had not said who they are.",
    "frames_dropped": "Frames to peers that were dropped: a full queue, or no link.",
    "frames_malformed": "WebSocket frames from peers that are too large or no binary frames.",
    "sends_failed": "Reports that frames for a peer were dropped.",
    "links_silent": "Links that were closed because the peer did not answer.",
    "dials": "Attempts to open a link to a peer.",
    "openings_failed": "Connections to the peer listener that never became a link.",
    "probes_sent": "Probes of members.",
    "probes_failed": "Probes that neither the member nor anybody asked in its place answered.",
    "suspicions": "Times that a member became suspect here.",
    "suspicions_refuted": "Claims of this node being gone that it refuted.",
    "members_refused": "Records of strangers for which the member table had no room.",
    "stamps_ahead": "Stamps from elsewhere that were further ahead than the drift limit.",
    "stamps_given_up": "Times that this node gave up a stamp mark from beyond the drift limit.",
    "recounts": "Whole comparisons of the tree with the rows.",
    "recount_differences": "Leaves of the tree that differed from their rows, and were mended.",
    "corrupt_rows": "Reads that met a row that cannot be read.",
    "internal_errors": "Inputs and effects that failed in an unforeseen way.",
    "loop_stalls": "Times that the event loop stood still for more than a second.",
}
"""Counters of ``Node.counters`` that become metrics of the same name with ``_total`` behind it."""


class NodeCollector(Collector):
    """Reads one node at each scrape."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterable[Metric]:
        status, counters = self._node.replica.status(), self._node.counters()
        yield _build_info(status)
        yield from self._state(status)
        for name, help_text in _COUNTERS.items():
            yield CounterMetricFamily(PREFIX + name, help_text, value=counters.get(name, 0))
        yield from _traffic(counters)
        yield from self._members()
        measures = self._node.measures
        yield _writes(measures.writes)
        yield _requests(measures.requests)
        yield _histogram(
            "replication_lag_seconds",
            "From the stamp of an entry to its visibility here, for entries from peers.",
            measures.replication_lag,
        )
        yield _histogram(
            "commit_duration_seconds", "A batch: write and sync of the log.", measures.commit_duration
        )
        yield _histogram("loop_lag_seconds", "How late the event loop ran a timer.", measures.loop_lag)

    def _state(self, status: Status) -> Iterable[Metric]:
        node = self._node
        yield _gauge("ready", "1 if the node serves.", int(node.is_ready))
        is_read_only = status.read_only_because is not None
        yield _gauge("read_only", "1 if it takes no writes until a restart.", int(is_read_only))
        yield _gauge("entries", "Entries held, tombstones and expired ones included.", status.entry_count)
        if status.census is not None:
            census = status.census
            yield _gauge("keys", "Keys with a value, as of the last walk.", census.key_count)
            yield _gauge("tombstones", "Deleted keys, as of the last walk.", census.tombstone_count)
            yield _gauge(
                "siblings", "Values of keys that have several, as of the last walk.", census.sibling_count
            )
        yield _gauge(
            "root",
            "The first 48 bits of the root as a number: equal where nodes agree.",
            int(status.root[:ROOT_DIGITS], 16),
        )
        yield from self._resources()
        yield _gauge("clock_holes", "Gaps in the node clock.", status.clock.hole_count())
        yield _gauge("rumors_hot", "Versions that are being told to peers.", status.hot_rumor_count)
        yield _gauge(
            "clock_correction_seconds",
            "Added to this node's wall clock because most others' differ from it.",
            status.clock_correction_ms / 1_000,
        )

    def _resources(self) -> Iterable[Metric]:
        with suppress(OSError):  # platforms other than Linux do not tell
            yield _gauge("resident_memory_bytes", "Resident memory of the process.", resident_bytes())
        data_dir = self._node.settings.data_dir
        if data_dir is not None:
            with suppress(OSError):
                yield _gauge(
                    "disk_free_bytes",
                    "What may still be written to the disk of the data directory.",
                    free_bytes(data_dir),
                )

    def _members(self) -> Iterable[Metric]:
        members = self._node.replica.members(self._node.now())
        by_state = Counter(member.state for member in members)
        states = GaugeMetricFamily(
            PREFIX + "members", "Members by state, this node included.", labels=["state"]
        )
        for state in dict.fromkeys((*MEMBER_STATES, *sorted(by_state))):
            states.add_metric([state], by_state[state])
        yield states
        unfit = sum(m.state in PRESENT_STATES and not m.member.is_fit for m in members)
        yield _gauge("members_unfit", "Members that are there and cannot serve, this node included.", unfit)
        yield from _judged(members)
        offsets = GaugeMetricFamily(
            PREFIX + "peer_clock_offset_seconds",
            "How far the raw wall clock of a peer is ahead of this node's.",
            labels=["peer"],
        )
        for member in members:
            offset_ms = self._node.replica.clock_offset_ms(member.member.replica)
            if offset_ms is not None:
                offsets.add_metric([member.member.peer], offset_ms / 1_000)
        yield offsets
        round_trips = GaugeMetricFamily(
            PREFIX + "peer_round_trip_seconds", "Round-trip time of each open link.", labels=["peer"]
        )
        for peer, round_trip_s in sorted(self._node.round_trips_s().items()):
            round_trips.add_metric([peer], round_trip_s)
        yield round_trips


def _judged(members: list[MemberStatus]) -> Iterable[Metric]:
    """What the failure detector has measured of those that are there."""
    phis = GaugeMetricFamily(
        PREFIX + "peer_phi",
        "How unlikely the silence of a member is by its history; 8 is one in a hundred million.",
        labels=["peer"],
    )
    probed = GaugeMetricFamily(
        PREFIX + "peer_probe_seconds", "Round-trip time of the last answered probe.", labels=["peer"]
    )
    for status in members:
        if status.state not in PRESENT_STATES or status.is_self:
            continue
        phis.add_metric([status.member.peer], status.phi)
        if status.round_trip_ms is not None:
            probed.add_metric([status.member.peer], status.round_trip_ms / 1_000)
    yield phis
    yield probed


async def get(node: Node, request: web.BaseRequest) -> Answer:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(node))
    return Answer(200, {"Content-Type": CONTENT_TYPE_LATEST}, generate_latest(registry))


def _build_info(status: Status) -> Metric:
    labels = {"version": status.software, "python": platform.python_version()}
    return InfoMetricFamily(PREFIX + "build", "The version of this node and of its Python.", labels)


def _traffic(counters: dict[str, int]) -> Iterable[Metric]:
    """Payload between peers by kind of message; ``kind="exchange"`` is what anti-entropy costs."""
    for unit in ("bytes", "messages"):
        family = CounterMetricFamily(
            f"{PREFIX}peer_{unit}", f"Payload {unit} to and from peers by kind.", labels=["kind", "direction"]
        )
        for kind in sorted({*KINDS.values(), "exchange"}):
            for direction in ("sent", "received"):
                family.add_metric([kind, direction], counters[f"{kind}_{unit}_{direction}"])
        yield family
    family = CounterMetricFamily(
        f"{PREFIX}cross_zone_bytes", "The part of it that went between zones.", labels=["direction"]
    )
    for direction in ("sent", "received"):
        family.add_metric([direction], counters[f"cross_zone_bytes_{direction}"])
    yield family


def _writes(ended: Counter[str]) -> Metric:
    """All results from the start on, so that the first refusal is an increase."""
    family = CounterMetricFamily(PREFIX + "writes", "Writes of clients by how they ended.", labels=["result"])
    for result in ("written", *(refusal.value for refusal in Refusal)):
        family.add_metric([result], ended[result])
    return family


def _requests(ended: Counter[tuple[str, str, int]]) -> Metric:
    family = CounterMetricFamily(
        PREFIX + "requests",
        "Requests of clients by path, method and status; keys are left out of the path.",
        labels=["path", "method", "status"],
    )
    for (path, method, status), count in sorted(ended.items()):
        family.add_metric([path, method, str(status)], count)
    return family


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, help_text, value=value)


def _histogram(name: str, help_text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(
        PREFIX + name, help_text, buckets=histogram.cumulated(), sum_value=histogram.sum
    )
