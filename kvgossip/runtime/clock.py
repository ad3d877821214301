"""The two clocks of the real world, read together."""

from time import monotonic_ns, time_ns

from kvgossip.node.effects import Now


def read_now() -> Now:
    return Now(monotonic_ms=monotonic_ns() // 1_000_000, wall_ms=time_ns() // 1_000_000)
