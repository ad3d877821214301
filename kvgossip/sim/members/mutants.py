"""The mutants of membership: faults of one line, each hunted by one experiment."""

from kvgossip.sim.mutant import Mutant

MEMBER_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "suspicion-that-ignores-refutation",
        "protocol/member_table.py",
        "        elif standing.outranks(peer.standing):\n            self._set_standing(peer, standing)\n",
        "        elif standing.outranks(peer.standing) and peer.suspicion is None:\n"
        "            self._set_standing(peer, standing)\n",
        "NoFalseDown",
        experiment="loss",
    ),
    Mutant(
        "suspect-down-although-it-was-heard",
        "protocol/membership.py",
        "if peer.heard_ms is not None and peer.heard_ms >= suspicion.started_ms:",
        "if False:",
        "NoFalseDown",
        experiment="loss",
    ),
    Mutant(
        "others-blamed-for-the-own-stall",
        "protocol/membership.py",
        "        if overdue_ms > STALL_MS:\n",
        "        if False:\n",
        "StallBlamesNobody",
        experiment="freeze",
    ),
    Mutant(
        "incarnation-taken-from-another-start",
        "protocol/member_table.py",
        "        if peer is None or claim.standing.generation != peer.member.generation:\n",
        "        if peer is None:\n",
        "Invariants",
        experiment="rejoin",
    ),
    Mutant(
        "own-standing-taken-from-a-stranger",
        "protocol/member_table.py",
        "            self._refute(standing)\n",
        "            self._set_own(self.me, standing)\n",
        "OwnWordOnly",
        experiment="loss",
    ),
    Mutant(
        "digest-that-forgets-the-generation",
        "protocol/member_gossip.py",
        "            theirs = (told.generation, digest.version)\n            if theirs > mine:\n",
        "            theirs = (peer.member.generation, digest.version)\n            if theirs > mine:\n",
        "TablesAgree",
        experiment="hearsay",
    ),
    Mutant(
        "down-on-one-word",
        "protocol/member_table.py",
        "            standing = standing.worsened(MemberState.SUSPECT)\n            self._suspect",
        "            self._set_standing(peer, standing)\n            self._suspect",
        "NoFalseDown",
        experiment="partition",
    ),
    Mutant(
        "news-without-end",
        "protocol/member_news.py",
        "            if (left := [item for item in items if item.count < limit])\n",
        "            if (left := items)\n",
        "Bounded",
        experiment="churn",
    ),
    Mutant(
        "silent-members-never-tried-again",
        "protocol/membership.py",
        "            self._try_silent(now_ms)\n",
        "            pass\n",
        "AllAliveAgain",
        experiment="partition",
    ),
    Mutant(
        "probes-of-all-zones-alike",
        "protocol/probing.py",
        "        return target.member.zone != self._table.me.zone\n",
        "        return False\n",
        "CrossZoneBounded",
        experiment="zones",
    ),
)
