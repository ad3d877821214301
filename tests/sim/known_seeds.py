"""Seeds that once failed, and what they found: in the core first, then in the simulator itself.

What a seed draws changes with the simulator, so a seed here stands for the finding, which has a hand-driven
test of its own; it runs all the same, because a failure in it would be an old acquaintance.
"""

from typing import NamedTuple


class Known(NamedTuple):
    seed: int
    found: str
    test: str
    """Where the finding is held by hand."""


KNOWN_SEEDS = (
    Known(
        0,
        "a node on an emptied directory heard of its old self at its own address, sent a Hello there, and"
        " took itself for a copy",
        "tests/node/test_copies.py::test_a_node_on_an_emptied_directory_does_not_talk_to_itself",
    ),
)
