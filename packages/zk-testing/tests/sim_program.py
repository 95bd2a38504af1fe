"""A program that prints what a seed's run came to, for comparing processes, hash seeds and interpreters."""

from __future__ import annotations

import asyncio
import sys

from zk_client import AsyncClient, NodeExistsError, ZooKeeperError
from zk_testing.sim import FAULTS, Simulation


async def work(sim: Simulation, me: str) -> None:
    """Do a bit of everything for half a minute."""
    async with AsyncClient(sim.hosts, 10.0) as zk:
        await zk.ensure_path("/all")
        for turn in range(6):
            try:
                async with asyncio.timeout(3.0):
                    await zk.create("/all/n-", f"{me} {turn}".encode(), sequence=True, ephemeral=True)
                    names = await zk.get_children("/all")
                    async with asyncio.TaskGroup() as tasks:
                        for name in sorted(names)[:3]:
                            tasks.create_task(zk.exists(f"/all/{name}"))
                    await zk.create("/one", me.encode(), ephemeral=True)
                    await asyncio.wait_for(asyncio.shield(asyncio.sleep(0.2)), 1.0)
                    await zk.delete("/one")
            except* NodeExistsError:
                sim.note(me, "is second")
            except* (TimeoutError, ZooKeeperError) as errors:
                sim.note(me, f"gets {[type(error).__name__ for error in errors.exceptions]}")
            await asyncio.sleep(sim.between(0.0, 4.0))


def play(seed: int, *, recording: bool = False) -> Simulation:
    """Run it under a seed: three programs, an ensemble, everything that can go wrong."""
    simulation = Simulation(seed, servers=3, faults=FAULTS, recording=recording)

    async def main(sim: Simulation) -> None:
        for name in ("a", "b", "c"):
            sim.start(name, lambda name=name: work(sim, name), may_raise=(ZooKeeperError, OSError))

    simulation.run(main)
    return simulation


if __name__ == "__main__":
    simulation = play(int(sys.argv[1]))
    print(simulation.fingerprint(), [name for name, _ in simulation.faults_struck])
