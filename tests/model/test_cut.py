"""The cut, by visiting every state of a small store with two writers and a snapshot (cut.py)."""

from __future__ import annotations

import pytest

from tests.model import cut
from tests.model.explore import Violation, explore


def test_every_interleaving_saves_the_cut_and_each_key_once() -> None:
    states = explore(cut.State(), cut.steps(), cut.problem)
    assert states > 30_000, "so few states cannot be all of them"


@pytest.mark.parametrize("mutant", sorted(cut.MUTANTS))
def test_the_mutant_is_caught(mutant: str) -> None:
    with pytest.raises(Violation) as caught:
        explore(cut.State(), cut.steps(mutant), cut.problem)
    assert "snapshot: installs the cut" in str(caught.value)
