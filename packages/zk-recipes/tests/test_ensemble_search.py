"""The searches of the recipes once more, on three servers that stop, are cut off from each other, lag and elect.

What must hold is what each search looks for; here it is held against a leader who does not know that he is none, a
member who is behind, and a session that finds its servers only one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import test_barrier
import test_caches_search
import test_counter
import test_double_barrier
import test_durable_lease
import test_election
import test_lease
import test_locking_queue
import test_members_search
import test_multilock
import test_non_blocking_lease
import test_partitioner
import test_queue
import test_reentrant
import test_rwlock_search
import test_semaphore_search
import test_shared_value
import test_watchers_search
import test_work_queue
from schedules import some
from sim_world import chaos
from simulated import faults_of_an_ensemble as faults

CAMPAIGNS: dict[str, Callable[[int], object]] = {
    "barrier": lambda seed: test_barrier.search(seed, faults=faults(0.1, 5)),
    "caches": lambda seed: test_caches_search.search(seed, faults=faults(0.08, 6)),
    "children watch": lambda seed: test_watchers_search.search_children(seed, faults=faults(0.08, 6)),
    "counter": lambda seed: test_counter.search(seed, faults=faults(0.1, 5)),
    "data watch": lambda seed: test_watchers_search.search_data(seed, faults=faults(0.08, 6)),
    "double barrier": lambda seed: test_double_barrier.search(seed, faults(0.06, 4)),
    "durable lease": lambda seed: test_durable_lease.campaign(seed, faults=faults(0.04, 4)),
    "election": lambda seed: test_election.search(seed, faults=faults(0.08, 6)),
    "lease": lambda seed: test_lease.search(seed, faults=faults(0.08, 6)),
    "lock": lambda seed: chaos(seed, faults=faults(0.08, 6)),
    "locking queue": lambda seed: test_locking_queue.search(seed, faults=faults(0.1, 5)),
    "members": lambda seed: test_members_search.chaos(seed, faults=faults(0.08, 6)),
    "multi-lock": lambda seed: test_multilock.search(seed, faults=faults(0.08, 6)),
    "non-blocking lease": lambda seed: test_non_blocking_lease.compete(seed, faults=faults(0.05, 4)),
    "partitioner": lambda seed: test_partitioner.campaign(seed, faults=faults(0.02, 3)),
    "queue": lambda seed: test_queue.search(seed, faults=faults(0.1, 5)),
    "re-entrant lock": lambda seed: test_reentrant.search(seed, faults=faults(0.08, 6)),
    "read-write lock": lambda seed: test_rwlock_search.search(seed, faults=faults(0.08, 6)),
    "semaphore": lambda seed: test_semaphore_search.search(seed, faults=faults(0.08, 6)),
    "shared value": lambda seed: test_shared_value.search(seed, faults=faults(0.1, 5)),
    "work queue": lambda seed: test_work_queue.search(seed, faults=faults(0.1, 5)),
}


@pytest.mark.search
@pytest.mark.parametrize("recipe", CAMPAIGNS)
def test_every_promise_holds_on_an_ensemble_whatever_goes_wrong(recipe: str) -> None:
    for seed in some(10):  # of the schedules on one server: each costs more
        CAMPAIGNS[recipe](seed)
