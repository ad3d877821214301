"""Vital signs: what a node tells the others of its load and its health, beside its identity.

The runtime measures what only it can see, now and then; the rest is read here. Numbers that tremble are told
when they have moved by a step, so that an idle cluster has nothing to say.
"""

from dataclasses import dataclass, replace

from kvgossip.model.member import NUMBER_MAX, Load
from kvgossip.node.admission import Admission
from kvgossip.node.effects import Now
from kvgossip.node.recount import Recount
from kvgossip.node.staging import Staging
from kvgossip.protocol.clock_offsets import ClockOffsets
from kvgossip.protocol.member_table import MemberTable
from kvgossip.store.base import Store

STEP = 0.1
"""A number that trembles is told again when it differs by this share from what was told."""
CPU_STEP_PERMILLE = 50
READ_ONLY = "read-only"
CLOCK_WRONG = "clock-wrong"


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the runtime measures of its process and machine."""

    cpu_permille: int
    memory_bytes: int
    disk_free_bytes: int
    """0 if nothing is kept."""
    troubles: tuple[str, ...] = ()
    """Why it cannot serve, as far as the runtime knows: ``disk-full``, ``loop-stalled``, ``stopping``."""


class VitalSigns:
    """Compares what is with what was told."""

    def __init__(
        self,
        table: MemberTable,
        store: Store,
        staging: Staging,
        *,
        admission: Admission,
        offsets: ClockOffsets,
        recount: Recount,
    ) -> None:
        self._table = table
        self._store = store
        self._staging = staging
        self._admission = admission
        self._offsets = offsets
        self._recount = recount
        self._measured = Vitals(0, 0, 0)
        self._writes_per_s = 0
        self._last: tuple[int, int] | None = None
        """When vitals last came, and the own counter by then."""

    def handle_vitals(self, vitals: Vitals, now: Now) -> None:
        """Change the record if there is something to tell: troubles are spread at once, numbers are found."""
        me = self._table.me
        self._measured = vitals
        self._writes_per_s = self._read_rate(now.monotonic_ms)
        told = replace(
            me,
            troubles=self._troubles(vitals),
            load=self._steady(me.load, self.read_load()),
            root=self._store.tree.root.sum,
        )
        if told.troubles != me.troubles:
            self._table.set_me(told)
        elif told != me:
            self._table.set_my_load(told)

    def read_load(self) -> Load:
        """The numbers as they were measured last, without steps: for the aggregates."""
        census, measured = self._recount.census, self._measured
        keys = self._store.tree.root.row_count if census is None else census.key_count
        return Load(
            keys,
            self._writes_per_s,
            measured.cpu_permille,
            measured.memory_bytes,
            measured.disk_free_bytes,
        )

    def _read_rate(self, now_ms: int) -> int:
        """Own writes a second since the last call; 0 for the first."""
        counter = self._staging.own_counter
        last, self._last = self._last, (now_ms, counter)
        if last is None or now_ms <= last[0]:
            return 0
        return max(counter - last[1], 0) * 1_000 // (now_ms - last[0])

    def _troubles(self, vitals: Vitals) -> tuple[str, ...]:
        troubles = set(vitals.troubles)
        if self._admission.is_closed:
            troubles.add(READ_ONLY)
        if self._offsets.correction_ms:
            troubles.add(CLOCK_WRONG)
        return tuple(sorted(troubles))

    def _steady(self, told: Load, new: Load) -> Load:
        cpu_has_moved = abs(new.cpu_permille - told.cpu_permille) >= CPU_STEP_PERMILLE
        return Load(
            keys=min(new.keys, NUMBER_MAX),
            writes_per_s=_stepped(told.writes_per_s, new.writes_per_s),
            cpu_permille=new.cpu_permille if cpu_has_moved else told.cpu_permille,
            memory_bytes=_stepped(told.memory_bytes, new.memory_bytes),
            disk_free_bytes=_stepped(told.disk_free_bytes, new.disk_free_bytes),
        )


def _stepped(told: int, new: int) -> int:
    return new if abs(new - told) > STEP * told else told
