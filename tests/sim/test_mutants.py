"""The simulator can fail: each mutant still fits the code, and one is run to its end."""

import pytest

from kvgossip.sim.mutant import Mutant, MutantError
from kvgossip.sim.mutants import MUTANTS, find_mutant
from kvgossip.sim.mutation import Caught, table, try_mutant
from kvgossip.sim.run import CHECKERS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_text_that_a_mutant_replaces_is_there_exactly_once(mutant: Mutant) -> None:
    """A line was changed? Then change its mutant in ``kvgossip/sim/mutants.py`` with it."""
    assert mutant.old != mutant.new
    assert mutant.new in mutant.source()


def test_every_promise_has_a_mutant_that_breaks_it() -> None:
    aimed_at = {mutant.promise for mutant in MUTANTS}
    assert {checker.__name__ for checker in CHECKERS} <= aimed_at


def test_a_mutant_is_caught_by_the_checker_of_its_promise() -> None:
    mutant = find_mutant("acknowledged-before-commit")
    caught = try_mutant(mutant, seeds=5)
    assert caught.promise == mutant.promise == "DurableBeforeSeen"
    assert f"| {mutant.name} | `node/replica.py` | DurableBeforeSeen | {caught.seed} |" in table([caught])


def test_a_mutant_that_survives_is_named_as_such() -> None:
    harmless = Mutant(
        "harmless", "model/kv.py", '"""One write of a key', '"""A write of a key', "Convergence"
    )
    caught = try_mutant(harmless, seeds=1)
    assert caught.promise is None
    assert "**nobody**" in table([Caught(harmless, None, 1, 0.1)])


def test_a_mutant_whose_text_is_gone_is_refused() -> None:
    with pytest.raises(MutantError, match="0 times"):
        Mutant("gone", "model/kv.py", "no such text", "x", "Convergence").source()
    with pytest.raises(MutantError, match="choose from"):
        find_mutant("no-such-mutant")
