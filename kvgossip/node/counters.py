"""The counters of a node by name, gathered from the machines that count."""

from kvgossip.node.parts import Machines


def read_counters(machines: Machines) -> dict[str, int]:
    """Totals since the start."""
    rumors, schedule = machines.rumors, machines.exchanges.schedule
    staging, recount = machines.staging, machines.recount
    membership = machines.peers.membership
    return {
        **machines.journal.counters,
        **machines.traffic.counters(),
        "rumors_sent": rumors.sent_count,
        "rumors_useful": rumors.useful_count,
        "rumors_removed": rumors.removed_count,
        "exchanges_completed": schedule.completed_count,
        "exchanges_broken": schedule.broken_count,
        "exchanges_put_off": schedule.put_off_count,
        "entries_refused": machines.merging.refused_count,
        "probes_sent": membership.probing.sent_count,
        "probes_failed": membership.probing.failed_count,
        "suspicions_refuted": membership.table.refuted_count,
        "members_refused": membership.table.strangers_refused,
        "recounts": recount.completed_count,
        "recount_differences": recount.difference_count,
        "stamps_ahead": staging.stamps_ahead,
        "stamps_given_up": staging.stamps_given_up,
    }
