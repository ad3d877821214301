"""The faults and the traps that docs/FAULTS.md must speak of, by name.

This list is the measure: a row that vanishes from the page is missed here. A new fault is added to both.
"""

FAULTS = (
    "symmetric partition k / n−k",
    "one-way partition",
    "bridge (A–B cut, both see C)",
    "flapping link, 0.2–5 s",
    "loss 1 / 10 / 30 / 50 %",
    "duplication to 50 %, replay of old frames",
    "reorder and delay, 0–2 s, heavy tail",
    "narrow link",
    "crash at any write",
    "power loss: what was not synced is gone, last write torn",
    "fsync fails with EIO",
    "slow fsync (20 ms and 2 s)",
    "disk full",
    "bit rot in the database file",
    "clock +6 h, −1 h, jumps, drift; one node ten years ahead",
    "same node, empty disk",
    "restored from an old backup; two live nodes with one copied data directory",
    "frozen node (SIGSTOP 60 s), CPU starved",
    "node away longer than `forget_after`, with old values and old deletes",
    "mass join, mass restart",
    "rolling upgrade, unknown fields and message versions",
    "one poisonous entry",
    "hostile or broken client",
    "hostile or broken peer",
)

TRAPS = {
    "Hybrid logical clock": (
        "the last stamp is committed with its batch",
        "the logic carries into the milliseconds while the wall clock stands still",
        "ties are broken by replica id and then by value",
        "stamps are sent as strings",
    ),
    "Dotted version vectors": (
        "a dot is issued once for ever: it is committed before anybody sees it",
        "a write without a context is concurrent with everything",
        "a context is bound to its key",
        "node-wide dots have holes, so siblings are not compacted",
        "a vector entry stays when the value of its dot is gone",
        "a context is untrusted input and carries a MAC",
        "two actors that start at the same moment have different ids",
    ),
    "Node clock": (
        "it never advances over data that was not received",
        "an exchange that broke half way gives only the dots that came",
        "so does an exchange in which an entry was refused",
        "the clock of an exchange is read before its start, not at its end",
        "coalesced overwrites leave no holes for ever",
    ),
    "Tombstones": (
        "time alone forgets none",
        "one that is forgotten on one side only does not keep the trees different",
        "a key is usable again after its delete",
    ),
    "Expiry": ("it is part of the entry, not a local act",),
    "Merkle tree": (
        "digests have 128 bits and are seeded from the cluster secret",
        "the digest covers key, version and tombstone flag, over the stored bytes",
        "writes during an exchange cost a repeat, not an error",
        "a slow full recount in the background",
    ),
    "Canonical encoding": (
        "1, 1.0 and true are told apart",
        "duplicate map keys are refused",
        "every error of the decoder is caught",
        "sizes and depth are bounded before decoding",
    ),
    "Rumors": (
        "the counter belongs to a version, not to a key",
        "the counter returns to zero on a useful contact",
        "a time-out is neither useful nor useless",
        "answers that arrive after removal are ignored",
        "with three nodes or fewer anti-entropy helps at once",
    ),
    "Phi accrual": (
        "two heartbeats that come at once, a node that sent one",
        "a long pause does not enter the window",
        "the observer's own stall convicts nobody",
    ),
    "Membership": (
        "a digest does not grow with the dead",
        "a restart under the same name with a new address works at once",
        "suspicion from a node that is itself slow counts less",
        "two clusters do not merge because an address was reused",
    ),
    "HTTP clients retry": (
        "a PUT with a context and a DELETE are idempotent",
        "an increment carries an id that travels with the state",
    ),
    "aiohttp": (
        "half-sent headers and bodies have deadlines",
        "one-shot commands load it late",
    ),
    "RocksDB from Python": (
        "a commit is a write without sync and then a sync of the log, in a thread",
        "a write after a failed sync is not trusted",
        "iterators do not hold the database open",
        "column families are written in one batch",
        "a torn log is tolerated, and records lost behind damage make a new replica",
    ),
    "TCP behind DROP": (
        "a connection that does not answer is closed and opened anew after the heal",
        "a refused port is noticed at once and heals at once",
    ),
    "One bad value reaches every node in a second": (
        "whatever handles an entry is isolated per entry",
        "a watchdog reports a stalled loop",
    ),
}
