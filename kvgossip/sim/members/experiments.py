"""What membership promises, one experiment each: a cluster, a fault, what must hold, and the figures of it.

An experiment raises ``Violation`` with the name of the promise that was broken. Its defaults are small, for
the suite and the mutants; ``plan.py`` runs it at full size for the report.
"""

from collections.abc import Callable

from kvgossip.model.ids import Address
from kvgossip.model.member import MemberState
from kvgossip.sim.checkers.base import Violation
from kvgossip.sim.fault import Fault
from kvgossip.sim.members.cluster import MemberCluster
from kvgossip.sim.members.node import MemberNode

Figures = dict[str, float]
Experiment = Callable[..., Figures]

CALM_MS = 5_000
"""Time before a fault."""
DETECT_MS_MAX = 10_000
"""... of up to a hundred nodes. The time to refute grows with the logarithm of their number."""
DETECT_MS_MAX_ABOVE = 15_000
FIRST_MS_MAX = 5_000
RETURN_MS_MAX = 5_000
HEAL_MS_MAX = 3_000
JOIN_MS_MAX = 2_000
LAST_WORD_MS = 450
"""A last ping that a cut swallowed lets its target be declared down so long after the heal."""
LATE_MS = 30_000
"""How long to wait for what must come right at last."""


def loss(seed: int, nodes: int = 10, percent: int = 50, seconds: int = 30) -> Figures:
    """Frames are lost: nobody is declared down for it, and afterwards nobody stays suspected."""
    cluster = MemberCluster(nodes, seed)
    cluster.network.quality.loss = percent / 100
    for _ in range(seconds):
        cluster.run(1_000)
        if nodes <= 20:
            cluster.check()
    assert cluster.injected[Fault.LOSS]
    no_false_down(cluster)
    frames_per_s = cluster.sent_frames().total() / nodes / seconds
    sent_per_s = cluster.sent_bytes() / nodes / seconds
    cluster.network.quality.loss = 0
    settled_ms = settled(cluster, LATE_MS)
    return {
        "false downs": len(cluster.false_downs()),
        "suspicions refuted": sum(node.membership.table.refuted_count for node in cluster.nodes),
        "highest incarnation": max(node.incarnation for node in cluster.nodes),
        "frames/s a node": frames_per_s,
        "bytes/s a node": sent_per_s,
        "all alive after the loss, s": settled_ms / 1000,
    }


def crash(seed: int, nodes: int = 10) -> Figures:
    """One node is gone: somebody suspects it soon, whatever the size, and all hold it down in time.

    Then it restarts, and all hold it alive again.
    """
    cluster = MemberCluster(nodes, seed)
    cluster.run(CALM_MS + cluster.rng.randrange(1_000))
    victim = cluster.rng.choice(cluster.nodes)
    cluster.crash(victim)
    began_ms = cluster.now_ms
    down_ms = cluster.settle(lambda: cluster.all_hold(victim.replica, MemberState.DOWN), LATE_MS)
    first_ms = min((s.at_ms for s in cluster.seen if s.kind == "suspect"), default=began_ms + LATE_MS)
    no_false_down(cluster)
    within("DetectedInTime", "first suspicion", first_ms - began_ms, FIRST_MS_MAX)
    limit_ms = DETECT_MS_MAX if nodes <= 100 else DETECT_MS_MAX_ABOVE
    within("DetectedInTime", "down everywhere", down_ms, limit_ms)
    again = cluster.restart(victim)
    alive_ms = settled(cluster, JOIN_MS_MAX, "restarted, alive everywhere")
    assert again.is_running
    return {
        "first suspicion, s": (first_ms - began_ms) / 1000,
        "down everywhere, s": (down_ms or 0) / 1000,
        "restarted, alive everywhere, s": alive_ms / 1000,
        "largest message, B": cluster.frame_bytes_max,
    }


def freeze(seed: int, nodes: int = 10, seconds: int = 60, percent: int = 30) -> Figures:
    """A node sleeps and wakes: it blames nobody, and is alive everywhere soon.

    Frames are lost before, so that it often falls asleep while it waits for an answer.
    """
    cluster = MemberCluster(nodes, seed)
    cluster.network.quality.loss = percent / 100
    cluster.run(CALM_MS + cluster.rng.randrange(2_000))
    sleeper = cluster.rng.choice(cluster.nodes)
    cluster.freeze(sleeper)
    cluster.run(seconds * 1_000)
    cluster.network.quality.loss = 0
    cluster.run(CALM_MS)
    held_down = sum(node.holds(sleeper.replica) is MemberState.DOWN for node in cluster.nodes)
    woke_ms = cluster.now_ms
    thought = cluster.thaw(sleeper, timer_first=cluster.rng.random() < 0.5)
    if thought:
        raise Violation("StallBlamesNobody", f"as its first thought, {thought[0]}")
    alive_ms = settled(cluster, RETURN_MS_MAX, "awake, alive everywhere")
    cluster.run(RETURN_MS_MAX)
    no_false_down(cluster, woke_ms)
    return {"held down by, nodes": held_down, "alive everywhere after, s": alive_ms / 1000}


def partition(seed: int, nodes: int = 24, seconds: int = 60) -> Figures:
    """Two halves are cut from each other, and one node of each restarts meanwhile: all find together."""
    cluster = MemberCluster(nodes, seed)
    cluster.run(CALM_MS)
    left, right = cluster.nodes[: nodes // 2], cluster.nodes[nodes // 2 :]
    mend = cluster.cut(cluster.links_between(left, right))
    cluster.run(seconds * 1_000)
    for half in (left, right):
        victim = cluster.rng.choice(half)
        cluster.crash(victim)
        cluster.run(500)
        cluster.restart(victim)
    cluster.run(CALM_MS)
    assert cluster.injected[Fault.PARTITION]
    held_down = sum(a.holds(b.replica) is MemberState.DOWN for a in left for b in right)
    began_ms = cluster.now_ms
    mend()
    alive_ms = settled(cluster, HEAL_MS_MAX, "healed, all alive everywhere")
    agree_ms = cluster.settle(cluster.all_agree, LATE_MS)
    within("TablesAgree", "healed, all tables equal", agree_ms, LATE_MS)
    no_false_down(cluster, began_ms + LAST_WORD_MS)
    cluster.check()
    return {
        "held down before the heal": held_down / (len(left) * len(right)),
        "all alive everywhere after, s": alive_ms / 1000,
        "all tables equal after, s": (agree_ms or 0) / 1000,
    }


def hearsay(seed: int, nodes: int = 6) -> Figures:
    """A member restarts while another is cut off; these two never meet again, so a third one must tell."""
    cluster = MemberCluster(nodes, seed)
    cluster.run(CALM_MS)
    absent, restarting = cluster.rng.sample(cluster.nodes, 2)
    cluster.cut(cluster.links_between([absent], [restarting]))
    others = [node for node in cluster.nodes if node is not absent]
    mend = cluster.cut(cluster.links_between([absent], others))
    cluster.run(CALM_MS)
    cluster.crash(restarting)
    cluster.run(1_000)
    again = cluster.restart(restarting)
    cluster.run(LATE_MS)
    mend()
    told_ms = cluster.settle(lambda: absent.membership.table.find(again.replica) == again.me, LATE_MS)
    within("TablesAgree", "back, told of the restart", told_ms, RETURN_MS_MAX)
    return {"told of it after, s": (told_ms or 0) / 1000}


def rejoin(seed: int, nodes: int = 8) -> Figures:
    """Members move, leave and return while frames are lost: every table ends up equal to the truth."""
    cluster = MemberCluster(nodes, seed)
    rng = cluster.rng
    cluster.network.quality.loss = rng.choice([0.0, 0.1, 0.3])
    cluster.network.quality.tail = 0.02
    for step in range(12):
        cluster.run(rng.randrange(200, 6_000))
        cluster.check()
        node = rng.choice(cluster.nodes)
        if not node.is_running:
            moved = Address(f"10.1.{step}.1:7001")
            cluster.restart(node, moved if rng.random() < 0.5 else None)
        elif len(cluster.running) > nodes // 2:
            cluster.leave(node) if rng.random() < 0.3 else cluster.crash(node)
    for node in cluster.nodes:
        if not node.is_running:
            cluster.restart(node)
    cluster.network.quality.loss = cluster.network.quality.tail = 0.0
    alive_ms = settled(cluster, LATE_MS)
    agree_ms = cluster.settle(cluster.all_agree, LATE_MS)
    within("TablesAgree", "calm, all tables equal", agree_ms, LATE_MS)
    cluster.check()
    for node in cluster.nodes:
        for other in cluster.nodes:
            if other is not node and node.membership.table.find(other.replica) != other.me:
                raise Violation("TablesAgree", f"{node.address} holds an old record of {other.address}")
    return {"all alive everywhere after, s": alive_ms / 1000, "tables equal after, s": (agree_ms or 0) / 1000}


def join(seed: int, nodes: int = 20) -> Figures:
    """A node that knows nothing but the seeds: soon it knows all, and all know it."""
    cluster = MemberCluster(nodes, seed)
    cluster.run(CALM_MS)
    new = cluster.join()
    began_ms = cluster.now_ms
    known_ms = cluster.settle(lambda: len(new.membership.table.peers) == nodes, LATE_MS)
    alive_ms = settled(cluster, JOIN_MS_MAX + 10 * nodes, "joined, alive everywhere")
    return {
        "knows all after, s": (known_ms or 0) / 1000,
        "alive everywhere after, s": (cluster.now_ms - began_ms if alive_ms else known_ms or 0) / 1000,
        "largest message, B": cluster.frame_bytes_max,
    }


def zones(seed: int, nodes: int = 24, far_ms: int = 40) -> Figures:
    """Three zones far from each other: one is cut off and comes back; then the bytes between zones count."""
    cluster = MemberCluster(nodes, seed, zones=("a", "b", "c"), far_us=far_ms * 1_000)
    cluster.run(20_000)
    if any(seen.kind in ("suspect", "down") for seen in cluster.seen):
        raise Violation("NoFalseDown", f"a calm cluster of zones: {cluster.seen[0]}")
    idle_share = cluster.far_bytes / cluster.sent_bytes()
    if idle_share > 1.5 * cluster.tuning.cross_zone_share:
        raise Violation("CrossZoneBounded", f"{idle_share:.0%} of an idle cluster's bytes cross zones")
    victim = cluster.nodes[-1]
    cluster.crash(victim)
    down_ms = cluster.settle(lambda: cluster.all_hold(victim.replica, MemberState.DOWN), LATE_MS)
    within("DetectedInTime", "down in all zones", down_ms, DETECT_MS_MAX + 5_000)
    cluster.restart(victim)
    settled(cluster, 2 * JOIN_MS_MAX, "restarted, alive in all zones")
    zone = [node for node in cluster.nodes if node.membership.table.me.zone == "a"]
    others = [node for node in cluster.nodes if node not in zone]
    mend = cluster.cut(cluster.links_between(zone, others))
    cluster.run(60_000)
    mend()
    began_ms, far, total = cluster.now_ms, cluster.far_bytes, cluster.sent_bytes()
    alive_ms = settled(cluster, HEAL_MS_MAX, "zone is back, all alive everywhere")
    no_false_down(cluster, began_ms + LAST_WORD_MS)
    return {
        "share of bytes between zones, idle": idle_share,
        "share of bytes between zones, in the heal": (cluster.far_bytes - far)
        / (cluster.sent_bytes() - total),
        "crash: down in all zones, s": (down_ms or 0) / 1000,
        "zone cut for 60 s: alive everywhere after, s": alive_ms / 1000,
    }


# -- promises ------------------------------------------------------------------------------------------------


def no_false_down(cluster: MemberCluster, since_ms: int = 0) -> None:
    wrong = cluster.false_downs(since_ms)
    if wrong:
        raise Violation("NoFalseDown", f"{len(wrong)} times; first {wrong[0]}")


def within(promise: str, what: str, took_ms: int | None, limit_ms: int) -> None:
    if took_ms is None or took_ms > limit_ms:
        took = "never" if took_ms is None else f"{took_ms} ms"
        raise Violation(promise, f"{what}: {took}, not {limit_ms} ms")


def settled(cluster: MemberCluster, limit_ms: int, what: str = "calm, all alive everywhere") -> int:
    took_ms = cluster.settle(cluster.all_alive, limit_ms)
    if took_ms is None:
        raise Violation("AllAliveAgain", f"{what}: not within {limit_ms} ms, {_missing(cluster)}")
    return took_ms


def _missing(cluster: MemberCluster) -> str:
    """One that is not held alive, and by whom."""

    def held(observer: MemberNode, subject: MemberNode) -> str:
        peer = observer.membership.table.peers.get(subject.replica)
        return "unknown" if peer is None else f"{peer.standing}, {'' if peer.is_proven else 'un'}proven"

    for observer in cluster.running:
        for subject in cluster.running:
            generation = subject.membership.table.me.generation
            if subject is not observer and not observer.holds_alive(subject.replica, generation):
                return f"{observer.address} holds {subject.address} {held(observer, subject)}"
    return "nobody is missing"
