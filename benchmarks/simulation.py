"""How fast worlds are simulated: schedules a second, and virtual time over real time.

    python simulation.py [--quick]

Rule: CPU time of this one thread, because that is what a search costs. The first workload is the goal: five contenders
take a lock in turn, 1,000 schedules in 10 s; the others add what can go wrong, an ensemble, and idle clients, of whom a
second of real time holds the most virtual time. Prints a table, the goal with its outcome, and one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from report import aligned

from zk_client import AsyncClient, ZooKeeperError
from zk_recipes import AsyncLock
from zk_testing.sim import FAULTS, NO_FAULTS, Faults, Simulation

GOAL = 100.0  # schedules a second: 1,000 in 10 s
Main = Callable[[Simulation], Coroutine[Any, Any, None]]


async def contend(sim: Simulation, me: str, held: list[AsyncLock]) -> None:
    async with AsyncClient(sim.hosts, 10.0) as zk:
        lock = AsyncLock(zk, "/lock", me)
        held.append(lock)
        async with lock:
            await asyncio.sleep(0.01)


async def lock(sim: Simulation) -> None:
    """Five contenders, each of which holds the lock once; never two at a time."""
    locks: list[AsyncLock] = []

    def alone() -> None:
        assert sum(one.is_acquired for one in locks) <= 1

    sim.always(alone)
    for number in range(5):
        name = f"client-{number}"
        sim.start(name, partial(contend, sim, name, locks), may_raise=(ZooKeeperError, OSError))


async def idle(sim: Simulation) -> None:
    """Three clients that only keep their sessions for an hour."""

    async def stay() -> None:
        async with AsyncClient(sim.hosts, 10.0):
            await asyncio.sleep(3600.0)

    for number in range(3):
        sim.start(f"client-{number}", stay)


WORKLOADS: dict[str, tuple[str, Main, int, Faults, int]] = {
    "lock": ("a lock, 5 contenders", lock, 1, NO_FAULTS, 400),
    "lock-faults": ("the same, everything goes wrong", lock, 1, FAULTS, 200),
    "lock-ensemble": ("the same, on 3 servers", lock, 3, FAULTS, 120),
    "idle": ("3 idle clients for an hour", idle, 1, NO_FAULTS, 4),
}


def measure(main: Main, servers: int, faults: Faults, schedules: int) -> dict[str, float]:
    virtual, steps = 0.0, 0
    begun = time.process_time()
    for seed in range(schedules):
        simulation = Simulation(seed, servers=servers, faults=faults, time_limit=1e5)
        simulation.run(main)
        virtual += simulation.now()
        steps += simulation.loop.steps
    spent = time.process_time() - begun
    return {
        "schedules_per_s": schedules / spent,
        "ms_per_schedule": 1000 * spent / schedules,
        "us_per_step": 1e6 * spent / steps,
        "virtual_over_real": virtual / spent,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the schedules")
    options = parser.parse_args()
    measure(lock, 1, NO_FAULTS, 10)  # what is done once
    results: dict[str, dict[str, float]] = {}
    rows = [["workload", "schedules/s", "ms each", "us a step", "virtual/real"]]
    for name, (text, body, servers, faults, schedules) in WORKLOADS.items():
        result = results[name] = measure(body, servers, faults, max(2, schedules // 4) if options.quick else schedules)
        rows.append(
            [
                text,
                f"{result['schedules_per_s']:.0f}",
                f"{result['ms_per_schedule']:.1f}",
                f"{result['us_per_step']:.1f}",
                f"{result['virtual_over_real']:,.0f}",
            ]
        )
    print(aligned(rows))
    reached = results["lock"]["schedules_per_s"]
    print(f"goal: {GOAL:.0f} schedules/s of a lock with five contenders: {'reached' if reached >= GOAL else 'MISSED'}")
    print(json.dumps({"benchmark": "simulation", "results": results}))


if __name__ == "__main__":
    main()
