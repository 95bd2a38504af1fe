"""The searches of the recipes once more, on three servers that stop, are cut off from each other, lag and elect.

What must hold is what each search looks for; here it is held against a leader who does not know that he is none, a
member who is behind, and a session that finds its servers only one by one.
"""

from __future__ import annotations

import pytest
from every_search import SEARCHES
from schedules import some
from simulated import faults_of_an_ensemble


@pytest.mark.search
@pytest.mark.parametrize("recipe", SEARCHES)
def test_every_promise_holds_on_an_ensemble_whatever_goes_wrong(recipe: str) -> None:
    run, rate, limit = SEARCHES[recipe]
    for seed in some(10):  # of the schedules on one server: each costs more
        run(seed, faults_of_an_ensemble(rate, limit))
