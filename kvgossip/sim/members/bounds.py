"""What membership costs while the cluster never comes to rest: each figure must stay where it is.

An experiment samples the cluster once a simulated second. What grows without end grows most in the last third
of a run; so the last third is held against the one before.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from kvgossip.config import Tuning
from kvgossip.model.ids import Address
from kvgossip.model.member import Load
from kvgossip.sim.checkers.base import Violation
from kvgossip.sim.fault import Fault
from kvgossip.sim.members.cluster import MemberCluster
from kvgossip.sim.members.experiments import CALM_MS, LATE_MS, Figures, no_false_down, settled, within

MESSAGE_BYTES_MAX = 8 << 10
GROWTH_MAX = 1.5
BYTES_SLACK = 250.0
"""Bytes/s by which thirds of a run differ because one of them happens to have two crashes more."""
VITALS_MS = Tuning().vitals_interval_ms
FLAP_MS = 3_000
QUIET_MS = 5_000
OLD_NODES = 10
MASS_JOIN_MS_MAX = 20_000
AGE_MS_MAX = 60_000
AWAY_MS = (5_000, 40_000)
"""How long a member that crashed stays away."""


@dataclass(slots=True)
class Series:
    """One sample a second."""

    incarnation: list[int] = field(default_factory=list)
    """The highest of all members."""
    news: list[int] = field(default_factory=list)
    """The longest queue of news."""
    bytes_per_s: list[float] = field(default_factory=list)
    """Sent by a node, on average."""

    def sample(self, cluster: MemberCluster, sent_before: int) -> None:
        running = cluster.running
        self.incarnation.append(max(node.incarnation for node in running))
        self.news.append(max(len(node.membership.news) for node in running))
        self.bytes_per_s.append((cluster.sent_bytes() - sent_before) / len(running))

    def figures(self, cluster: MemberCluster) -> Figures:
        return {
            "highest incarnation": max(self.incarnation),
            "longest news queue": max(self.news),
            "bytes/s a node": sum(self.bytes_per_s) / len(self.bytes_per_s),
            "bytes/s a node, worst second": max(self.bytes_per_s),
            "largest message, B": cluster.frame_bytes_max,
        }


def watch(cluster: MemberCluster, seconds: int, each_second: Callable[[], None] = lambda: None) -> Series:
    """Run, sample, and raise ``Violation`` if anything grows without end."""
    series = Series()
    for _ in range(seconds):
        sent_before = cluster.sent_bytes()
        each_second()
        cluster.run(1_000)
        series.sample(cluster, sent_before)
    third = seconds // 3
    for name, values, slack in (("news", series.news, 10.0), ("bytes", series.bytes_per_s, BYTES_SLACK)):
        before, last = sum(values[third : 2 * third]) / third, sum(values[-third:]) / third
        if last > GROWTH_MAX * before + slack:
            raise Violation("Bounded", f"{name} a node grow from {before:.0f} to {last:.0f}")
    if cluster.frame_bytes_max > MESSAGE_BYTES_MAX:
        raise Violation("Bounded", f"a message of {cluster.frame_bytes_max} bytes")
    return series


def quiet_again(cluster: MemberCluster) -> None:
    """Once all is well there is nothing left to tell: nodes probe, and ask where a seed has been."""
    cluster.run(LATE_MS)
    before = cluster.sent_frames()
    cluster.run(QUIET_MS)
    sent = set(cluster.sent_frames() - before)
    queued = max(len(node.membership.news) for node in cluster.running)
    if queued or sent - {"Ping", "Ack", "MemberSyn"}:
        raise Violation("IdleIsSilent", f"half a minute later {queued} items are queued and {sent} sent")


def flap(seed: int, nodes: int = 10, seconds: int = 60) -> Figures:
    """All links of one node come and go, three seconds each: it refutes once a turn at most."""
    figures, _ = flap_series(seed, nodes, seconds)
    return figures


def flap_series(seed: int, nodes: int, seconds: int) -> tuple[Figures, Series]:
    cluster = MemberCluster(nodes, seed)
    flapping, others = cluster.nodes[0], cluster.nodes[1:]
    links = cluster.links_between([flapping], others)
    period_s = FLAP_MS // 1_000
    for turn in range(seconds // (2 * period_s)):
        at_us = (2 * turn + 1) * FLAP_MS * 1_000
        cluster.scheduler.at(at_us, lambda: cluster.network.cut(links, Fault.FLAP))
        cluster.scheduler.at(at_us + FLAP_MS * 1_000, lambda: cluster.network.mend(links, Fault.FLAP))
    series = watch(cluster, seconds)
    assert cluster.injected[Fault.FLAP]
    if series.incarnation[-1] > 2 * seconds // period_s:
        raise Violation(
            "Bounded", f"incarnation {series.incarnation[-1]} after {seconds} s of a flapping link"
        )
    cluster.run(2 * FLAP_MS)
    alive_ms = settled(cluster, LATE_MS)
    quiet_again(cluster)
    return {**series.figures(cluster), "calm: all alive everywhere after, s": alive_ms / 1_000}, series


def one_way(seed: int, nodes: int = 10, seconds: int = 60) -> Figures:
    """One pair cannot talk one way; and another node is heard by nobody, though it hears all."""
    figures, _ = one_way_series(seed, nodes, seconds)
    return figures


def one_way_series(seed: int, nodes: int, seconds: int) -> tuple[Figures, Series]:
    cluster = MemberCluster(nodes, seed)
    first, second, mute, *_ = cluster.nodes
    links = [(first.address, second.address)]
    links += [(mute.address, node.address) for node in cluster.nodes if node is not mute]
    mend = cluster.cut(links, Fault.ONE_WAY)
    series = watch(cluster, seconds)
    assert cluster.injected[Fault.ONE_WAY]
    held_down = [seen for seen in cluster.false_downs() if mute.replica not in (seen.subject, seen.observer)]
    if held_down:
        raise Violation("NoFalseDown", f"across a link that works one way: {held_down[0]}")
    mend()
    alive_ms = settled(cluster, LATE_MS)
    quiet_again(cluster)
    return {**series.figures(cluster), "calm: all alive everywhere after, s": alive_ms / 1_000}, series


def churn(seed: int, nodes: int = 20, seconds: int = 120, percent: int = 10) -> Figures:
    """So many of all nodes a minute crash or leave, and return, some at another address."""
    figures, _ = churn_series(seed, nodes, seconds, percent)
    return figures


def churn_series(seed: int, nodes: int, seconds: int, percent: int = 10) -> tuple[Figures, Series]:
    cluster = MemberCluster(nodes, seed)
    rng = cluster.rng
    moves = 0

    def go(number: int) -> None:
        node = cluster.nodes[number]
        if node.is_running:
            cluster.leave(node) if rng.random() < 0.3 else cluster.crash(node)
            cluster.scheduler.after(rng.randrange(*AWAY_MS) * 1_000, partial(come, number))

    def come(number: int) -> None:
        nonlocal moves
        moves += 1
        moved = Address(f"10.9.{moves >> 8}.{moves & 255}:7001")
        cluster.restart(cluster.nodes[number], moved if rng.random() < 0.3 else None)

    def each_second() -> None:
        expected = nodes * percent / 100 / 60
        for _ in range(int(expected) + (rng.random() < expected % 1)):
            go(rng.randrange(nodes))

    series = watch(cluster, seconds, each_second)
    cluster.run(max(AWAY_MS))
    alive_ms = settled(cluster, LATE_MS)
    agree_ms = cluster.settle(cluster.all_agree, LATE_MS)
    within("TablesAgree", "calm, all tables equal", agree_ms, LATE_MS)
    quiet_again(cluster)
    figures = series.figures(cluster)
    figures["restarts"] = moves
    figures["false downs"] = len(cluster.false_downs())
    figures["calm: all alive everywhere after, s"] = alive_ms / 1_000
    return figures, series


def traffic(seed: int, nodes: int = 10, seconds: int = 60) -> Figures:
    """An idle cluster: what one node sends does not depend on how many there are."""
    cluster = MemberCluster(nodes, seed)
    series = watch(cluster, seconds)
    frames = cluster.sent_frames()
    if set(frames) - {"Ping", "Ack"}:
        raise Violation("IdleIsSilent", f"an idle cluster sends {dict(frames)}")
    busiest = max(node.sent_bytes for node in cluster.nodes) / seconds
    return {
        **series.figures(cluster),
        "frames/s a node": frames.total() / nodes / seconds,
        "bytes/s of the busiest node": busiest,
    }


def mass_join(seed: int, nodes: int = 30) -> Figures:
    """So many new nodes join ten others at once, through three seeds: no storm, and nobody is blamed."""
    cluster = MemberCluster(OLD_NODES, seed)
    cluster.run(CALM_MS)
    before, began_ms = cluster.sent_bytes(), cluster.now_ms
    for _ in range(nodes):
        cluster.join()
    alive_ms = settled(cluster, MASS_JOIN_MS_MAX, "joined, all alive everywhere")
    agree_ms = cluster.settle(cluster.all_agree, MASS_JOIN_MS_MAX)
    within("TablesAgree", "joined, all tables equal", agree_ms, MASS_JOIN_MS_MAX)
    sent = cluster.sent_bytes() - before
    no_false_down(cluster)
    quiet_again(cluster)
    if cluster.frame_bytes_max > MESSAGE_BYTES_MAX:
        raise Violation("Bounded", f"a message of {cluster.frame_bytes_max} bytes")
    return {
        "all alive everywhere after, s": alive_ms / 1_000,
        "suspicions of live nodes": sum(s.kind == "suspect" for s in cluster.seen if s.at_ms >= began_ms),
        "bytes a node until all tables are equal": sent / len(cluster.nodes),
        "bytes a pair of nodes": sent / len(cluster.nodes) ** 2,
        "largest message, B": cluster.frame_bytes_max,
    }


def busy(seed: int, nodes: int = 10, seconds: int = 60) -> Figures:
    """Every node has another load every five seconds, as under writes: digests carry it, bounded in bytes."""
    cluster = MemberCluster(nodes, seed)

    def tell(number: int) -> None:
        cluster.tell_load(cluster.nodes[number], Load(keys=cluster.now_ms))
        cluster.scheduler.after(VITALS_MS * 1_000, partial(tell, number))

    for number in range(nodes):
        cluster.scheduler.after(cluster.rng.randrange(VITALS_MS) * 1_000, partial(tell, number))
    series = watch(cluster, seconds)
    no_false_down(cluster)
    now_ms, ages = cluster.now_ms, list[int]()
    for observer in cluster.nodes:
        ages += [now_ms - peer.member.load.keys for peer in observer.membership.table.peers.values()]
    if max(ages) > AGE_MS_MAX:
        raise Violation("LoadsAreKnown", f"a load is {max(ages)} ms old")
    figures = series.figures(cluster)
    figures["age of a load known, s, average"] = sum(ages) / len(ages) / 1_000
    figures["age of a load known, s, oldest"] = max(ages) / 1_000
    return figures
