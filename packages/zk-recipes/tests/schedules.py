"""Which schedules a search tries: how many of them, from which on, and in which portions.

ZK_SIM_SCHEDULES: of each search, 1,000 where nothing is said.   ZK_SIM_FIRST: the first of them, 0; so that a long
campaign can be tried in rounds.   A schedule is known by its number, which is the seed of its world: to try one
that a failure names again, say ZK_SIM_FIRST=216 ZK_SIM_SCHEDULES=1 (and ZK_SIM_RECORD=1 to see every message).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["SCHEDULES", "on_every_schedule", "some"]

SCHEDULES = int(os.environ.get("ZK_SIM_SCHEDULES", "1000"))
FIRST = int(os.environ.get("ZK_SIM_FIRST", "0"))
# Tests that a search is made of, for as many workers.
PORTIONS = 10


def on_every_schedule(test: Callable[..., None]) -> Callable[..., None]:
    """A search: the test takes `seeds`, a portion of the schedules, and tries each of them."""
    numbers = range(min(PORTIONS, SCHEDULES))
    portions = [range(FIRST + number, FIRST + SCHEDULES, PORTIONS) for number in numbers]
    several: Any = pytest.mark.parametrize("seeds", portions, ids=[str(number) for number in numbers])
    return pytest.mark.search(several(test))


def some(part: int, least: int = 0) -> range:
    """One of so many of the schedules, for what is searched beside the search proper, and at least so many."""
    return range(FIRST // part, FIRST // part + max(least, SCHEDULES // part))
