"""Schedules that have once shown a fault of ours, tried again for ever.

Each has the name of its fault in `tools/deliberate_faults.py`, which puts it back: with the fault in it the code has to
fail here. When a schedule comes to show its fault no more, because something else in the world has changed, `nox -s
mutations` says so, and another one is to be found.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import test_counter
import test_double_barrier
import test_queue
import test_semaphore_search
from sim_world import FAULTS, chaos
from simulated import faults_of

REPLIES_AND_REQUESTS = ("lose reply", "lose request")
NEARLY_EXHAUSTED = 2**31 - 8  # the numbers of the lock's parent: they end on the way

SHOWN: dict[str, Callable[[], object]] = {
    "queue-doubt-told-to-nobody": lambda: test_queue.search(216),
    "double-barrier-counts-a-member-twice": lambda: test_double_barrier.search(432, impatient=True),
    "lost-write-looked-up-for-too-short-a-time": lambda: test_queue.search(2),
    "lost-write-looked-up-too-seldom": lambda: test_counter.search(4, faults=faults_of(0.4, 10, REPLIES_AND_REQUESTS)),
    "lost-create-below-an-exhausted-parent": lambda: chaos(10, faults=FAULTS, counter=NEARLY_EXHAUSTED),
    "semaphore-forgets-its-second-watch": lambda: test_semaphore_search.search(91),
}


@pytest.mark.parametrize("fault", SHOWN)
def test_a_schedule_that_has_shown_a_fault_of_ours_shows_none(fault: str) -> None:
    SHOWN[fault]()
