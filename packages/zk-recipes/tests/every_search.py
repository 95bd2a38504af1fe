"""The searches of all recipes in one table, for what tries them once more in other circumstances."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import sim_world
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
from simulated import Faults


class Search(NamedTuple):
    """run: tries one schedule with the faults it is given.   rate, limit: so many of them that it comes to an end."""

    run: Callable[[int, Faults], object]
    rate: float
    limit: int


SEARCHES: dict[str, Search] = {
    "barrier": Search(lambda seed, faults: test_barrier.search(seed, faults=faults), 0.1, 5),
    "caches": Search(lambda seed, faults: test_caches_search.search(seed, faults=faults), 0.08, 6),
    "children watch": Search(lambda seed, faults: test_watchers_search.search_children(seed, faults=faults), 0.08, 6),
    "counter": Search(lambda seed, faults: test_counter.search(seed, faults=faults), 0.1, 5),
    "data watch": Search(lambda seed, faults: test_watchers_search.search_data(seed, faults=faults), 0.08, 6),
    "double barrier": Search(test_double_barrier.search, 0.06, 4),
    "durable lease": Search(lambda seed, faults: test_durable_lease.campaign(seed, faults=faults), 0.04, 4),
    "election": Search(lambda seed, faults: test_election.search(seed, faults=faults), 0.08, 6),
    "lease": Search(lambda seed, faults: test_lease.search(seed, faults=faults), 0.08, 6),
    "lock": Search(lambda seed, faults: sim_world.chaos(seed, faults=faults), 0.08, 6),
    "locking queue": Search(lambda seed, faults: test_locking_queue.search(seed, faults=faults), 0.1, 5),
    "members": Search(lambda seed, faults: test_members_search.chaos(seed, faults=faults), 0.08, 6),
    "multi-lock": Search(lambda seed, faults: test_multilock.search(seed, faults=faults), 0.08, 6),
    "non-blocking lease": Search(lambda seed, faults: test_non_blocking_lease.compete(seed, faults=faults), 0.05, 4),
    "partitioner": Search(lambda seed, faults: test_partitioner.campaign(seed, faults=faults), 0.02, 3),
    "queue": Search(lambda seed, faults: test_queue.search(seed, faults=faults), 0.1, 5),
    "re-entrant lock": Search(lambda seed, faults: test_reentrant.search(seed, faults=faults), 0.08, 6),
    "read-write lock": Search(lambda seed, faults: test_rwlock_search.search(seed, faults=faults), 0.08, 6),
    "semaphore": Search(lambda seed, faults: test_semaphore_search.search(seed, faults=faults), 0.08, 6),
    "shared value": Search(lambda seed, faults: test_shared_value.search(seed, faults=faults), 0.1, 5),
    "work queue": Search(lambda seed, faults: test_work_queue.search(seed, faults=faults), 0.1, 5),
}
