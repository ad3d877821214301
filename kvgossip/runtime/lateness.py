"""How late this node comes to what it planned: the sign that the processor is not there for it.

Who shares a starved machine with many others must neither work more for it nor take others' lateness, or the
own, for their absence.
"""

KEPT = 0.9
"""What is left of an old lateness at the next look."""


class Lateness:
    """Of late: a greater one counts at once, and is forgotten by a tenth a look."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def note(self, late_s: float) -> None:
        """Something was done ``late_s`` after it was due."""
        self.seconds = max(late_s, KEPT * self.seconds)
