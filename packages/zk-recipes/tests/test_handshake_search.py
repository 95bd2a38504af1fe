"""The searches of the recipes once more, with connections that fail while a session is asked for, and at pings.

Then a client may give up a session that the servers keep for a while: its nodes are still there, and not its own. And
one that stands still in a handshake hears that its session lives when it has long been over.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import simulated
from every_search import SEARCHES
from handshakes import strike_handshakes
from schedules import some


class Struck(simulated.World):
    """A simulation whose clients are struck in their handshakes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        strike_handshakes(self, 4)


@pytest.mark.search
@pytest.mark.parametrize("recipe", SEARCHES)
def test_every_promise_holds_when_handshakes_fail(recipe: str) -> None:
    run, rate, limit = SEARCHES[recipe]
    with mock.patch.object(simulated, "World", Struck):
        for seed in some(10):  # of the schedules without: what is found here is rare there, and not the other way round
            run(seed, simulated.faults_of(rate, limit))
