"""The search for faults of a lock: seeded schedules in virtual time, with everything that can go wrong at any await.

That it finds what it is there for is shown in test_lock_broken.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from finding import meets
from schedules import on_every_schedule, some
from sim_world import FAULTS, World, chaos
from simulated import faults_of


@on_every_schedule
def test_never_two_holders_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        chaos(seed, faults=FAULTS)


@pytest.mark.parametrize("kind", ["lose request", "lose reply", "cut", "hang", "freeze"])
def test_each_kind_of_fault_alone_is_survived_at_every_request(kind: str) -> None:
    for seed in some(50, least=20):
        chaos(seed, faults=faults_of(rate=0.3, limit=12, kinds=(kind,)))


def test_the_search_meets_every_kind_of_trouble() -> None:
    wanted = {
        "freezes for",
        "freeze,",
        "hang,",
        "cut,",
        "lose reply,",
        "lose request,",
        "is told that it lost",
        "cancels the task",
        "cancels the lock",
        "is deleted by a stranger",
        "gives up",
    }

    def observe(world: World) -> None:
        timeline: Any = world.sim.world.timeline
        add = timeline.add

        def listen(now: float, who: str, what: str) -> None:
            seen.update(word for word in wanted if word in what)
            add(now, who, what)

        timeline.add = listen

    def run(seed: int) -> set[str]:
        chaos(seed, faults=FAULTS, observe=observe)
        return seen

    seen: set[str] = set()
    meets(run, wanted)


def test_the_same_seed_gives_the_same_run() -> None:
    assert chaos(17, faults=FAULTS).sim.fingerprint() == chaos(17, faults=FAULTS).sim.fingerprint()
