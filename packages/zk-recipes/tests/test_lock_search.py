"""The search for faults of a lock: seeded schedules in virtual time, with everything that can go wrong at any await.

That it finds what it is there for is shown in test_lock_broken.py.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from finding import meets
from sim_world import FAULTS, World, chaos
from simulated import faults_of

# Schedules searched by default; CI nights set more.
SCHEDULES = int(os.environ.get("ZK_SIM_SCHEDULES", "1000"))
CHUNKS = 10


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_never_two_holders_whatever_goes_wrong(chunk: int) -> None:
    for seed in range(chunk, SCHEDULES, CHUNKS):
        chaos(seed, faults=FAULTS)


@pytest.mark.parametrize("kind", ["lose request", "lose reply", "cut", "hang", "freeze"])
def test_each_kind_of_fault_alone_is_survived_at_every_request(kind: str) -> None:
    for seed in range(max(20, SCHEDULES // 50)):
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
